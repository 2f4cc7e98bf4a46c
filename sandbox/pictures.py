"""The files of drawn pictures and the addresses they have: single pictures and the 2x2 grid made of four of them.

A job's files are named after it: `<job_id>.png` is what the wire calls the result, `<job_id>tl.png` and so on are the
quarters of a grid. Grids are put together when somebody asks for one: most callers take the singles.
"""

import os
import threading
from pathlib import Path
from urllib.parse import quote

from sandbox.jobs import Job

ROUTE = "/pictures/"
CORNERS = ("tl", "tr", "bl", "br")  # the order of TTAPI's `images`


class Pictures:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for unfinished in folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)

    def tiles(self, job: Job) -> list[tuple[int, str]]:
        """(variation, file) of every picture that is drawn for the job."""
        variations = list(job.plan["tiles"])
        if len(variations) == 1:
            return [(variations[0], str(self._folder / f"{job.job_id}.png"))]
        return [
            (variation, str(self._folder / f"{job.job_id}{corner}.png"))
            for variation, corner in zip(variations, CORNERS, strict=True)
        ]

    def drawn(self, job: Job) -> bool:
        return all(Path(name).exists() for _, name in self.tiles(job))

    def read(self, name: str) -> bytes | None:
        """The file of that name; None if there is none (yet)."""
        path = self._folder / Path(name).name
        if not path.exists():
            self._put_together(path)
        return path.read_bytes() if path.exists() else None

    def _put_together(self, path: Path) -> None:
        tiles = [path.with_name(f"{path.stem}{corner}.png") for corner in CORNERS]
        if not all(tile.exists() for tile in tiles):
            return
        from PIL import Image

        parts = [Image.open(tile) for tile in tiles]
        width, height = parts[0].size
        grid = Image.new("RGB", (2 * width, 2 * height))
        for index, part in enumerate(parts):
            with part:
                grid.paste(part, (index % 2 * width, index // 2 * height))
        unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        grid.save(unfinished, format="PNG", compress_level=1)
        unfinished.replace(path)


def result_url(base_url: str, job: Job) -> str:
    return f"{base_url}{ROUTE}{quote(job.job_id)}.png"


def corner_urls(base_url: str, job: Job) -> list[str]:
    return [f"{base_url}{ROUTE}{quote(job.job_id)}{corner}.png" for corner in CORNERS]


def job_id_of(name: str) -> str:
    """The job a picture's name belongs to."""
    stem = name.removesuffix(".png")
    return stem[:-2] if stem.endswith(CORNERS) else stem
