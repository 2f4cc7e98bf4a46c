"""The report as PDF, printed by the browser of this machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from domain.errors import BadInput
from reports.contact_sheet import write_report
from reports.records import Report

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
#: A report of thousands of pictures is hundreds of pages.
_PATIENCE_S: Final = 900


def write_pdf(report: Report, path: Path) -> None:
    """Print the whole report to `path`, every card of it.

    Raises:
        BadInput: this machine has no browser that prints, or it printed nothing.
        OSError: the file cannot be written.
    """
    program = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        raise BadInput(
            f"a PDF is printed by Chromium or Chrome, and none is installed ({', '.join(_BROWSERS)});"
            " install one, or write HTML and print it from any browser"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="likeness-pdf-", ignore_cleanup_errors=True) as folder:
        page, draft = Path(folder) / "report.html", Path(folder) / "report.pdf"
        write_report(report, page, for_paper=True)
        said = _print(program, page, draft)
        if not draft.is_file():
            raise BadInput(f"{program} printed no PDF ({said or 'it said nothing'}); write HTML and print it by hand")
        shutil.copyfile(draft, path)


def _print(program: str, page: Path, target: Path) -> str:
    """Print the page; returns the last line that the browser wrote, should nothing come of it."""
    # Chromium's sandbox refuses to run as root; the page has no script but its own, and loads nothing.
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [
        program,
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--no-pdf-header-footer",
        *sandbox,
        f"--user-data-dir={page.parent / 'profile'}",
        f"--print-to-pdf={target}",
        page.as_uri(),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)  # noqa: S603 -- a browser of this machine
    except subprocess.TimeoutExpired:
        return f"not within {_PATIENCE_S} s"
    return done.stderr.strip().rpartition("\n")[2][:200]
