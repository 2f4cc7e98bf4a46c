"""What a team's keys see, and nothing of another team's: each function takes the team and finds nothing outside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from db.reads import generations, one_generation, teams
from db.reads.generations import GenerationDetails, Wanted
from db.reads.one_generation import FoundGeneration
from db.reads.teams import BatchLine, Page
from domain.errors import UnknownThing
from domain.ids import BatchId, sha256
from pipeline.resources import Resources
from pipeline.views.status import BatchStatus, of_batch

__all__ = ["BatchLine", "FoundGeneration", "GenerationDetails", "Page", "Picture", "Totals"]


def generation(resources: Resources, team: str, text: str) -> GenerationDetails:
    """The team's generation of that id, also after its deletion.

    Raises:
        UnknownThing: it has none; another team's is none.
    """
    return find_generation(resources, team, text).details()


def find_generation(resources: Resources, team: str, text: str) -> FoundGeneration:
    """The team's generation of that id, and whether it was deleted.

    Raises:
        UnknownThing: it has none; another team's is none.
    """
    wanted = read_id(text)
    found = [] if wanted is None else find_generations(resources, [wanted])
    if not found or found[0].team != team:
        raise UnknownThing(f"there is no generation {text!r}")
    return found[0]


def find_generations(resources: Resources, ids: Sequence[UUID]) -> list[FoundGeneration]:
    """Those of these generations that there are, of any team: the caller compares."""
    with resources.database.lookup() as connection:
        return one_generation.find(connection, ids)


def generations_page(resources: Resources, page: Page) -> list[GenerationDetails]:
    """The newest first, without deleted ones."""
    with resources.database.transaction() as connection:
        ids = teams.generation_ids(connection, page)
        told = generations.all_details(connection, Wanted(generation_ids=ids)) if ids else []
    place = {one: number for number, one in enumerate(ids)}
    return sorted(told, key=lambda details: place[details.generation["id"]])


def batch(resources: Resources, team: str, text: str) -> BatchStatus:
    """The team's batch of that id.

    Raises:
        UnknownThing: it has none; another team's is none.
    """
    found = read_id(text)
    with resources.database.transaction() as connection:
        if found is None or teams.team_of_batch(connection, found) != team:
            raise UnknownThing(f"there is no batch {text!r}")
    return of_batch(resources, BatchId(found))


def batches_page(
    resources: Resources, team: str, *, before: UUID | None = None, limit: int = 20, user_id: str | None = None
) -> list[BatchLine]:
    with resources.database.transaction() as connection:
        return teams.batch_lines(connection, team, before=before, limit=limit, user_id=user_id)


def batch_named(resources: Resources, name: str, *, user_id: str, team: str) -> tuple[BatchId, UUID | None] | None:
    """The batch of that name and the key that made it, where there is one."""
    with resources.database.transaction() as connection:
        return teams.batch_named(connection, name, user_id=user_id, team=team)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A stored picture, whole."""

    content: bytes
    media_type: str
    sha256: str


def picture(resources: Resources, team: str, text: str) -> Picture:
    """The team's stored picture of that asset's id.

    Raises:
        UnknownThing: it has none, or its file is gone.
        PictureLost: the file is damaged.
    """
    found = read_id(text)
    with resources.database.transaction() as connection:
        row = None if found is None else teams.picture(connection, found, team=team)
    if row is None:
        raise UnknownThing(f"there is no picture {text!r}")
    key, media_type, digest = row
    try:
        content = resources.store.get(key)
    except FileNotFoundError:
        raise UnknownThing(f"the file of picture {text!r} is gone") from None
    return Picture(
        content=content, media_type=media_type or "application/octet-stream", sha256=digest or sha256(content)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A team's money and pictures over all time."""

    charged_usd: Decimal
    held_usd: Decimal
    in_doubt_usd: Decimal
    batches: int
    generations: int
    accepted: int

    @property
    def usd_per_accepted(self) -> Decimal | None:
        return self.charged_usd / self.accepted if self.accepted else None


def totals(resources: Resources, team: str) -> Totals:
    with resources.database.transaction() as connection:
        return Totals(**teams.totals(connection, team))


def figures(resources: Resources, team: str, *, by: str, days: int) -> list[dict[str, Any]]:
    """Generations, cost, success and stage times of the last days, by `day`, `user` or `model`."""
    with resources.database.transaction() as connection:
        return teams.figures(connection, team, by=by, days=days)


def spend_by_day(resources: Resources, team: str, *, days: int) -> list[tuple[str, Decimal, int]]:
    with resources.database.transaction() as connection:
        return teams.spend(connection, team, days=days)


def read_id(text: str) -> UUID | None:
    """The id that a text is; None where it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None
