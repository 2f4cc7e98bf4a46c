"""Export a batch's pictures into folders by theme and variation, with their provenance, a log and a document.

An export can be repeated: pictures that are there are kept, those whose record has changed get the new one, and what is
missing is written. A file that holds another picture is overwritten only on request. Every file appears whole or not
at all, so that an export that is killed leaves nothing half written.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path
from typing import Any

from db.reads.generations import GenerationDetails
from domain.errors import BadInput, PictureLost
from domain.ids import BatchId, sha256
from domain.money import show
from domain.states import GenerationState
from pipeline.resources import Resources
from pipeline.views import generations, status
from pipeline.views.export_leftovers import REJECTED, leftovers
from pipeline.views.export_names import DEFAULT_TEMPLATE, ExportNames, fit_name
from pipeline.views.generations import Wanted
from pipeline.views.provenance_record import record_of
from pipeline.views.report import line_of, report_of
from reports.generation_log import write_log
from reports.picture_containers import NotEmbeddable
from reports.provenance import embedded, original_of, sidecar_of, sidecar_text, with_hashes
from reports.records import AssetLine, GenerationLine, Report
from reports.tries import write_tries

__all__ = ["DEFAULT_TEMPLATE", "ExportOptions", "Exported", "export", "fit_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is wanted of an export.

    Args:
        every_picture: all stored pictures; those not accepted go into the subfolder `rejected`.
        overwrite: replace files that hold another picture.
        template: of the names; see `pipeline.views.export_names`.
        link: hard links to the stored files where the file system allows it, so that no picture takes its place twice.
            Their record is then in the file beside them alone.
    """

    every_picture: bool = False
    overwrite: bool = False
    template: str = DEFAULT_TEMPLATE
    link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The result of an export.

    Args:
        written: pictures written now.
        kept: pictures that were there already.
        linked: of those written, the hard links.
        unmarked: a sentence for each picture whose file takes no record; its sidecar has it.
        lost: a sentence for each picture that could not be exported.
        leftovers: pictures of the batch in the folder that this export would not write, such as what was rejected since
            an earlier one; they are left there.
        log, document: the generations as CSV and as JSON.
    """

    written: int
    kept: int
    linked: int
    unmarked: Sequence[str]
    lost: Sequence[str]
    leftovers: Sequence[Path]
    log: Path
    document: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """One picture to export.

    Args:
        record: its provenance, without digests.
    """

    asset_id: Any
    key: str
    sha256: str
    target: Path
    record: dict[str, Any]


class _AtTarget(Enum):
    """What is at a target before the export."""

    MISSING = auto()
    SAME = auto()
    OUTDATED = auto()  # the same picture, with another record
    OTHER = auto()


def export(resources: Resources, batch_id: BatchId, folder: Path, options: ExportOptions | None = None) -> Exported:
    """Write the accepted pictures of the batch, what they were finished to, their records, the log and the tries.

    Raises:
        BadInput: a template that can't be used; or files with other content exist, and nothing was written.
        OSError: the folder cannot be used.
    """
    options = options or ExportOptions()
    batch = status.of_batch(resources, batch_id).batch
    told = generations.page(resources, Wanted(batch_id=batch_id, user_id=batch.user_id))
    copies = list(_copies(told, folder, batch.name, options))
    present = {copy.target: _at_target(copy, options) for copy in copies}
    if not options.overwrite:
        _refuse_conflicts([copy.target for copy in copies if present[copy.target] is _AtTarget.OTHER], folder)
    writer = _Writer(resources, options)
    for copy in copies:
        if present[copy.target] is not _AtTarget.SAME:
            writer.write(copy)
    report = report_of(resources, batch_id)
    known = {copy.target: (copy.record["generation_id"], copy.sha256) for copy in copies}
    log, document = _write_lists(resources, told, folder, copies, report)
    return Exported(
        written=writer.written,
        kept=sum(one is _AtTarget.SAME for one in present.values()),
        linked=writer.linked,
        unmarked=writer.unmarked,
        lost=writer.lost,
        leftovers=leftovers(folder, str(batch_id), known, every_picture=options.every_picture),
        log=log,
        document=document,
    )


def _copies(told: Sequence[GenerationDetails], folder: Path, batch: str, options: ExportOptions) -> Iterator[_Copy]:
    rows = _name_rows(told, batch)
    names = ExportNames(options.template, rows)
    for details, row in zip(told, rows, strict=True):
        accepted = details.generation["state"] == GenerationState.COMPLETED
        place = folder if accepted else folder / REJECTED
        called, finished = generations.labels(details), generations.finished_pictures(details, passed=True)
        for asset in _chosen(details, every_picture=options.every_picture) if accepted or options.every_picture else []:
            label = called[asset["id"]] if options.every_picture else finished.get(asset["id"], "").replace(" ", "-")
            path = names.path(row, label or None)
            yield _Copy(
                asset_id=asset["id"],
                key=asset["r2_key"],
                sha256=asset["sha256"],
                target=place / path.with_name(path.name + Path(asset["r2_key"]).suffix),
                record=record_of(details, asset, batch=batch),
            )


def _name_rows(told: Sequence[GenerationDetails], batch: str) -> list[dict[str, str]]:
    """What the names of each generation's pictures are made of."""
    seen: Counter[int] = Counter()
    rows = []
    for details in told:
        row = details.generation
        position: int = row["position"]
        seen[position] += 1
        # A changed row has several generations; the first keeps its file name.
        version = "" if seen[position] == 1 else f"v{seen[position]}"
        known = {name: row[name] for name in ("id", "theme", "variation", "provider", "model")}
        known["index"] = row["pipeline_data"].get("row", {}).get("index")
        known["seed"] = row["settings"].get("seed")
        texts = {name: "" if value is None else str(value) for name, value in known.items()}
        rows.append({**texts, "batch": batch, "row": f"{position:04d}{version}"})
    return rows


