"""A character's reference pictures: their bytes for the check, their addresses for the providers."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from db.reads.work import Work
from db.records import characters
from db.records.characters import CharacterRow, ReferenceRow
from domain.errors import NotAPicture, PictureAway, PictureLost, RequestRefused, ServiceMissing
from domain.ids import CharacterId, sha256
from domain.picture_types import picture_type
from domain.stored_pictures import stored_picture, with_stored
from pipeline.characters.readable import readable
from pipeline.resources import Resources
from providers.catalogue import Model
from providers.contract import Lane
from providers.transport.fetch import PictureGuarded
from storage.base import StoreAway
from validation.base import Reference
from validation.embedder import Source

log = logging.getLogger(__name__)

#: Longer than a picture on a working host takes; a submission waits for it once, and then nobody for a while.
_LOOK_S: Final = 10.0
_BYTES_PER_PIXEL_AT_MOST: Final = 5

#: A reference that goes along with a call: an address that its settings name, or one of a character's pictures.
SentReference = str | ReferenceRow


def chosen_references(
    settings: Mapping[str, Any], rows: Iterable[ReferenceRow], *, model: Model | None
) -> list[SentReference]:
    """The references that a call with these settings takes along, best first: the one answer to that question.

    Those that the settings name win over the characters' own, and no more go along than the model takes.

    Args:
        rows: of all its characters.
        model: None for one that the catalogue has lost, whose wire knows better.
    """
    named, wanted = named_urls(settings), how_many(settings)
    if not named and wanted == 0:
        return []
    most = model.references.most if model is not None and model.references is not None else None
    return [*(named or rows)][: wanted or None][:most]


def how_many(settings: Mapping[str, Any]) -> int | None:
    """How many references the settings want to go along, the best first; None for all."""
    wanted = settings.get("references")
    return int(wanted) if isinstance(wanted, int) and wanted is not True else None


def pixels_of(sent_references: Sequence[SentReference]) -> list[int | None]:
    """How large each is; None for one that is known by its address alone."""
    return [None if isinstance(one, str) else one.width * one.height for one in sent_references]


def references_sent(resources: Resources, work: Work, *, model: Model | None) -> list[SentReference]:
    """The references of this attempt, as they are now."""
    characters_of = [
        resources.reference_cache.character(one, partial(character_of, resources, one)) for one in work.character_ids
    ]
    return chosen_references(work.settings, [row for one in characters_of for row in one.references], model=model)


def urls_of(resources: Resources, lane: Lane, sent_references: Sequence[SentReference]) -> list[str]:
    """Addresses under which the lane's provider can read them; a file without one is uploaded.

    Raises:
        RequestRefused: a reference has no address the provider could read.
        ServiceMissing: a reference is not in the store of this machine, or waits for a bucket that is away.
        ProviderError: uploading one failed.
    """
    return [
        _looked_at(resources, lane, one) if isinstance(one, str) else _url(resources, lane, one)
        for one in sent_references
    ]


def look_at(resources: Resources, lane: Lane, url: str) -> str | None:
    """Digest of the picture behind an address that the lane's service reads; None where the host can't be reached.

    A service finds out only at work, counts it against the account, and is closed to everybody after a few of them. A
    host that can't be reached from here may be reached from there.

    Raises:
        RequestRefused: there is no picture, or not for everybody, or of a kind that the service does not read.
    """
    if (stored := stored_picture(url)) is not None:
        if not can_be_read(resources, lane):
            raise RequestRefused(
                f"a picture of this installation has no address that {lane.provider!r} could read; set R2_CDN_URL and"
                " the other R2 settings, or write an address instead; nothing was spent"
            )
        return stored.origin
    try:
        return resources.reference_cache.seen(lane.name, url, partial(_digest_of_readable, lane, url))
    except (PictureLost, NotAPicture, PictureGuarded) as failure:
        raise RequestRefused(f"the reference {url[:200]!r} is not sent: {failure}; nothing was spent") from failure
    except PictureAway as failure:
        log.info("the reference %s could not be looked at: %s", url, failure)
        return None


def settings_sent(resources: Resources, lane: Lane, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings as they are sent: the lane's provider can read the pictures of this installation that they name.

    Raises:
        RequestRefused, ServiceMissing, ProviderError: as `urls_of`.
    """
    return {name: with_stored(value, partial(_looked_at, resources, lane)) for name, value in settings.items()}


def _looked_at(resources: Resources, lane: Lane, url: str) -> str:
    look_at(resources, lane, url)
    stored = stored_picture(url)
    if stored is None:
        return url
    kept = _Kept(name="a picture of the prompt file", sha256=stored.sha256, key=stored.key, media_type="image/jpeg")
    return resources.reference_cache.url(lane.name, kept.sha256, partial(_brought, resources, lane, kept))


