"""Find the pictures that an earlier export left in a folder and that one of now would not write.

A verdict can change after an export: by new thresholds, another model or a person. The pictures belong to whoever has
the folder, so that they are named and never removed.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

#: Where the pictures go that are not accepted.
REJECTED: Final = "rejected"


def leftovers(
    folder: Path, batch_id: str, written: Mapping[Path, tuple[str, str]], *, every_picture: bool
) -> list[Path]:
    """The batch's pictures in the folder that are not what this export writes, in order of their paths.

    A picture that the export has under another name is no leftover, since it may have been exported with another
    template; one that stands on the wrong side of `rejected` is.

    Args:
        written: id of the generation and digest of the original, by the path of every picture that the export writes.
        every_picture: look below `rejected` too; an export of accepted pictures alone has nothing to say about it.
    """
    wanted = {(_is_rejected(path, folder), *identity) for path, identity in written.items()}
    return sorted(
        picture
        for picture, identity in _recorded(folder, batch_id, skip=written)
        if (every_picture or not _is_rejected(picture, folder))
        and (_is_rejected(picture, folder), *identity) not in wanted
    )


def _is_rejected(picture: Path, folder: Path) -> bool:
    return picture.relative_to(folder).parts[0] == REJECTED


def _recorded(folder: Path, batch_id: str, *, skip: Collection[Path]) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Pictures of the batch with the file beside them that an export writes, and what that says of them."""
    for beside in folder.rglob("*.json"):
        picture = beside.with_suffix("")
        if beside.name.startswith(".") or not picture.suffix or picture in skip or not picture.is_file():
            continue
        record = _record(beside)
        if record.get("batch_id") == batch_id and "likeness" in record:
            yield picture, (str(record.get("generation_id")), str(record.get("sha256")))


def _record(beside: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is none of ours."""
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
