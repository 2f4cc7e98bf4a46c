"""Files that a finished job offers become assets: read, verified, decoded once, stored, prepared for the check.

A grid without its single pictures is cut. What is kept of an attempt, and when it is tried again, is
`pipeline.attempts.collect`'s business.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from db.moves.collection import NewAsset
from db.reads.work import Work
from domain.errors import NotAPicture, PictureError, PictureLost
from domain.ids import sha256
from pipeline.resources import Resources
from validation.grid import cut
from validation.pixels import Picture, Preprocessing, decode, model_input


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the pictures of a job are.

    Args:
        addresses: one per picture, in the service's order; keys of the store where the reply was the result.
        grid: one file that holds all four, beside them or in their place.
        aspect: width by height of each picture as it was asked for, or None where it is not known.
    """

    addresses: Sequence[str] = ()
    grid: str | None = None
    aspect: tuple[int, int] | None = None


def places_in(result: Mapping[str, Any]) -> Places:
    """Where the pictures are by the provider's last word, as the attempt's row keeps it."""
    urls = [str(url) for url in result.get("picture_urls") or ()]
    grid, aspect = result.get("grid_url"), (result.get("detail") or {}).get("aspect")
    return Places(
        addresses=urls,
        grid=str(grid) if grid else None,
        aspect=(int(aspect[0]), int(aspect[1])) if aspect else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Turns the files of one attempt into assets.

    Args:
        read: gives the bytes behind an address.
    """

    resources: Resources
    work: Work
    read: Callable[[str], bytes]
    preprocessing: Preprocessing

    def single(self, place: tuple[int, str]) -> NewAsset | PictureError:
        """The picture behind a (position, address)."""
        position, url = place
        try:
            content, picture = self._opened(url)
        except PictureError as failure:
            return failure
        return self._stored(position, content, picture, metadata={"source_url": _shown(url)})

    def quarters(self, url: str, aspect: tuple[int, int] | None) -> list[NewAsset | PictureError]:
        """The four pictures of a grid; the grid itself where its shape says that it is none.

        The grid is stored beside them, under `grid_key`: it is what was paid for.
        """
        try:
            content, grid = self._opened(url)
        except PictureError as failure:
            return [failure]
        pictures = cut(grid, aspect=aspect)
        if pictures is None:
            why = f"{grid.width} x {grid.height} pixels are no grid of pictures of {aspect}"
            return [self._stored(0, content, grid, metadata={"source_url": _shown(url), "not_cut": why})]
        kept = self.resources.store.put(content, ending=_ending(grid))
        metadata = {"source_url": _shown(url), "cut_from_grid": True, "grid_key": kept.key}
        found = [self._stored(at, *one, metadata=metadata) for at, one in enumerate(pictures)]
        # Quarters of a grid that waits for the bucket wait with it, so that whoever uploads them brings both.
        return [one if kept.uploaded_at is not None else replace(one, uploaded_at=None) for one in found]

    def filled(self, found: Sequence[NewAsset | PictureError], places: Places) -> list[NewAsset | PictureError]:
        """The same, with quarters of the grid in the places of single pictures that are not to be had."""
        if places.grid is None or not any(isinstance(one, PictureError) for one in found):
            return list(found)
        quarters = self.quarters(places.grid, places.aspect)
        if len(quarters) != len(found):
            return list(found)
        return [cut if isinstance(one, PictureError) else one for one, cut in zip(found, quarters, strict=True)]

    def _opened(self, url: str) -> tuple[bytes, Picture]:
        try:
            content = self.read(url)
            return content, decode(content)
        except NotAPicture as failure:
            if self.work.result.get("reply_keys"):
                # What came with a reply is in our own store, under its digest: no other try will find it whole.
                raise PictureLost(str(failure)) from failure
            raise

    def _stored(self, position: int, content: bytes, picture: Picture, *, metadata: Mapping[str, Any]) -> NewAsset:
        stored = self.resources.store.put(content, ending=_ending(picture))
        prepared = None
        if self.work.character_id is not None:
            ready = model_input(picture.image, self.preprocessing)
            prepared = (ready.pixels, ready.size, ready.preprocessing)
        return NewAsset(
            position=position,
            r2_key=stored.key,
            cdn_url=stored.url,
            uploaded_at=stored.uploaded_at,
            sha256=sha256(content),
            media_type=picture.media_type,
            file_size=picture.size_bytes,
            width=picture.width,
            height=picture.height,
            metadata=metadata,
            model_input=prepared,
        )


def _ending(picture: Picture) -> str:
    return picture.extension.removeprefix(".")


def _shown(url: str) -> str:
    """An address that holds the picture itself is not kept a second time."""
    return f"{url.partition(',')[0]},..." if url.startswith("data:") else url
