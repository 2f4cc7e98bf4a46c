"""What does collecting a finished picture cost beside a bare decode and resize of the same file?

Hypothesis: each file is decoded once, so that downloading, verifying and storing it durably leave collecting at 80 % of
the bare rate or more. Control in the same run, file by file in turn: Pillow's decode to RGB and one bicubic resize to
the model's input of 224 pixels, from bytes in memory.
The way is `pipeline.attempts.picture_ingest.Collector.single`, with the product's client of picture hosts and a folder
as store, for 1024-px pictures over loopback; the row's moves are no part of it (`bench_whole_path` counts them). CPU is
the process's own; the host of the pictures is another process. The parts are timed in a pass of their own.
Command: `python -m benchmarks.bench_collect [--rounds N]`; appends to results/collect.jsonl.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

import numpy as np
from PIL import Image

from benchmarks.bench_whole_path import REFERENCE, ROOT, circumstances
from pipeline.attempts.picture_ingest import Collector
from providers.transport.fetch import PictureFetcher
from storage.folder import FolderStore
from validation.pixels import decode, model_input
from validation.preprocessing import CLIP_DEFAULT

RESULTS: Final = ROOT / "benchmarks" / "results" / "collect.jsonl"
SIDE: Final = 1024
FILES: Final = 4
#: As services write them; the endings are those that a plain web server knows.
FORMATS: Final[dict[str, dict[str, Any]]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 90},
    "webp": {"format": "WEBP", "quality": 90},
    "avif": {"format": "AVIF", "quality": 80},
}
_Way = Callable[[Path, str], None]


def draw(folder: Path) -> None:
    """A drawing as a service returns it: enlarged, shifted, and with a little grain."""
    luck = np.random.default_rng(1)
    with Image.open(REFERENCE) as opened:
        drawing = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    for number in range(FILES):
        pixels = np.roll(np.asarray(drawing, dtype=np.int16), 97 * number, axis=1)
        grain = luck.normal(0, 2, pixels.shape).astype(np.int16)
        image = Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8))
        for ending, options in FORMATS.items():
            image.save(folder / f"{number}.{ending}", **options)


class _Host(SimpleHTTPRequestHandler):
    """Serves files as a picture host does: without Nagle's wait for an acknowledgement between headers and body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: the benchmark writes its own."""


def _serve(folder: Path, told: Connection) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Host, directory=str(folder))) as server:
        told.send(server.server_port)
        server.serve_forever()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    heard, told = context.Pipe(duplex=False)
    host = context.Process(target=_serve, args=(folder, told), daemon=True)
    host.start()
    try:
        yield f"http://127.0.0.1:{heard.recv()}"
    finally:
        host.kill()
        host.join()


def bare(path: Path, _: str) -> None:
    with Image.open(io.BytesIO(path.read_bytes())) as opened:
        opened.convert("RGB").resize((CLIP_DEFAULT.size, CLIP_DEFAULT.size), Image.Resampling.BICUBIC)


def collecting(fetcher: PictureFetcher, store: FolderStore) -> _Way:
    # Of the resources it reads the store, of the work these two.
    collector = Collector(
        resources=SimpleNamespace(store=store),  # type: ignore[arg-type]
        work=SimpleNamespace(character_id=uuid4(), result={}),  # type: ignore[arg-type]
        read=fetcher.fetch,
        preprocessing=CLIP_DEFAULT,
    )

    def collect(_: Path, url: str) -> None:
        asset = collector.single((0, url))
        assert not isinstance(asset, Exception), asset

    return collect


class Clocks:
    """Seconds by the clock and of CPU, by what was done."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.cpu[name] += time.process_time() - cpu


def parts(clocks: Clocks, fetcher: PictureFetcher, store: FolderStore, url: str) -> None:
    with clocks.on("download"):
        content = fetcher.fetch(url)
    with clocks.on("decode"):
        picture = decode(content)
    with clocks.on("store"):
        store.put(content, ending=url.rpartition(".")[2])
    with clocks.on("model input"):
        model_input(picture.image, CLIP_DEFAULT)


def measured(ending: str, folder: Path, host: str, scratch: Path, rounds: int) -> dict[str, Any]:
    """One format; the first round is thrown away, and each round has a store of its own."""
    fetcher = PictureFetcher(own_host="127.0.0.1")
    paths = sorted(folder.glob(f"*.{ending}"))
    clocks, pieces = Clocks(), Clocks()
    for number in range(rounds + 1):
        if number == 1:
            clocks, pieces = Clocks(), Clocks()
        collect = collecting(fetcher, FolderStore(scratch / f"{ending}-{number}"))
        own = FolderStore(scratch / f"{ending}-{number}-parts")
        for path in paths:
            url = f"{host}/{path.name}"
            for name, way in (("bare", bare), ("collect", collect)):
                with clocks.on(name):
                    way(path, url)
            parts(pieces, fetcher, own, url)
    fetcher.close()
    each = 1000 / (rounds * len(paths))
    return {
        "kb": round(sum(path.stat().st_size for path in paths) / len(paths) / 1024),
        "ms": {name: round(each * value, 2) for name, value in clocks.wall.items()},
        "cpu_ms": {name: round(each * value, 2) for name, value in clocks.cpu.items()},
        "cpu_ms_of_parts": {name: round(each * value, 2) for name, value in pieces.cpu.items()},
        "share_of_bare": round(clocks.wall["bare"] / clocks.wall["collect"], 2),
        "share_of_bare_by_cpu": round(clocks.cpu["bare"] / clocks.cpu["collect"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Collecting beside a bare decode and resize.")
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder = scratch / "made"
        folder.mkdir()
        draw(folder)
        with served(folder) as host:
            found = {ending: measured(ending, folder, host, scratch, asked.rounds) for ending in FORMATS}
    record = {**circumstances(), "load_after": os.getloadavg()[0], "side": SIDE, "rounds": asked.rounds, **found}
    print(json.dumps(record, indent=1))
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
