"""Files and addresses of drawn pictures: single pictures, and the 2x2 grid of four.

A job's files are named after it: `<job_id>.png` is the result, `<job_id>tl.png` and so on are the quarters of a grid,
and `<job_id>_0.png` and so on the pictures of a job whose plan says `numbered`. Grids and other formats are made on
request, because most callers only fetch single pictures.
"""

import os
import re
import threading
from pathlib import Path
from urllib.parse import quote

from sandbox.jobs import Job

ROUTE = "/pictures/"
CORNERS = ("tl", "tr", "bl", "br")  # the order of TTAPI's `images`
FORMATS = {"png": ("PNG", "image/png"), "jpg": ("JPEG", "image/jpeg"), "webp": ("WEBP", "image/webp")}


class Pictures:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for unfinished in folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)

    def tiles(self, job: Job) -> list[tuple[int, str]]:
        """(variation, file) of every picture to draw for the job."""
        variations = list(job.plan["tiles"])
        if job.plan.get("numbered"):
            return [(number, str(self._folder / f"{job.job_id}_{number}.png")) for number in variations]
        if len(variations) == 1:
            return [(variations[0], str(self._folder / f"{job.job_id}.png"))]
        return [
            (variation, str(self._folder / f"{job.job_id}{corner}.png"))
            for variation, corner in zip(variations, CORNERS, strict=True)
        ]

    def drawn(self, job: Job) -> bool:
        return all(Path(name).exists() for _, name in self.tiles(job))

    def read(self, name: str) -> bytes | None:
        """The file of that name; None if it does not exist (yet)."""
        path = self._folder / Path(name).name
        if not path.exists():
            self._convert(path)
        if not path.exists():
            self._put_together(path)
        return path.read_bytes() if path.exists() else None

    def _convert(self, path: Path) -> None:
        drawn, format_name = path.with_suffix(".png"), FORMATS.get(path.suffix[1:], ("",))[0]
        if path == drawn or not format_name or not drawn.exists():
            return
        from PIL import Image

        unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
        with Image.open(drawn) as picture:
            picture.convert("RGB").save(unfinished, format=format_name, quality=92)
        unfinished.replace(path)

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


def result_url(base_url: str, job: Job, ending: str = "png") -> str:
    return f"{base_url}{ROUTE}{quote(job.job_id)}.{ending}"


def numbered_urls(base_url: str, job: Job, ending: str = "png") -> list[str]:
    return [f"{base_url}{ROUTE}{quote(job.job_id)}_{number}.{ending}" for number in job.plan["tiles"]]


def corner_urls(base_url: str, job: Job) -> list[str]:
    return [f"{base_url}{ROUTE}{quote(job.job_id)}{corner}.png" for corner in CORNERS]


def job_id_of(name: str) -> str:
    """The job a picture's name belongs to."""
    stem = re.sub(r"_\d{1,2}$", "", Path(name).stem)
    return stem[:-2] if stem.endswith(CORNERS) else stem


def media_type_of(name: str) -> str:
    return FORMATS.get(Path(name).suffix[1:], FORMATS["png"])[1]
