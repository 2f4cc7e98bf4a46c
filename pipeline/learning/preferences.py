"""Fit the preference head to what people have said, and rank prompts and pictures by it.

Choices (`feedback compare`) count as they are; hearts, outliers and ratings become choices between pictures of one
batch by one person. Pictures enter as the embeddings that their check has left behind: nothing is embedded for this,
and no generator is trained.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from db.records import batches, embeddings, preferences
from db.records.preferences import HeadRow
from domain.access import LOCAL_TEAM
from domain.ids import AssetId, BatchId
from learning.opinions import Opinion, Preferred, choices, liking_of
from learning.preference import VERSION, Bin, Head, HeadStatus, Pair, digest_of, train
from learning.vectors import embedding, packed, unpacked
from learning.vectors import embeddings as stacked
from pipeline.resources import Resources
from validation.embedder import fingerprint_of

#: The latest of each kind; the fit of more would take minutes and change little.
_MOST: Final = 5000


def train_all(resources: Resources) -> None:
    """Fit a head for each team that has said something."""
    with resources.database.transaction() as connection:
        teams = preferences.teams(connection)
    for team in teams:
        train_head(resources, team=team)


def train_head(resources: Resources, *, team: str = LOCAL_TEAM) -> Head | None:
    """Fit a head to all choices of a team; None where no model has embedded anything yet.

    What was fitted already is not fitted again.
    """
    with resources.database.transaction() as connection:
        frames = embeddings.frames(connection)
    if not frames:
        return None
    fingerprint = frames[0].fingerprint
    pairs = _pairs(resources, fingerprint, team=team)
    with resources.database.transaction() as connection:
        if preferences.has_head(connection, team=team, digest=digest_of(pairs), fingerprint=fingerprint):
            return _head(preferences.latest_head(connection, team=team, fingerprint=fingerprint))
    head = train(pairs)
    with resources.database.transaction() as connection:
        preferences.keep_head(connection, _row(head, fingerprint, team=team))
    return head


def latest(resources: Resources, *, team: str = LOCAL_TEAM) -> Head | None:
    """The head of a team that was fitted last, whatever it is worth."""
    with resources.database.transaction() as connection:
        return _head(preferences.latest_head(connection, team=team))


def usable_head(resources: Resources, fingerprint: str, *, batch_id: BatchId) -> Head | None:
    """The head of a model that the team of a batch has, if it may be used."""

    def read() -> Head | None:
        with resources.database.transaction() as connection:
            team = batches.team_of(connection, batch_id)
            head = _head(preferences.latest_head(connection, team=team, fingerprint=fingerprint))
        return head if head is not None and head.usable else None

    return resources.preference_heads.get(f"{batch_id} {fingerprint}", read)


def rewards_of(head: Head, vectors: Mapping[AssetId, bytes], *, user_id: str) -> dict[AssetId, float]:
    """How much each picture is liked, by everybody and, where enough is known of them, by this user."""
    if not vectors:
        return {}
    found = head.rewards(stacked(list(vectors.values())), persona=user_id)
    return dict(zip(vectors, map(float, found), strict=True))


def ranked(head: Head, texts: Sequence[str], vectors: Sequence[bytes], *, user_id: str) -> list[tuple[str, float]]:
    """Prompts with their rewards, best first; the earlier one first among equals."""
    found = zip(texts, map(float, head.rewards(stacked(vectors), persona=user_id)), strict=True)
    return sorted(found, key=lambda one: -one[1])


def fingerprint_in(origin: Mapping[str, str]) -> str:
    """The key of the model that a verdict's origin names."""
    return fingerprint_of(revision=origin["revision"], preprocessing=origin["preprocessing"], dtype=origin["dtype"])


def _pairs(resources: Resources, fingerprint: str, *, team: str) -> list[Pair]:
    with resources.database.transaction() as connection:
        chosen = preferences.choices(connection, team=team, most=_MOST)
        said = preferences.opinions(connection, team=team, most=_MOST)
    opinions = [
        Opinion(picture=one.sha256, person=one.user_id, group=one.batch_id, liking=liking)
        for one in said
        if (liking := liking_of(one.kind, one.rating)) is not None
    ]
    told = [Preferred(picture=one.preferred, other=one.other, person=one.user_id) for one in chosen]
    told += choices(opinions)
    pictures = sorted({one.picture for one in told} | {one.other for one in told})
    with resources.database.transaction() as connection:
        vectors = embeddings.get_many(connection, pictures, fingerprint=fingerprint)
    known = {name: embedding(stored[0]) for name, stored in vectors.items()}
    return [
        Pair(preferred=known[one.picture], other=known[one.other], persona=one.person)
        for one in told
        if one.picture in known and one.other in known
    ]


def _row(head: Head, fingerprint: str, *, team: str) -> HeadRow:
    return HeadRow(
        team=team,
        digest=head.digest,
        fingerprint=fingerprint,
        version=VERSION,
        standing=head.standing.value,
        pairs=head.pairs,
        accuracy=head.accuracy,
        low=head.low,
        high=head.high,
        penalty=head.penalty,
        bins=[asdict(one) for one in head.bins],
        weights=packed(head.weights),
        offsets={name: b64encode(packed(offset)).decode() for name, offset in head.offsets.items()},
    )


def _head(row: HeadRow | None) -> Head | None:
    if row is None:
        return None
    return Head(
        standing=HeadStatus(row.standing),
        weights=unpacked(bytes(row.weights)),
        pairs=row.pairs,
        digest=row.digest,
        offsets={name: unpacked(b64decode(offset)) for name, offset in row.offsets.items()},
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        bins=[Bin(**one) for one in row.bins],
        penalty=row.penalty,
    )
