"""Prepare an order: read, normalise, check and price every row of it, and write nothing.

The result is a `Plan`, which the dry run shows and `pipeline.intake.commit` carries out. Everything that can be wrong
is found here: models, prices, characters, limits, and what the batch has already. The rows are taken one by one and
wait on disk as lines of COPY, so that a million of them need no memory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from db.incoming.copy_lines import asked_in, read_line
from db.incoming.laid_out import LaidOut, Tally
from db.incoming.repeats import Repeats
from db.incoming.write_ahead import WriteAhead
from db.records import batches, lanes, reference_contents
from db.records.batches import NewBatch
from domain.errors import LimitTooSmall
from domain.escalation import Policy
from domain.finishing import FINISH, read_finish
from domain.money import show
from domain.rates import per_second
from domain.routing import Routing
from pipeline.intake.columns import misspelt
from pipeline.intake.findings import Findings, Kind
from pipeline.intake.known_rows import Changed, Known, Matched, compare, replaced
from pipeline.intake.order import Order
from pipeline.intake.prompt_rows import PromptRow, PromptRows
from pipeline.intake.reference_looks import Looks, look, refuse
from pipeline.intake.row_checks import RowChecks
from pipeline.intake.row_inputs import RowInputs
from pipeline.intake.row_repeats import multiplied
from pipeline.process.spool import Spool
from pipeline.requests.finishing_calls import most_usd
from pipeline.resources import Resources
from providers.catalogue import Catalogue, load
from providers.contract import Ask

__all__ = ["Order", "Plan", "PlannedRow", "prepare"]

#: Services are slow at times; their own figures for relaxed jobs span a factor of five.
_SLOWEST: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A checked row, as its submission would ask for it.

    Args:
        line: of the file.
        worded: whether its prompt is words; else a stage writes it later.
    """

    line: int
    prompt: str
    provider: str
    model: str
    settings: Mapping[str, Any]
    worded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What committing would write; the dry run shows it.

    Args:
        batch: as it is made, if it is new.
        lines: lines of the file, and of COPY.
        repeats: which rows may be equal.
        new: the rows that would be added, by kind.
        known: rows that the batch has already, and that are passed over.
        renewed: those of them that it has under another link to the same reference.
        changed: rows that the batch has in another way.
        drafts: providers, each with a submission of every kind that there will be.
        looks: what was found behind the addresses of references that rows name.
        ahead: what has taken the rows already; None: they are written when the plan is committed.
        largest_hold_usd: the most that one call may cost.
        words_usd: the most that calls to a model for words can cost before the pictures of new rows.
        finishing_usd: the most that finishing the pictures of new rows can cost, if all are accepted.
        inputs: the pictures that rows hand in, which wait to be kept.
        warnings: sentences for a person.
        prepares: whether a row is prepared before its picture is asked for.
        at_least: how long the new rows take on the lanes of this installation, if nothing else runs there.
    """

    order: Order
    batch: NewBatch
    lines: Spool[tuple[int, str]]
    repeats: Repeats
    new: Sequence[Tally]
    known: int
    renewed: Matched
    changed: Changed
    drafts: Sequence[tuple[str, Ask]]
    looks: Looks
    ahead: WriteAhead | None = None
    largest_hold_usd: Decimal
    words_usd: Decimal
    finishing_usd: Decimal
    inputs: RowInputs
    warnings: Sequence[str]
    prepares: bool
    at_least: timedelta

    @property
    def total(self) -> int:
        """Rows of the order, known ones included."""
        return len(self.lines)

    @property
    def at_most(self) -> timedelta:
        """As `at_least`, on a slow day of the services."""
        return self.at_least * _SLOWEST

    @property
    def expected_usd(self) -> Decimal:
        """What the new rows cost by the catalogue's prices."""
        return sum((one.expected_usd for one in self.new), Decimal(0))

    @property
    def at_most_usd(self) -> Decimal:
        """The sum of the holds of the new rows, those of their words and of their finishing included."""
        return sum((one.at_most_usd for one in self.new), self.words_usd + self.finishing_usd)

    @property
    def providers(self) -> list[str]:
        """Those of all rows: under a known name, rows of before may wait for a new budget."""
        return sorted({provider for provider, _ in self.drafts})

    @property
    def passed_over(self) -> Sequence[int]:
        """Positions of rows that are not added although the batch does not have them in exactly this way."""
        return [*self.renewed.positions, *(() if self.order.redo else self.changed.positions)]

    @property
    def digest(self) -> str:
        """Equal for files that ask for the same, whatever their format: prompts, settings and prices in their order."""
        told = sha256()
        for occurrence, line in self.repeats.numbered(line for _, line in self.lines):
            told.update(repr((occurrence, *asked_in(line))).encode())
        return told.hexdigest()[:16]

    def rows(self) -> Iterator[PlannedRow]:
        """All rows in the order of the file."""
        for number, line in self.lines:
            row = read_line(line)
            yield PlannedRow(
                line=number,
                prompt=row.prompt,
                provider=row.provider,
                model=row.model,
                settings=row.settings,
                worded=row.worded,
            )


