"""A character's reference pictures: their bytes for the check, their addresses for the providers."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from db.reads.work import Work
from db.records import characters
from db.records.characters import CharacterRow, ReferenceRow
from domain.errors import PictureLost, RequestRefused, ServiceMissing
from domain.ids import CharacterId
from pipeline.resources import Resources
from providers.catalogue import Model
from providers.contract import Lane
from storage.base import StoreAway
from validation.base import Reference
from validation.embedder import Source

#: A reference that goes along with a call: an address that its settings name, or one of a character's pictures.
Going = str | ReferenceRow


def going_along(settings: Mapping[str, Any], rows: Iterable[ReferenceRow], *, model: Model | None) -> list[Going]:
    """The references that a call with these settings takes along, best first: the one answer to that question.

    Those that the settings name win over the characters' own, and no more go along than the model takes.

    Args:
        rows: of all its characters.
        model: None for one that the catalogue has lost, whose wire knows better.
    """
    named = named_urls(settings)
    if not named and settings.get("references") is False:
        return []
    most = model.references.most if model is not None and model.references is not None else None
    return [*(named or rows)][:most]


def pixels_of(going: Sequence[Going]) -> list[int | None]:
    """How large each is; None for one that is known by its address alone."""
    return [None if isinstance(one, str) else one.width * one.height for one in going]


def going_with(resources: Resources, work: Work, *, model: Model | None) -> list[Going]:
    """The references of this attempt, as they are now."""
    characters_of = [character_of(resources, one) for one in work.character_ids]
    return going_along(work.settings, [row for one in characters_of for row in one.references], model=model)


def urls_of(resources: Resources, lane: Lane, going: Sequence[Going]) -> list[str]:
    """Addresses under which the lane's provider can read them; a file without one is uploaded.

    Raises:
        RequestRefused: a reference has no address the provider could read.
        ServiceMissing: a reference is not in the store of this machine, or waits for a bucket that is away.
        ProviderError: uploading one failed.
    """
    return [one if isinstance(one, str) else _url(resources, lane, one) for one in going]


def named_urls(settings: Mapping[str, Any]) -> list[str]:
    """The addresses that the settings name; a cell of a prompt file holds them as text, with spaces between."""
    named = settings.get("cref_urls") or ()
    return named.split() if isinstance(named, str) else [str(url) for url in named]


def character_of(resources: Resources, character_id: CharacterId) -> CharacterRow:
    with resources.database.transaction() as connection:
        return characters.get(connection, character_id)


def pictures_of(resources: Resources, character: CharacterRow) -> list[Reference]:
    """The references with their bytes, for the scorer.

    Raises:
        ServiceMissing: a reference is not in the store of this machine.
    """
    return [Reference(sha256=row.sha256, content=_content(resources, row)) for row in character.references]


def sources_of(resources: Resources, character: CharacterRow) -> list[Source]:
    """The references for an embedder, in their order; reading one that is not here raises `ServiceMissing`."""
    return [Source(sha256=row.sha256, read=partial(_content, resources, row)) for row in character.references]


def _content(resources: Resources, row: ReferenceRow) -> bytes:
    try:
        return resources.reference_cache.content(row.sha256, lambda: resources.store.get(row.r2_key))
    except (OSError, PictureLost) as error:
        raise _not_here(row, error) from error


def _not_here(row: ReferenceRow, error: Exception) -> ServiceMissing:
    return ServiceMissing(
        f"reference {row.position + 1} cannot be read from the picture store of this worker ({error});"
        " share the store among the workers, or add the character again"
    )


def can_be_read(resources: Resources, lane: Lane) -> bool:
    """Whether references can get to the lane's provider: as files, or by an address of the bucket's."""
    return lane.takes_files or resources.store.public_base is not None


def _url(resources: Resources, lane: Lane, row: ReferenceRow) -> str:
    """The address of one reference today: never one from the books, since the bucket's may have changed since."""
    base = resources.store.public_base
    if base is not None and row.uploaded_at is not None:
        return base + row.r2_key
    return resources.reference_cache.url(lane.name, row.sha256, partial(_brought, resources, lane, row))


def _brought(resources: Resources, lane: Lane, row: ReferenceRow) -> str:
    """The address of a reference that was not known to be in the bucket, after it was left with the lane or there."""
    url = lane.upload_reference(_content(resources, row), row.media_type)
    if url is None:
        url = _published(resources, row)
    if url is None:
        raise RequestRefused(
            f"reference {row.position + 1} has no address that {lane.provider!r} could read; "
            "set R2_CDN_URL and the other R2 settings, or pass --cref-urls"
        )
    return url


def _published(resources: Resources, row: ReferenceRow) -> str | None:
    try:
        return resources.store.publish(row.r2_key).url
    except StoreAway as failure:
        raise ServiceMissing(f"reference {row.position + 1} waits for the bucket: {failure}") from failure
    except (OSError, PictureLost) as error:
        raise _not_here(row, error) from error