def _chosen(details: GenerationDetails, *, every_picture: bool) -> list[dict[str, Any]]:
    stored = [asset for asset in details.assets if asset["r2_key"] is not None]
    if every_picture:
        return stored
    finished = generations.finished_pictures(details, passed=True)
    best = [asset for asset in stored if asset["best"]][-1:] or stored[:1]
    return [*best, *(asset for asset in stored if asset["id"] in finished)]


def _refuse_conflicts(others: Sequence[Path], folder: Path) -> None:
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise BadInput(
            f"{str(others[0])!r}{more} would be written over and hold something else;"
            f" name another folder than {str(folder)!r}, or say --overwrite"
        )


def _at_target(copy: _Copy, options: ExportOptions) -> _AtTarget:
    if not copy.target.is_file():
        return _AtTarget.OTHER if copy.target.exists() else _AtTarget.MISSING
    present = copy.target.read_bytes()
    original = original_of(present)
    if sha256(original) != copy.sha256:
        return _AtTarget.OTHER
    file = _File.of(copy, original, options)
    beside = sidecar_of(copy.target)
    same = file.content == present and beside.is_file() and beside.read_text(encoding="utf-8") == file.sidecar
    return _AtTarget.SAME if same else _AtTarget.OUTDATED


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A picture as it is to be written, its sidecar, and why it has no record of its own, or None."""

    content: bytes
    sidecar: str
    unmarked: str | None = None

    @classmethod
    def of(cls, copy: _Copy, original: bytes, options: ExportOptions) -> "_File":
        record = with_hashes(copy.record, original)
        if options.link:
            return cls(content=original, sidecar=sidecar_text(record))
        try:
            return cls(content=embedded(original, record), sidecar=sidecar_text(record))
        except NotEmbeddable as failure:
            return cls(content=original, sidecar=sidecar_text(record), unmarked=str(failure))


class _Writer:
    """Writes pictures and counts them."""

    def __init__(self, resources: Resources, options: ExportOptions) -> None:
        self._resources = resources
        self._options = options
        self.written = self.linked = 0
        self.unmarked: list[str] = []
        self.lost: list[str] = []

    def write(self, copy: _Copy) -> None:
        try:
            file = _File.of(copy, self._resources.store.get(copy.key), self._options)
        except (FileNotFoundError, PictureLost) as failure:
            row = copy.record["row"]
            self.lost.append(f"row {row}: the store has lost {copy.key!r} ({type(failure).__name__})")
            return
        copy.target.parent.mkdir(parents=True, exist_ok=True)
        # Before the picture, so that no picture stands there without.
        _put(sidecar_of(copy.target), file.sidecar.encode())
        if self._options.link and self._link(copy):
            self.linked += 1
        else:
            _put(copy.target, file.content)
        self.written += 1
        if file.unmarked is not None:
            self.unmarked.append(f"{copy.target} has no record inside, only beside it: {file.unmarked}")

    def _link(self, copy: _Copy) -> bool:
        """Make the target another name of the stored file; False where file systems do not allow it."""
        stored = self._resources.store.path_of(copy.key)
        if stored is None:
            return False
        draft = _draft_of(copy.target)
        draft.unlink(missing_ok=True)
        try:
            draft.hardlink_to(stored)
        except OSError:
            return False  # another disk, a bucket, or a file system without links
        draft.replace(copy.target)
        return True


def _draft_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.unfinished")


def _put(target: Path, content: bytes) -> None:
    """Write the file atomically; an earlier draft of a process that was killed is replaced."""
    draft = _draft_of(target)
    # Never through the hard link that an earlier export may have left as its draft: that would write into the store.
    draft.unlink(missing_ok=True)
    draft.write_bytes(content)
    draft.replace(target)


def _write_lists(
    resources: Resources, told: Sequence[GenerationDetails], folder: Path, copies: Sequence[_Copy], report: Report
) -> tuple[Path, Path]:
    """The generations with the files that they have here, as CSV and as JSON; the tries, where there were several."""
    targets = {copy.asset_id: copy.target for copy in copies if copy.target.is_file()}
    lines = [_with_targets(line_of(resources, details), details, targets) for details in told]
    name = fit_name(report.name)
    log, document = folder / f"{name}_generation_log.csv", folder / f"{name}_generations.json"
    tries = folder / f"{name}_tries.csv"
    draft = _draft_of(log)
    write_log(replace(report, generations=lines), draft)
    draft.replace(log)
    draft = _draft_of(tries)
    if write_tries(replace(report, generations=lines), draft):
        draft.replace(tries)
    _put(document, _document(told, folder, copies, report).encode())
    return log, document


def _document(told: Sequence[GenerationDetails], folder: Path, copies: Sequence[_Copy], report: Report) -> str:
    """Every generation of the batch as JSON, each with the pictures that are in the folder and their records."""
    files: dict[str, list[dict[str, Any]]] = {}
    for copy in copies:
        if copy.target.is_file():
            file = copy.target.relative_to(folder).as_posix()
            files.setdefault(copy.record["generation_id"], []).append({"file": file, **copy.record})
    rows = [
        {
            **{name: one.generation[name] for name in ("position", "theme", "variation", "prompt", "state", "status")},
            "id": str(one.generation["id"]),
            "cost_usd": show(one.generation["cost"]),
            "error_code": one.generation["error_code"],
            "error": one.generation["error_message"],
            "pictures": files.get(str(one.generation["id"]), []),
        }
        for one in told
    ]
    batch = {"batch": report.name, "batch_id": report.batch_id, "accepted": report.accepted, "total": report.total}
    return json.dumps({**batch, "generations": rows}, ensure_ascii=False, indent=1) + "\n"


def _with_targets(line: GenerationLine, details: GenerationDetails, targets: dict[Any, Path]) -> GenerationLine:
    """The line with the paths that its pictures were written to."""
    called = generations.labels(details)
    shown = {called[one["id"]]: targets.get(one["id"]) for one in details.assets}
    assets: list[AssetLine] = [replace(one, path=shown.get(str(one.label)) or one.path) for one in line.assets]
    return replace(line, assets=assets)