def _looks(resources: Resources, order: Order, checks: RowChecks) -> Looks:
    if not order.look:
        return Looks(passed_over=len(checks.addresses))
    return look(resources, checks.addresses, pictures=order.pictures or ())


def prepare(
    resources: Resources,
    order: Order,
    *,
    ahead: WriteAhead | None = None,
    catalogue: Catalogue | None = None,
    today: date | None = None,
) -> Plan:
    """Check everything and price it; nothing is written that anybody sees.

    Args:
        ahead: takes the rows as they are checked, for a plan that is committed at once (`commit.writing_ahead`).

    Raises:
        BadInput, UnknownThing, ModelRetired, PriceUnknown: which row, and what to do; a reference is not to be had.
        LimitTooSmall: the budget is below a single hold.
    """
    checks = RowChecks(resources, catalogue or load(), order, today or datetime.now(UTC).date())
    batch, seen = _batch_of(order, checks), _Seen()
    if ahead is not None:
        ahead.open(batch)
    lines, repeats = _checked(order, checks, seen, ahead)
    _check_budget(order, checks)
    looks = _looks(resources, order, checks)
    known = _known(resources, order, checks, looks, lines=lines, repeats=repeats)
    refuse(looks, checks.addresses, wanted=known.addresses)
    _warn(order, seen, known.changed)
    return Plan(
        order=order,
        batch=batch,
        lines=lines,
        repeats=repeats,
        new=known.new,
        known=known.rows,
        renewed=known.renewed,
        changed=known.changed,
        drafts=list(checks.drafts.values()),
        looks=looks,
        ahead=ahead,
        largest_hold_usd=checks.largest_hold_usd,
        # Of all rows, where the batch has some of them: what is said is the most.
        words_usd=checks.words_usd if known.new else Decimal(0),
        finishing_usd=_finishing_usd(resources, order, known.new),
        inputs=checks.inputs,
        warnings=list(order.findings.sentences()),
        prepares=seen.prepares or bool(order.preparation) or Routing.of(order.model) is not None,
        at_least=_duration(resources, known.new),
    )


def _batch_of(order: Order, checks: RowChecks) -> NewBatch:
    characters = checks.characters_of(order.character) if order.character else ()
    return NewBatch(
        name=order.name,
        user_id=order.user_id,
        character=characters[0].name if characters else None,
        settings=order.settings,
        priority=order.priority,
        limit_usd=order.limit_usd,
        team=order.team,
        key_id=order.key_id,
    )


def _checked(
    order: Order, checks: RowChecks, seen: "_Seen", ahead: WriteAhead | None
) -> tuple[Spool[tuple[int, str]], Repeats]:
    """The lines of all rows, and which of them may be equal."""
    lines, repeats = Spool[tuple[int, str]](), Repeats()
    with order.prompts.located() if isinstance(order.prompts, PromptRows) else nullcontext():
        for row in multiplied(seen.passing(order.prompts), times=order.times, categories=order.categories):
            identity, line = checks.checked(row)
            may_repeat = repeats.note(identity)
            lines.append((row.line, line))
            if ahead is not None:
                ahead.add(line, may_repeat=may_repeat)
    return lines, repeats


