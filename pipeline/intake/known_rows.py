"""What a batch has already of the rows that are to be added to it.

A row that the batch has, asked for in exactly the same way, is known. One that differs only in what does not decide
the picture (the speed, the weight or the address of a reference) stays as it is too, unless a person says `--redo`: a
finished picture must not be paid for again because a link was renewed.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from db.records.incoming_rows import LaidOut, Tally, Unmatched
from domain.ids import GenerationId, canonical, identity_with
from domain.money import show
from domain.states import GenerationState

#: Settings that say how a picture is made, and not which.
_HOW: Final = frozenset(
    {"mode", "timeout", "cref_urls", "cref", "cref_weight", "cw", "oref_url", "oref", "oref_weight", "ow"}
)
#: What came to nothing may be asked for in another way without a word.
_WITHOUT_A_PICTURE: Final = frozenset({GenerationState.REJECTED, GenerationState.FAILED, GenerationState.CANCELED})
_NAMED: Final = 3
_SHOWN_CHARS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Rows that the batch has in another way.

    Args:
        positions: of the rows, in the order of the file.
        generations: what the batch has of them.
        differences: setting, what it was, what it would be, and for how many rows.
        price_usd: what making them again is expected to cost.
    """

    positions: Sequence[int] = ()
    generations: frozenset[GenerationId] = frozenset()
    differences: Sequence[tuple[str, str, str, int]] = ()
    price_usd: Decimal = Decimal(0)

    def __len__(self) -> int:
        return len(self.positions)

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
        rows: how many it has in exactly the same way.
        new: the others that would be added, by kind.
    """

    rows: int
    changed: Changed
    new: Sequence[Tally]


def compare(laid_out: LaidOut, *, redo: bool) -> Known:
    """What the batch has of the rows that were laid out beside it."""
    new = laid_out.tally_new()
    unknown = sum(one.count for one in new)
    changed = _changed(laid_out) if unknown else Changed()
    if changed and not redo:
        laid_out.pass_over(changed.positions)
        new = laid_out.tally_new()
    return Known(rows=laid_out.total - unknown, changed=changed, new=new)


def _changed(laid_out: LaidOut) -> Changed:
    there: defaultdict[bytes, deque[Unmatched]] = defaultdict(deque)
    for one in laid_out.vanished():
        if one.state not in _WITHOUT_A_PICTURE:
            there[_picture(one)].append(one)
    positions: list[int] = []
    generations: set[GenerationId] = set()
    differences: Counter[tuple[str, str, str]] = Counter()
    price_usd = Decimal(0)
    for row in laid_out.new() if there else ():
        olds = there.get(_picture(row))
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


def _picture(row: Unmatched) -> bytes:
    """The same for rows that ask for the same picture, in whatever way it is to be made."""
    settings = {name: value for name, value in row.settings.items() if name not in _HOW}
    who = [str(one) for one in row.character_ids]
    return identity_with(
        row.prompt,
        canonical({"settings": settings, "provider": row.provider, "model": row.model, "who": who})
        + (canonical(row.wishes) if row.wishes else ""),
    )


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            yield name, _shown(was.get(name)), _shown(now.get(name))


def _shown(value: Any) -> str:
    if value is None:
        return "unset"
    written = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return written if len(written) <= _SHOWN_CHARS else f"{written[: _SHOWN_CHARS - 1]}…"
