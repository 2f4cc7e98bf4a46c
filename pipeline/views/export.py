"""Export a batch's pictures into folders by theme and variation, with a log.

Existing files with the same content are kept, so that an interrupted export, or one of a batch that has grown, can be
repeated. Files with other content are overwritten only on request.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from domain.errors import BadInput, PictureLost
from domain.ids import BatchId, sha256
from domain.states import GenerationState
from pipeline.resources import Resources
from pipeline.views import generations, status
from pipeline.views.generations import GenerationDetails
from pipeline.views.report import line_of, report_of
from reports.generation_log import write_log
from reports.records import AssetLine, GenerationLine
from reports.tries import write_tries

#: Characters that some file system, shell or user cannot handle in a file name.
_UNFIT = re.compile(r"[^\w.()+-]+")
#: Windows takes these for devices, with any ending, and opens no such file or folder.
_DEVICE: Final = re.compile(r"(con|prn|aux|nul|(?:com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export.

    Args:
        written: pictures written now.
        kept: pictures that were there already.
        lost: a sentence for each picture that could not be exported.
    """

    written: int
    kept: int
    lost: Sequence[str]
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One picture to copy: its key in the store and its target."""

    row: int
    asset_id: Any
    key: str
    sha256: str
    target: Path


def export(
    resources: Resources, batch_id: BatchId, folder: Path, *, every_picture: bool = False, overwrite: bool = False
) -> Exported:
    """Write the accepted pictures of the batch, finished ones beside them, its log and its tries, into `folder`.

    Args:
        every_picture: export all stored pictures; those not accepted go into the subfolder `rejected`.
        overwrite: replace files with other content.

    Raises:
        BadInput: files with other content exist, and `overwrite` is False; nothing was written.
        OSError: the folder cannot be used.
    """
    batch = status.of_batch(resources, batch_id).batch
    told = generations.page(resources, batch_id=batch_id, user_id=batch.user_id)
    copies = list(_copies(told, folder, batch.name, every_picture=every_picture))
    if not overwrite:
        _refuse_conflicts(copies, folder)
    written, lost = 0, []
    for copy in copies:
        try:
            written += _write(resources, copy)
        except (FileNotFoundError, PictureLost) as failure:
            lost.append(f"row {copy.row}: the store has lost {copy.key!r} ({type(failure).__name__})")
    log = folder / f"{fit_name(batch.name)}_generation_log.csv"
    targets = {copy.asset_id: copy.target for copy in copies}
    lines = [_with_targets(line_of(resources, details), details, targets) for details in told]
    report = replace(report_of(resources, batch_id), generations=lines)
    write_log(report, log)
    write_tries(report, folder / f"{fit_name(batch.name)}_tries.csv")
    return Exported(written=written, kept=len(copies) - written - len(lost), lost=lost, log=log)


def _copies(told: Sequence[GenerationDetails], folder: Path, batch: str, *, every_picture: bool) -> Iterator[_Copy]:
    seen: Counter[int] = Counter()
    for details in told:
        row = details.generation
        position: int = row["position"]
        seen[position] += 1
        # A changed row has several generations; the first keeps its file name.
        version = "" if seen[position] == 1 else f"v{seen[position]}"
        accepted = row["state"] == GenerationState.COMPLETED
        place = folder if accepted else folder / "rejected"
        place = place.joinpath(*(fit_name(part) for part in (row["theme"], row["variation"]) if part))
        chosen = _chosen(details, every_picture=every_picture) if accepted or every_picture else []
        called, finished = generations.labels(details), generations.finished_pictures(details, passed=True)
        for asset in chosen:
            which = f"-{called[asset['id']]}" if every_picture else ""
            if not every_picture and asset["id"] in finished:
                which = f"-{finished[asset['id']].replace(' ', '-')}"
            name = f"{fit_name(batch)}-{position:04d}{version}{which}{Path(asset['r2_key']).suffix}"
            yield _Copy(
                row=position,
                asset_id=asset["id"],
                key=asset["r2_key"],
                sha256=asset["sha256"],
                target=place / name,
            )


def _chosen(details: GenerationDetails, *, every_picture: bool) -> list[dict[str, Any]]:
    stored = [asset for asset in details.assets if asset["r2_key"] is not None]
    if every_picture:
        return stored
    finished = generations.finished_pictures(details, passed=True)
    best = [asset for asset in stored if asset["best"]][-1:] or stored[:1]
    return [*best, *(asset for asset in stored if asset["id"] in finished)]


def fit_name(name: str) -> str:
    """`name` as a path component that is safe on any system: not empty, not hidden, without separators."""
    fit = _UNFIT.sub("-", unicodedata.normalize("NFC", name)).strip("-. ")
    fit = fit[:_LONGEST].rstrip("-. ") or "unnamed"
    return _DEVICE.sub(r"\1-\2", fit) if _DEVICE.fullmatch(fit) else fit


def _refuse_conflicts(copies: Sequence[_Copy], folder: Path) -> None:
    others = [copy.target for copy in copies if copy.target.exists() and not _holds(copy.target, copy.sha256)]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise BadInput(
            f"{str(others[0])!r}{more} would be written over and hold something else;"
            f" name another folder than {str(folder)!r}, or say --overwrite"
        )


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == digest


def _write(resources: Resources, copy: _Copy) -> bool:
    """Write the picture to its target; returns False if it was there.

    Raises:
        FileNotFoundError, PictureLost: the store does not have it, or has it damaged.
    """
    if _holds(copy.target, copy.sha256):
        return False
    content = resources.store.get(copy.key)
    copy.target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = copy.target.with_name(f".{copy.target.name}.unfinished")
    unfinished.write_bytes(content)
    # Atomically, so that an interrupted export leaves no partial file.
    unfinished.replace(copy.target)
    return True


def _with_targets(line: GenerationLine, details: GenerationDetails, targets: dict[Any, Path]) -> GenerationLine:
    """The line with the paths that its pictures were written to."""
    called = generations.labels(details)
    shown = {called[one["id"]]: targets.get(one["id"]) for one in details.assets}
    assets: list[AssetLine] = [replace(one, path=shown.get(str(one.label)) or one.path) for one in line.assets]
    return replace(line, assets=assets)
