"""The drawing process: reads one order per line, and writes one answer per line.

A separate process, because drawing would slow the server down. It ends with its input, so it cannot outlive the
sandbox. `sandbox.drawing_process` is the other end.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from sandbox.drawing.finish import cut_out, enlarged
from sandbox.drawing.picture import Likeness, draw, read_likeness

NICENESS = 5  # replies have priority over drawing


def main() -> None:
    os.nice(NICENESS)
    answers = sys.stdout
    sys.stdout = sys.stderr  # a stray print must not look like an answer
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)


def carry_out(order: Mapping[str, Any]) -> dict[str, str]:
    """Draw a `sandbox.drawing_process.Order`; returns an empty answer when all files are written, else the error."""
    if order["finishes"]:
        return finish(order)
    try:
        likenesses = [likeness_in(Path(name)) for name in order["references"]]
    except Exception as error:  # noqa: BLE001 - whatever a hostile file does to a decoder is the file's fault
        return {"unreadable": f"{type(error).__name__}: {error}"}
    width, height = order["size"]
    try:
        for variation, name in order["tiles"]:
            picture = draw(
                order["prompt"],
                references=likenesses,
                weight=order["weight"],
                seed=order["seed"],
                variation=variation,
                size=(width, height),
                ancestry=[(seed, number) for seed, number in order["ancestry"]],
            )
            save(picture, Path(name))
    except Exception as error:  # noqa: BLE001 - the top of a process: a failed drawing must not end it
        return {"failed": f"{type(error).__name__}: {error}"}
    return {}


def finish(order: Mapping[str, Any]) -> dict[str, str]:
    """As `carry_out`, for an order that changes a picture instead of drawing one."""
    (reference,), ((_, name),) = order["references"], order["tiles"]
    try:
        with Image.open(reference) as opened:
            picture = opened.convert("RGB")
    except Exception as error:  # noqa: BLE001 - as in `carry_out`
        return {"unreadable": f"{type(error).__name__}: {error}"}
    save(enlarged(picture) if order["finishes"] == "upscale" else cut_out(picture), Path(name))
    return {}


@lru_cache(maxsize=64)
def likeness_in(path: Path) -> Likeness:
    """Read a reference; cached by path, because reference files are named by their content."""
    return read_likeness(path.read_bytes())


def save(picture: Image.Image, path: Path) -> None:
    # Written atomically, so that an existing file is complete even after a crash.
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    picture.save(unfinished, format="PNG", compress_level=1)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
