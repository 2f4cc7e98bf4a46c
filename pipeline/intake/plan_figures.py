"""What a person asks about a plan before it is carried out: themes, prices, times, and how far the budget goes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from db.incoming.copy_lines import priced_in
from db.incoming.laid_out import Tally
from db.reads.usual_times import Usual, usual_times
from db.records import batches
from domain.money import ZERO
from pipeline.intake.plan import Plan
from pipeline.resources import Resources
from providers.catalogue import Catalogue, load

#: So many themes and variations are told apart; a file of a million rows may have a million.
_MOST_NAMES: Final = 10_000
#: With fewer jobs behind it, a median of this installation says less than the catalogue.
_LEAST_JOBS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """The new rows of one model and mode.

    Args:
        usd_each: expected, on average.
        usual_s: of one job; None where nobody says.
        source: where `usual_s` is from.
    """

    provider: str
    model: str
    mode: str | None
    count: int
    expected_usd: Decimal
    at_most_usd: Decimal
    usd_each: Decimal
    usual_s: float | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReach:
    """How far the budget goes, with everything at its expected price.

    Args:
        limit_usd, used_usd: of the batch; None for no limit.
        suffices: None without a limit.
        short_usd: what is missing; 0 where it suffices.
        finishing_short_usd: what is missing for finishing every picture, where it suffices for the pictures.
        last_row, last_line: the last row that it pays for, by its number and its line in the file; None where it
            suffices, where it pays for none, and where the batch has some of the rows already.
    """

    limit_usd: Decimal | None
    used_usd: Decimal
    suffices: bool | None
    short_usd: Decimal = ZERO
    finishing_short_usd: Decimal = ZERO
    last_row: int | None = None
    last_line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFigures:
    """The figures of a plan.

    Args:
        themes: rows by theme; `variations` by theme and variation. At most 10,000 of each are counted.
    """

    themes: Counter[str]
    variations: Counter[tuple[str, str]]
    models: Sequence[ModelFigures]
    budget: BudgetReach

    @property
    def grid(self) -> tuple[int, int] | None:
        """Themes × variations, where every theme has equally many; None otherwise."""
        each = {sum(1 for theme, _ in self.variations if theme == name) for name in self.themes}
        return (len(self.themes), each.pop()) if len(each) == 1 and self.variations else None


def figures_of(resources: Resources, plan: Plan, *, catalogue: Catalogue | None = None) -> PlanFigures:
    """Read the rows of a plan again, and the times that jobs of its models took here."""
    with resources.database.transaction() as connection:
        measured = usual_times(connection, least=_LEAST_JOBS)
        order = plan.order
        batch_id = batches.id_of(connection, order.name, user_id=order.user_id, team=order.team)
        before = None if batch_id is None else batches.get(connection, batch_id)
    limit = order.limit_usd if order.limit_usd is not None or before is None else before.limit_usd
    used = ZERO if before is None else before.charged_usd + before.held_usd + before.in_doubt_usd
    themes: Counter[str] = Counter()
    variations: Counter[tuple[str, str]] = Counter()
    left, last, stopped = limit, None, limit is None or plan.known > 0
    for line, text in plan.lines:
        row = priced_in(text)
        if row.theme and (row.theme in themes or len(themes) < _MOST_NAMES):
            themes[row.theme] += 1
            key = (row.theme, row.variation)
            if row.variation and (key in variations or len(variations) < _MOST_NAMES):
                variations[key] += 1
        if not stopped and left is not None:
            stopped = row.hold_usd > left - used
            if not stopped:
                left, last = left - row.price_usd, (row.position, line)
    return PlanFigures(
        themes=themes,
        variations=variations,
        models=_by_model(plan.new, measured, catalogue or load()),
        budget=_reach(plan, limit, used, last=last if stopped and plan.known == 0 else None),
    )


def _reach(plan: Plan, limit: Decimal | None, used: Decimal, *, last: tuple[int, int] | None) -> BudgetReach:
    if limit is None:
        return BudgetReach(limit_usd=None, used_usd=used, suffices=None)
    short = max(used + plan.expected_usd - limit, ZERO)
    if last is None:
        over = used + plan.expected_usd + plan.finishing_usd - limit
        return BudgetReach(
            limit_usd=limit,
            used_usd=used,
            suffices=not short,
            short_usd=short,
            finishing_short_usd=max(over, ZERO) if plan.finishing_usd and not short else ZERO,
        )
    # The last call is held at most, and may be charged less.
    return BudgetReach(
        limit_usd=limit, used_usd=used, suffices=False, short_usd=short, last_row=last[0], last_line=last[1]
    )


def _by_model(
    tallies: Sequence[Tally], measured: dict[tuple[str, str, str | None], Usual], catalogue: Catalogue
) -> list[ModelFigures]:
    groups: dict[tuple[str, str, str | None], list[Tally]] = {}
    for one in tallies:
        mode = one.settings.get("mode")
        groups.setdefault((one.provider, one.model, None if mode is None else str(mode)), []).append(one)
    found = []
    for (provider, model, mode), group in groups.items():
        count = sum(one.count for one in group)
        expected = sum((one.expected_usd for one in group), ZERO)
        here = measured.get((provider, model, mode))
        usual = catalogue.get(model).expected({"mode": mode} if mode else {}).total_seconds()
        found.append(
            ModelFigures(
                provider=provider,
                model=model,
                mode=mode,
                count=count,
                expected_usd=expected,
                at_most_usd=sum((one.at_most_usd for one in group), ZERO),
                usd_each=expected / count if count else ZERO,
                usual_s=usual if here is None else here.median_s,
                source="catalogue" if here is None else f"the median of the last {here.jobs:,} jobs here",
            )
        )
    return sorted(found, key=lambda one: (-one.count, one.provider, one.model))
