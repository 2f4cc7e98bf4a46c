"""Attempts brought to their end by hand, with real pictures in the store of a home."""

import io
from pathlib import Path

from PIL import Image

from db.moves import validation
from db.moves.collection import NewAsset
from db.moves.validation import NewVerdict
from domain.ids import AssetId, AttemptId, CharacterId, sha256
from domain.states import GenerationState
from domain.verdict import Origin, Scores, Thresholds, Verdict
from storage.folder import FolderStore
from tests.support.books import Books

ORIGIN = Origin(model="small", revision="r", preprocessing="p", dtype="float32", references="f")
DEFAULTS = Thresholds(version=1, core=0.75, style=0.6, origin="default")


def picture(home: Path, colour: str, position: int = 0) -> NewAsset:
    """A small picture of one colour, stored where commands with this home look for it."""
    content = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(content, "PNG")
    stored = FolderStore(home / "pictures").put(content.getvalue(), ending="png")
    return NewAsset(
        position=position,
        r2_key=stored.key,
        sha256=sha256(content.getvalue()),
        media_type="image/png",
        file_size=len(content.getvalue()),
        width=8,
        height=8,
        metadata={},
    )


def collect(books: Books, attempt_id: AttemptId, *assets: NewAsset) -> GenerationState:
    """An admitted attempt is submitted, made, paid and collected."""
    books.accept(attempt_id, books.claim(attempt_id))
    books.make(attempt_id, books.polled(attempt_id))
    return books.collect(attempt_id, books.claim_collection(attempt_id), *assets)


def judge(
    books: Books,
    attempt_id: AttemptId,
    character: CharacterId,
    *cores: float,
    style: float = 0.9,
    thresholds: Thresholds = DEFAULTS,
) -> None:
    """Verdicts with these core scores for the attempt's pictures in their order; the highest is the best."""
    token = books.claim_validation(attempt_id)
    with books.database.transaction() as connection:
        assets = [stored.asset_id for stored in validation.inputs(connection, attempt_id)]
        found = [_verdict(asset, thresholds, core, style) for asset, core in zip(assets, cores, strict=True)]
        best = max(found, key=lambda one: one.verdict.scores.core).asset_id
        validation.judged(connection, attempt_id, token=token, character_id=character, found=found, best=best)


def _verdict(asset: AssetId, thresholds: Thresholds, core: float, style: float) -> NewVerdict:
    verdict = Verdict(scores=Scores(core=core, style=style), thresholds=thresholds)
    return NewVerdict(asset_id=asset, verdict=verdict, origin=ORIGIN)
