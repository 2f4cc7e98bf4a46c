"""Ask the providers before a batch, for nothing, which of its prompts they would refuse.

TTAPI counts prompts that fail as illegal, and too many of them cost money: a template with a banned word in it is
better found here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from domain.errors import BadInput, LikenessError
from domain.retry import requested_wait
from pipeline.intake.plan import Plan, PlannedRow
from pipeline.resources import Resources
from providers.contract import Ask, Lane

_THREADS: Final = 4
_TRIES: Final = 4
_LONGEST_WAIT_S: Final = 20.0
#: So many rows are named; more would hide the sentence.
_NAMED: Final = 20
_NO_ATTEMPT: Final = "00000000-0000-7000-8000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objections:
    """What the providers said.

    Args:
        passed: rows that would be taken.
        refused: why each of the others would not, by line of the file and prompt.
        wordless: rows whose prompt is yet to be written, of which nothing could be asked.
    """

    passed: int
    refused: Mapping[tuple[int, str], str]
    wordless: int

    def counts(self) -> str:
        """How many have passed, and how many nobody was asked about."""
        said = f"{self.passed} prompts have passed the provider's check"
        rows = "row has" if self.wordless == 1 else "rows have"
        return f"{said}; {self.wordless} {rows} no words yet and went unchecked" if self.wordless else said

    def sentence(self) -> str:
        """Which lines, and why."""
        whys = {line: why for (line, _), why in self.refused.items()}
        named = [f"line {line} ({whys[line]})" for line in sorted(whys)[:_NAMED]]
        more = f" and {len(whys) - _NAMED} more" if len(whys) > _NAMED else ""
        return f"{', '.join(named)}{more}"


def objections(resources: Resources, plan: Plan) -> Objections:
    """Ask about every text once; rows without words are passed over, and those of providers without such a check.

    Raises:
        BadInput: no row with words has a provider with a check.
        ProviderError: a provider could not be asked; nothing is known.
    """
    worded = 0

    def with_words() -> Iterator[PlannedRow]:
        nonlocal worded
        for row in plan.rows():
            worded += row.worded
            if row.worded:
                yield row

    texts = _texts(resources, with_words())
    if not worded:
        raise BadInput("no row has words yet that a provider could be asked about; leave out --check-prompts")
    if not texts:
        raise BadInput("none of these prompts' providers can be asked beforehand; leave out --check-prompts")
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="prompt-check") as pool:
        said = list(zip(texts.values(), pool.map(lambda one: _objection(*one), texts), strict=True))
    refused = {(row.line, row.prompt): why for rows, why in said if why for row in rows}
    passed = sum(len(rows) for rows, why in said if not why)
    return Objections(passed=passed, refused=refused, wordless=plan.total - worded)


def refuse_objectionable(resources: Resources, plan: Plan) -> Objections:
    """Ask about every text once; what comes back holds no refusal.

    Raises:
        BadInput: the provider objects; every row is named with its objection. Or no row's provider has a check.
        ProviderError: a provider could not be asked; nothing is known.
    """
    found = objections(resources, plan)
    if found.refused:
        raise BadInput(
            f"the provider refuses {len(found.refused)} of the prompts, and nothing was enqueued: {found.sentence()};"
            " --skip-refused leaves them out"
        )
    return found


def _texts(resources: Resources, rows: Iterable[PlannedRow]) -> Mapping[tuple[Lane, str], list[PlannedRow]]:
    """The rows of each text, by the lane that is asked about it."""
    judges = {lane.provider: lane for lane in resources.lanes.values() if lane.checks_prompts}
    texts: defaultdict[tuple[Lane, str], list[PlannedRow]] = defaultdict(list)
    for row in rows:
        lane = judges.get(row.provider)
        if lane is not None:
            texts[lane, _text(lane, row)].append(row)
    return texts


def _text(lane: Lane, row: PlannedRow) -> str:
    """What would be sent, but for the references, which are addresses and no words."""
    return lane.prompt_text(
        Ask(attempt_id=_NO_ATTEMPT, token="", model=row.model, prompt=row.prompt, settings=row.settings)
    )


def _objection(lane: Lane, text: str) -> str | None:
    """The check is free and may be repeated."""
    tries = Retrying(
        stop=stop_after_attempt(_TRIES),
        wait=_wait_s,
        retry=retry_if_exception(lambda failure: isinstance(failure, LikenessError) and failure.retryable),
        reraise=True,
    )
    return tries(lane.objection, text)


def _wait_s(state: RetryCallState) -> float:
    failure = state.outcome.exception() if state.outcome is not None else None
    wish = requested_wait(failure) if isinstance(failure, LikenessError) else None
    return min(wish.total_seconds() if wish is not None else 0.5 * 2**state.attempt_number, _LONGEST_WAIT_S)
