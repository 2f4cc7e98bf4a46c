"""Looks once at each address of a reference that an order names, before anything of it is sent.

What stands behind an address says whether a service could read it, and which picture it is: a renewed link to the same
picture is the same reference.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from domain.errors import BadInput, PictureLost, RequestRefused
from domain.stored_pictures import StoredPicture, stored_picture
from pipeline.characters.references import look_at
from pipeline.intake.columns import ADDRESSES
from pipeline.resources import Resources

_LOOKERS: Final = 8
_NAMED: Final = 5
_PICTURE: Final = re.compile(r"https?://[^\s\"'<>,;|]+\.(?:png|jpe?g|webp|gif)(?:\?[^\s\"'<>,;|]*)?", re.IGNORECASE)
_BEHIND_A_FLAG: Final = re.compile(r"[-‐-―−－](?:cref|oref|sref)[\s=]+((?:https?://\S+[\s,;|]*)+)", re.IGNORECASE)
_WEIGHT: Final = re.compile(r"::\d[\d.]*$")
_ADDRESS: Final = re.compile(r"https?://[^\s\"'<>,;|]+", re.IGNORECASE)

#: A provider, and an address that a row of its names.
Named = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What was found behind the addresses of an order.

    Args:
        contents: digests of the pictures by address.
        refused: why a service could not read what is there.
        unreached: addresses whose hosts could not be reached from here.
        passed_over: addresses that nobody looked at, since a person said so.
    """

    contents: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[Named, str] = field(default_factory=dict)
    unreached: Sequence[str] = ()
    passed_over: int = 0

    def in_words(self) -> str | None:
        """For the dry run; None where no row names an address."""
        if self.passed_over:
            return f"{_counted(self.passed_over)} not looked at (--no-look)"
        looked = len(self.contents) + len(self.refused)
        if not looked and not self.unreached:
            return None
        away = f"; {len(self.unreached)} could not be reached from here" if self.unreached else ""
        return f"{_counted(looked)} looked at{away}"


def look(resources: Resources, named: Iterable[Named], *, pictures: Container[str] = ()) -> Looks:
    """Look at each of them; what cannot be used is told, and raises nothing yet.

    Args:
        pictures: keys of those that the store will have once the order is committed.
    """
    lanes = {lane.provider: lane for lane in resources.lanes.values()}
    asked = [one for one in named if one[0] in lanes]

    def found(one: Named) -> str | RequestRefused | None:
        try:
            if (stored := stored_picture(one[1])) is not None and stored.key not in pictures:
                _look_into_store(resources, stored)
            return look_at(resources, lanes[one[0]], one[1])
        except RequestRefused as failure:
            return failure

    with ThreadPoolExecutor(max_workers=_LOOKERS, thread_name_prefix="look") as pool:
        said = list(zip(asked, pool.map(found, asked), strict=True))
    return Looks(
        contents={url: digest for (_, url), digest in said if isinstance(digest, str)},
        refused={one: str(failure) for one, failure in said if isinstance(failure, RequestRefused)},
        unreached=sorted({url for (_, url), digest in said if digest is None}),
    )


def _look_into_store(resources: Resources, stored: StoredPicture) -> None:
    """An address of this kind is written by an export, and may have come from another installation."""
    try:
        resources.store.get(stored.key)
    except (OSError, PictureLost) as failure:
        raise RequestRefused(
            f"the picture {stored.key!r} is not in the store of this installation ({failure}); lay it into the"
            " workbook again"
        ) from failure


def refuse(looks: Looks, lines: Mapping[Named, Sequence[int]], *, wanted: Iterable[Named]) -> None:
    """Refuse an order whose new rows name something that cannot be used.

    Args:
        lines: of the file, that name each address.
        wanted: what the rows name that would be added; a link that only finished rows name may have run out.

    Raises:
        BadInput: which, with its line.
    """
    bad = [(one, looks.refused[one]) for one in dict.fromkeys(wanted) if one in looks.refused]
    if bad:
        said = "; ".join(f"line {', '.join(map(str, lines[one][:_NAMED]))}: {why}" for one, why in bad[:_NAMED])
        raise BadInput(f"{len(bad)} of the references that the rows name can't be used. {said}")


def addresses_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """Addresses of pictures that settings name."""
    for name in sorted(ADDRESSES & settings.keys()):
        said = settings[name] or ()
        for one in said.split() if isinstance(said, str) else map(str, said):
            # A reference of a style may be a code, and may have a weight.
            address = _WEIGHT.sub("", one) if name == "sref" else one
            if name == "cref_urls" or address.startswith(("http://", "https://")):
                yield address


def addresses_in_prompt(prompt: str) -> Iterator[str]:
    """Addresses of pictures that a prompt names among its words, or behind a flag of a reference."""
    if "://" in prompt:
        found = dict.fromkeys(one.group() for one in _PICTURE.finditer(prompt))
        for behind in _BEHIND_A_FLAG.finditer(prompt):
            found |= dict.fromkeys(_ADDRESS.findall(behind[1]))
        yield from found


def _counted(addresses: int) -> str:
    return "1 reference was" if addresses == 1 else f"{addresses:,} references were"