def _finishing_usd(resources: Resources, order: Order, new: Sequence[Tally]) -> Decimal:
    return sum(
        (
            most_usd(
                resources,
                one.provider,
                read_finish(str(one.settings[FINISH])),
                pictures=one.count,
                held_usd=one.at_most_usd,
                max_image_cost=order.max_image_cost,
            )
            for one in new
            if FINISH in one.settings
        ),
        Decimal(0),
    )


def _check_budget(order: Order, checks: RowChecks) -> None:
    if order.limit_usd is not None and order.limit_usd < checks.largest_hold_usd:
        raise LimitTooSmall(
            f"the budget of {show(order.limit_usd)} USD is below the {show(checks.largest_hold_usd)} USD"
            " that is held for one image; raise --max-cost"
        )


class _Seen:
    """What is noted of the rows on their way."""

    def __init__(self) -> None:
        self.columns: set[str] = set()
        self.try_policies: list[Mapping[str, Any]] = []
        self.characterless = False
        self.prepares = False

    def passing(self, rows: Iterable[PromptRow]) -> Iterator[PromptRow]:
        for row in rows:
            if row.extra:
                self.columns.update(row.extra)
            if row.try_policy and row.try_policy not in self.try_policies:
                self.try_policies.append(row.try_policy)
            if row.character is None:
                self.characterless = True
            if row.preparation or Routing.of(row.model) is not None:
                self.prepares = True
            yield row


def _known(
    resources: Resources,
    order: Order,
    checks: RowChecks,
    looks: Looks,
    *,
    lines: Spool[tuple[int, str]],
    repeats: Repeats,
) -> Known:
    with resources.database.transaction() as connection:
        batch_id = batches.id_of(connection, order.name, user_id=order.user_id, team=order.team)
        if batch_id is None:
            return Known(rows=0, new=checks.tallies(), addresses=list(checks.addresses))
        laid_out = LaidOut(
            connection, batch_id, user_id=order.user_id, lines=(line for _, line in lines), repeats=repeats
        )
        before = reference_contents.of(connection, batch_id)
        order.findings.add_all(Kind.OPTION, replaced(looks, before))
        return compare(laid_out, redo=order.redo, looks=looks, before=before)


def _warn(order: Order, seen: _Seen, changed: Changed) -> None:
    findings: Findings = order.findings
    findings.add_all(Kind.COLUMN, misspelt(seen.columns))
    policies = [Policy.of(order.try_policy, one) for one in ({}, *seen.try_policies)]
    if any(one.on for one in policies):
        if order.limit_usd is None:
            findings.add(Kind.OPTION, "further tries without --max-cost have no budget but their number")
        if order.character is None and seen.characterless:
            findings.add(Kind.OPTION, "without a character nothing is rejected, so there is nothing to try again")
    if changed:
        findings.add(Kind.OPTION, changed.in_words(redo=order.redo))


def _duration(resources: Resources, tallies: Sequence[Tally]) -> timedelta:
    """The time in which the lanes carry the rows away: bounded by places, rate limits and the longest job."""
    wanted = {one.provider for one in tallies}
    with resources.database.transaction() as connection:
        known = {provider: lanes.limits_of(connection, provider) for provider in wanted}
    longest = timedelta(0)
    for provider, serving in known.items():
        mine = [one for one in tallies if one.provider == provider]
        lane = next((one for one in resources.lanes.values() if one.provider == provider), None)
        if lane is None or not serving:
            continue
        jobs = [(one.count, lane.first_look_after(one.settings, model=one.model)) for one in mine]
        by_places = sum((count * took for count, took in jobs), timedelta(0)) / sum(one.concurrency for one in serving)
        rates = [per_second(one.rate_limit) for one in serving]
        limited = sum(rate for rate in rates if rate is not None) if None not in rates else None
        count = sum(one.count for one in mine)
        by_rate = timedelta(seconds=count / limited) if limited else timedelta(0)
        longest = max(longest, by_places, by_rate, *(took for _, took in jobs))
    return longest
