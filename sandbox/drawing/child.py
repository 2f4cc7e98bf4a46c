"""The drawing process: one order per line on standard input, one answer per line on standard output.

It is a process of its own because drawing keeps a core busy and must not slow the replies of the server down. It ends
when its input does, so it cannot outlive the sandbox. The other end of the pipe is `sandbox.drawing_process`.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from sandbox.drawing.picture import Likeness, draw, read_likeness

NICENESS = 5  # replies come before drawing


def main() -> None:
    os.nice(NICENESS)
    answers = sys.stdout
    sys.stdout = sys.stderr  # a stray print must not look like an answer
    for line in sys.stdin:
        print(json.dumps(carry_out(json.loads(line))), file=answers, flush=True)


def carry_out(order: Mapping[str, Any]) -> dict[str, str]:
    """Draws a `sandbox.drawing_process.Order`; an empty answer when all files are written, else what went wrong."""
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


@lru_cache(maxsize=64)
def likeness_in(path: Path) -> Likeness:
    """Reference files are named by their content, so the path is key enough."""
    return read_likeness(path.read_bytes())


def save(picture: Image.Image, path: Path) -> None:
    # A rename is all or nothing, so that a file that exists is whole, whenever this process may have died.
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    picture.save(unfinished, format="PNG", compress_level=1)
    unfinished.replace(path)


if __name__ == "__main__":
    main()
