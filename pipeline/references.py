"""A character's reference pictures: their bytes for the check, their addresses for the providers."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from db import characters
from db.characters import CharacterRow, ReferenceRow
from db.work import Work
from domain.errors import PictureLost, RequestRefused, ServiceMissing
from domain.ids import CharacterId
from pipeline.resources import Resources
from providers.base import Lane
from validation.base import Reference
from validation.embedder import Source


def urls_for(resources: Resources, lane: Lane, work: Work) -> list[str]:
    """Addresses of the references for this attempt: those the settings name, else those of all its characters.

    Raises:
        RequestRefused: a reference has no address the provider could read.
        ServiceMissing: a reference is not in the store of this machine.
        ProviderError: uploading one failed.
    """
    named = named_urls(work.settings)
    if named:
        return named
    if work.settings.get("references") is False:
        return []
    whom = [character_of(resources, one) for one in work.character_ids]
    return [row.source_url or _url(resources, lane, row) for character in whom for row in character.references]


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
        return resources.shelf.content(row.sha256, lambda: resources.store.get(row.r2_key))
    except (OSError, PictureLost) as error:
        raise ServiceMissing(
            f"reference {row.position + 1} cannot be read from the picture store of this worker ({error});"
            " share the store among the workers, or add the character again"
        ) from error


def _url(resources: Resources, lane: Lane, row: ReferenceRow) -> str:
    def upload() -> str:
        url = lane.upload_reference(_content(resources, row), row.media_type)
        if url is None:
            url = resources.store.publish(row.r2_key).url
        if url is None:
            raise RequestRefused(
                f"reference {row.position + 1} has no address that {lane.provider!r} could read; "
                "configure R2 (R2_ENDPOINT_URL, R2_CDN_URL) or pass --cref-urls"
            )
        return url

    return resources.shelf.url(lane.name, row.sha256, upload)
