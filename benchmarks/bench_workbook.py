"""Workbooks as prompt files: how fast and in how much memory, beside the same rows as CSV and beside two libraries?

Question: what does a workbook cost more than the CSV of its rows, and does the memory of its reader grow with them?
Hypothesis: a reader that streams and takes regular cells by pattern reads at half the speed of CSV or better, in memory
that is flat from 1,000 to 200,000 rows; openpyxl (read-only) is slower by far, calamine faster but not flat.
Control: the same rows of seven columns in one run, each reading in a process of its own, readers in turn and each three
times, of which the quickest counts (100,000 rows and more once); `read_prompts` for whole files, with what it keeps of
its rows; `reader` for the reader alone, rows thrown away. openpyxl and calamine give bare values: no number formats,
links, merged cells and hidden rows for calamine, no .ods for openpyxl. Memory is how much the process's peak has grown
since before the reading; 0 is none above what the imports took. The .ods is LibreOffice's where it is installed, else
it is left out. `damaged` is the longest that one of 2,000 damaged workbooks of the fuzz in the tests took.
Run: python benchmarks/bench_workbook.py [ROWS ...]; appends lines to results/workbook.jsonl.
`uv run --with python-calamine==0.9.1` adds calamine, which the product does not need.
"""

import csv
import importlib.util
import json
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import xlsxwriter

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "workbook.jsonl"
ROUNDS = 3
#: A run of more rows is long enough to count by itself.
ONE_ROUND_FROM = 100_000
#: openpyxl would take minutes for more, and calamine's memory shows by then.
LIBRARIES_UP_TO = 20_000
HEADER = ("index", "theme", "variation", "prompt", "seed", "aspect_ratio", "note")


def rows(count: int) -> Iterator[tuple[int | str, ...]]:
    for number in range(count):
        yield (
            number,
            f"theme {number % 40}",
            f"v{number % 7}",
            f'A pig number {number}, sitting by the sea, "soft" watercolour light — misty morning',
            number * 7,
            "16:9",
            "for Ann",
        )


def write(folder: Path, count: int) -> list[Path]:
    """The same rows as CSV, .xlsx and, where LibreOffice is there, .ods."""
    table = folder / f"rows{count}.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows(count))
    book = table.with_suffix(".xlsx")
    with xlsxwriter.Workbook(str(book)) as made:
        sheet = made.add_worksheet("Prompts")
        sheet.write_row(0, 0, HEADER)
        for number, row in enumerate(rows(count), start=1):
            sheet.write_row(number, 0, row)
    if (office := shutil.which("soffice")) is None:
        return [table, book]
    profile = f"-env:UserInstallation=file://{folder}/profile"
    command = [office, profile, "--headless", "--convert-to", "ods", "--outdir", str(folder), str(book)]
    subprocess.run(command, capture_output=True, check=True)
    return [table, book, table.with_suffix(".ods")]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read(what: str, path: Path) -> dict[str, float]:
    """Read the file in this process, which does nothing else."""
    from pipeline.intake.prompt_file import read_prompts
    from pipeline.intake.workbooks.choose import WorkbookOptions
    from pipeline.intake.workbooks.reading import WorkbookFile

    if what == "openpyxl":
        import openpyxl
    if what == "calamine":
        import python_calamine
    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    match what:
        case "read_prompts":
            found = len(read_prompts(path))
        case "reader":
            with path.open("rb") as file:
                book = WorkbookFile(file, path=path, name=path.name, options=WorkbookOptions())
                found = sum(1 for _ in book.rows())
        case "openpyxl":
            sheet = openpyxl.load_workbook(path, read_only=True, data_only=True).worksheets[0]
            found = sum(1 for _ in sheet.iter_rows()) - 1
        case "calamine":
            found = (
                sum(1 for _ in python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).iter_rows())
                - 1
            )
        case _:
            raise SystemExit(f"nothing reads by {what!r}")
    return {
        "rows": found,
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
        "grown_mb": round(peak_mb() - before, 1),
    }


def damaged(count: int, folder: Path) -> dict[str, float]:
    from domain.errors import BadInput
    from pipeline.intake.prompt_file import read_prompts
    from tests.unit.pipeline.intake.workbooks.test_bad_files import WHOLE, WHOLE_ODS, WHOLE_RICH, _damaged

    chance, longest, refused = random.Random(3), 0.0, 0
    before = peak_mb()
    for _ in range(count):
        kind, whole = chance.choice([("xlsx", WHOLE), ("xlsx", WHOLE_RICH), ("ods", WHOLE_ODS)])
        path = folder / f"damaged.{kind}"
        path.write_bytes(_damaged(whole, chance))
        begun = time.perf_counter()
        try:
            read_prompts(path)
        except BadInput:
            refused += 1
        longest = max(longest, time.perf_counter() - begun)
    return {
        "files": count,
        "refused": refused,
        "longest_s": round(longest, 3),
        "grown_mb": round(peak_mb() - before, 1),
    }


def apart(*arguments: str) -> dict[str, float]:
    """What this very script says in another process."""
    command = [sys.executable, str(Path(__file__)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(folder: Path, count: int) -> Iterator[dict[str, object]]:
    files = write(folder, count)
    jobs = [("read_prompts", path) for path in files] + [("reader", path) for path in files[1:]]
    if count <= LIBRARIES_UP_TO:
        libraries = (("openpyxl", "openpyxl"), ("calamine", "python_calamine"))
        jobs += [(name, files[1]) for name, module in libraries if importlib.util.find_spec(module)]
    times: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(1 if count >= ONE_ROUND_FROM else ROUNDS):
        for what, path in jobs:
            times.setdefault((what, path.suffix), []).append(apart(what, str(path)))
    best = {job: min(found, key=lambda one: one["cpu_s"]) for job, found in times.items()}
    beside = best["read_prompts", ".csv"]["cpu_s"]
    for (what, suffix), found in best.items():
        yield {"what": what, "file": suffix, **found, "speed_of_csv": round(beside / found["cpu_s"], 2)}


def main(counts: Sequence[int]) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    about = {"commit": commit.stdout.strip(), "machine": platform.machine(), "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for found in compared(Path(folder), count):
                say({**about, **found})
        say({**about, "what": "damaged", **apart("damaged", folder)})


def say(record: dict[str, object]) -> None:
    print(json.dumps(record), flush=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    given = sys.argv[1:]
    if given and given[0] == "damaged":
        print(json.dumps(damaged(2000, Path(given[1]))))
    elif given and not given[0].isdigit():
        print(json.dumps(read(given[0], Path(given[1]))))
    else:
        main([int(one) for one in given] or [1_000, 20_000, 200_000])