def _digest_of_readable(lane: Lane, url: str) -> str:
    content = lane.fetch_picture(url, total_s=_LOOK_S)
    media_type = f"image/{picture_type(content)}"
    if not lane.reads_reference(media_type, size=len(content)):
        raise RequestRefused(
            f"the reference {url[:200]!r} is not sent: {lane.provider!r} reads no {media_type} of {len(content):,}"
            " bytes; give a PNG, JPEG or WebP of a few megabytes"
        )
    return sha256(content)


def named_urls(settings: Mapping[str, Any]) -> list[str]:
    """The addresses that the settings name; a cell of a prompt file holds them as text, with spaces between."""
    named = settings.get("cref_urls") or ()
    return named.split() if isinstance(named, str) else [str(url) for url in named]


def character_of(resources: Resources, character_id: CharacterId) -> CharacterRow:
    """The character as it stands now: read for all threads that ask at the same time."""
    found = resources.grouped.characters.do(resources.database, character_id)
    if found is not None:
        return found
    with resources.database.transaction() as connection:
        return characters.get(connection, character_id)


def pictures_of(resources: Resources, character: CharacterRow) -> list[Reference]:
    """The references with their bytes, for the scorer.

    Raises:
        ServiceMissing: a reference is not in the store of this machine.
    """
    return [Reference(sha256=row.sha256, content=_content(resources, _kept(row))) for row in character.references]


def sources_of(resources: Resources, character: CharacterRow) -> list[Source]:
    """The references for an embedder, in their order; reading one that is not here raises `ServiceMissing`."""
    return [Source(sha256=row.sha256, read=partial(_content, resources, _kept(row))) for row in character.references]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A picture of the store that goes along, under the name that people are told."""

    name: str
    sha256: str
    key: str
    media_type: str


def _kept(row: ReferenceRow) -> _Kept:
    return _Kept(name=f"reference {row.position + 1}", sha256=row.sha256, key=row.r2_key, media_type=row.media_type)


def _content(resources: Resources, kept: _Kept) -> bytes:
    try:
        return resources.reference_cache.content(kept.sha256, lambda: resources.store.get(kept.key))
    except (OSError, PictureLost) as error:
        raise _not_here(kept, error) from error


def _not_here(kept: _Kept, error: Exception) -> ServiceMissing:
    return ServiceMissing(
        f"{kept.name} cannot be read from the picture store of this worker ({error});"
        " share the store among the workers, or add the character again"
    )


def can_be_read(resources: Resources, lane: Lane) -> bool:
    """Whether references can get to the lane's provider: as files, or by an address of the bucket's."""
    return lane.takes_files or resources.store.public_base is not None


def unread_types(lane: Lane, sent_references: Sequence[SentReference]) -> list[str]:
    """Media types of references that the lane's provider does not read, and that nobody converts on the way there."""
    types = {one.media_type for one in sent_references if not isinstance(one, str)}
    return [] if lane.takes_files else sorted(one for one in types if not lane.reads_reference(one, size=0))


def _url(resources: Resources, lane: Lane, row: ReferenceRow) -> str:
    """The address of one reference today: never one from the books, since the bucket's may have changed since."""
    base = resources.store.public_base
    if base is not None and row.uploaded_at is not None and (not lane.takes_files or _is_read(resources, lane, row)):
        return base + row.r2_key
    return resources.reference_cache.url(lane.name, row.sha256, partial(_brought, resources, lane, _kept(row)))


def _is_read(resources: Resources, lane: Lane, row: ReferenceRow) -> bool:
    """Whether the provider reads the file as it is; a few pixels can't make many bytes, so most files stay unread."""
    most = row.width * row.height * _BYTES_PER_PIXEL_AT_MOST
    if lane.reads_reference(row.media_type, size=most):
        return True
    return lane.reads_reference(row.media_type, size=len(_content(resources, _kept(row))))


def _brought(resources: Resources, lane: Lane, kept: _Kept) -> str:
    """The address of a reference that was not known to be in the bucket, after it was left with the lane or there."""
    url = None
    if lane.takes_files:
        url = lane.upload_reference(*readable(_content(resources, kept), kept.media_type, lane))
    if url is None:
        url = _published(resources, kept)
    if url is None:
        raise RequestRefused(
            f"{kept.name} has no address that {lane.provider!r} could read; "
            "set R2_CDN_URL and the other R2 settings, or pass --cref-urls"
        )
    return url


def _published(resources: Resources, kept: _Kept) -> str | None:
    try:
        return resources.store.publish(kept.key).url
    except StoreAway as failure:
        raise ServiceMissing(f"{kept.name} waits for the bucket: {failure}") from failure
    except (OSError, PictureLost) as error:
        raise _not_here(kept, error) from error
