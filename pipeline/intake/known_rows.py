"""What a batch has already of the rows that are to be added to it.

A row that the batch has, asked for in exactly the same way, is known; so is one whose links were renewed, where the
same pictures are behind them: a reference is its content. One that differs only in what does not decide the picture
(the speed, the weight of a reference, a reference that nobody could look at) stays as it is too, unless a person says
`--redo`: a finished picture must not be paid for again because a link was renewed.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from db.incoming.laid_out import LaidOut, Tally, Unmatched
from db.records.reference_contents import digest_of
from domain.ids import GenerationId, canonical, identity_with
from domain.money import show
from domain.states import GenerationState
from pipeline.intake.reference_looks import Looks, Named, addresses_in, addresses_in_prompt
from providers.setting_values import UNSENT

#: Settings that say how a picture is made, and not which.
_HOW: Final = frozenset(
    {"mode", "timeout", "cref_urls", "cref", "cref_weight", "cw", "oref_url", "oref", "oref_weight", "ow", *UNSENT}
)
#: What was never made is made by a row whose link was renewed.
_NEVER_MADE: Final = frozenset({GenerationState.FAILED, GenerationState.CANCELED})
#: What came to nothing may be asked for in another way without a word.
_WITHOUT_A_PICTURE: Final = frozenset({GenerationState.REJECTED, GenerationState.FAILED, GenerationState.CANCELED})
_NAMED: Final = 3
_SHOWN_CHARS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Rows of an order, and what the batch has of them.

    Args:
        positions: of the rows, in the order of the file.
        generations: what the batch has of them.
    """

    positions: Sequence[int] = ()
    generations: frozenset[GenerationId] = frozenset()

    def __len__(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed(Matched):
    """Rows that the batch has in another way.

    Args:
        differences: setting, what it was, what it would be, and for how many rows.
        price_usd: what making them again is expected to cost.
    """

    differences: Sequence[tuple[str, str, str, int]] = ()
    price_usd: Decimal = Decimal(0)

    def in_words(self, *, redo: bool) -> str:
        """For a person, before anything is spent."""
        shown = ", ".join(f"{name} {was} is now {now} ({rows:,})" for name, was, now, rows in self.differences[:_NAMED])
        more = f" and {len(self.differences) - _NAMED} more" if len(self.differences) > _NAMED else ""
        rows = f"{len(self):,} row{'' if len(self) == 1 else 's'}"
        price = f"about {show(self.price_usd)} USD"
        if redo:
            return f"--redo makes {rows} again, for {price}, that the batch has in another way: {shown}{more}"
        return f"{rows} stay as the batch has them, although {shown}{more}; --redo makes them again, for {price}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a batch has of the rows of an order.

    Args:
        rows: how many it has, renewed ones among them.
        renewed: rows that it has under other links to the same references.
        changed: rows that it has in another way.
        new: the others that would be added, by kind.
        addresses: providers and addresses of pictures that those name, where one of the order's can't be used.
    """

    rows: int
    new: Sequence[Tally]
    renewed: Matched = Matched()
    changed: Changed = Changed()
    addresses: Sequence[Named] = ()


def compare(laid_out: LaidOut, *, redo: bool, looks: Looks, before: Mapping[str, str]) -> Known:
    """What the batch has of the rows that were laid out beside it.

    Args:
        looks: what was found behind the order's addresses.
        before: what was found when the batch was made, by digest of the address.
    """
    new = laid_out.tally_new()
    unknown = sum(one.count for one in new)
    renewed, changed = _matched(laid_out, _Pictures(before=before, now=looks.contents)) if unknown else _NONE
    over = [*renewed.positions, *(() if redo else changed.positions)]
    if over:
        laid_out.pass_over(over)
        new = laid_out.tally_new()
    return Known(
        rows=laid_out.total - unknown + len(renewed),
        renewed=renewed,
        changed=changed,
        new=new,
        addresses=_addresses(laid_out) if looks.refused else (),
    )


def replaced(looks: Looks, before: Mapping[str, str]) -> Iterator[str]:
    """A warning for each address behind which another picture stands than when the batch was made."""
    for url, content in looks.contents.items():
        if before.get(digest_of(url), content) != content:
            yield (
                f"another picture is behind {_shown(url)!r} than when the batch was made; its rows stay as they are."
                " To make them again, give the picture another address and say --redo"
            )


_NONE: Final = (Matched(), Changed())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pictures:
    """The pictures that rows name: by content where somebody has looked, by address otherwise."""

    before: Mapping[str, str]
    now: Mapping[str, str]

    def exactly(self, row: Unmatched) -> bytes:
        """The same for rows that ask for the same in the same way, whatever links they have to the same pictures."""
        return self._key(row, row.settings)

    def roughly(self, row: Unmatched) -> bytes:
        """The same for rows that ask for the same picture, in whatever way it is to be made."""
        return self._key(row, {name: value for name, value in row.settings.items() if name not in _HOW})

    def _key(self, row: Unmatched, settings: Mapping[str, Any]) -> bytes:
        prompt = row.prompt
        for url in addresses_in_prompt(prompt):
            prompt = prompt.replace(url, self._content(url))
        asked = {
            "settings": {name: self._told(name, value) for name, value in settings.items()},
            "provider": row.provider,
            "model": row.model,
            "who": [str(one) for one in row.character_ids],
        }
        # What is wished of the stages before the picture is part of what is asked for.
        return identity_with(prompt, canonical(asked) + (canonical(row.wishes) if row.wishes else ""))

    def _told(self, name: str, value: Any) -> Any:
        for url in addresses_in({name: value}):
            value = str(value).replace(url, self._content(url))
        return value

    def _content(self, url: str) -> str:
        return self.before.get(digest_of(url)) or self.now.get(url) or url


def _matched(laid_out: LaidOut, pictures: _Pictures) -> tuple[Matched, Changed]:
    same: defaultdict[bytes, deque[Unmatched]] = defaultdict(deque)
    alike: defaultdict[bytes, deque[Unmatched]] = defaultdict(deque)
    for one in laid_out.vanished():
        if one.state not in _NEVER_MADE:
            same[pictures.exactly(one)].append(one)
        if one.state not in _WITHOUT_A_PICTURE:
            alike[pictures.roughly(one)].append(one)
    if not same:
        return _NONE
    renewed: dict[int, GenerationId] = {}
    for row in laid_out.new():
        if olds := same.get(pictures.exactly(row)):
            renewed[row.position] = olds.popleft().id
    matched = Matched(positions=list(renewed), generations=frozenset(renewed.values()))
    others = (row for row in laid_out.new() if row.position not in renewed)
    return matched, _changed(others, alike, pictures, taken=matched.generations)


def _changed(
    rows: Iterable[Unmatched],
    alike: Mapping[bytes, deque[Unmatched]],
    pictures: _Pictures,
    *,
    taken: frozenset[GenerationId],
) -> Changed:
    positions: list[int] = []
    generations: set[GenerationId] = set()
    differences: Counter[tuple[str, str, str]] = Counter()
    price_usd = Decimal(0)
    for row in rows:
        olds = alike.get(pictures.roughly(row), deque())
        while olds and olds[0].id in taken:
            olds.popleft()
        if olds:
            old = olds.popleft()
            positions.append(row.position)
            generations.add(old.id)
            differences.update(_differences(old.settings, row.settings))
            price_usd += row.price_usd
    return Changed(
        positions=positions,
        generations=frozenset(generations),
        differences=[(*one, count) for one, count in differences.most_common()],
        price_usd=price_usd,
    )


def _addresses(laid_out: LaidOut) -> list[Named]:
    """What the rows name that would be added."""
    found: dict[Named, None] = {}
    for row in laid_out.new():
        for url in (*addresses_in(row.settings), *addresses_in_prompt(row.prompt)):
            found[row.provider, url] = None
    return list(found)


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield name, _shown(was.get(name)), _shown(now.get(name))


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    written = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return written if len(written) <= _SHOWN_CHARS else f"{written[: _SHOWN_CHARS - 1]}…"
