"""What the steps are handed: the database, the lanes, the store, the way to send. Built in `runtime`, nowhere else."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from db.session import Database
from domain.errors import LikenessError
from domain.ids import AttemptId, GenerationId
from domain.states import AttemptState
from pipeline.process.device_backoff import DeviceBackoff
from pipeline.process.fault_points import FaultPoints, Unarmed
from pipeline.process.head_cache import HeadCache
from pipeline.process.measures import Measures, Unmeasured
from pipeline.process.near_duplicates import NearDuplicates
from pipeline.process.poison_gate import PoisonGate
from pipeline.process.reference_cache import ReferenceCache
from pipeline.process.traces import Traces, Untraced
from storage.base import PictureStore

if TYPE_CHECKING:  # of the work alone: a command that only looks is lent none of it, and starts without it
    from domain.preparation import Place
    from pipeline.process.grouped_moves import GroupedMoves
    from pipeline.process.leases import Leases
    from pipeline.process.scorer_on_demand import ScorerOnDemand
    from providers.contract import Lane
    from providers.openai.words import Answer, Question
    from validation.base import Scorer


class Dispatch(Protocol):
    """Sends tasks by wire name. Called after the commit that made the task lawful; a message lost is sent again."""

    def together(self) -> AbstractContextManager[None]:
        """What this thread sends inside the block leaves at its end, in one round trip."""
        ...

    def prepare(self, *, generation_id: GenerationId, place: "Place") -> None: ...

    def submit(
        self, *, lane: str, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None: ...

    def collect(self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None) -> None: ...

    def rebuild_inputs(
        self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None: ...

    def validate(
        self, *, attempt_id: AttemptId, generation_id: GenerationId, wait: timedelta | None = None
    ) -> None: ...

    def waiting(self, step: AttemptState, lane: str | None) -> int:
        """How many messages wait to be taken for that step; a lane has a queue of its own for submissions alone."""
        ...


class Words(Protocol):
    """A model that answers with words in a JSON schema; `providers.openai.words` has what is asked and what comes."""

    @property
    def model(self) -> str: ...

    def most_usd(self, question: "Question") -> Decimal:
        """The most that the call can cost."""
        ...

    def ask(self, question: "Question", *, begin_by: float) -> "Answer":
        """Ask once; raises `ProviderError`, of which `MaybeSent` alone may have been paid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every duration and count that decides when something is done again.

    Args:
        unclaimed: a published task that nobody has claimed for this long is published again.
        intent_to_post: a POST starts within this of its intent, or not at all.
        call_total: the total deadline of a submission on a lane that this process does not know.
        call_totals: the same, of those it knows, by lane.
        sweep: how long one `lane.poll` goes on while jobs are due.
        submit_tries: of one attempt, while nothing reaches the provider.
        collect_tries: of one attempt, before its pictures count as lost.
        validate_tries: of one attempt whose stored original cannot be read.
        deaths_alone: of a step that runs alone after a first death; then it is poison.
        generation_tries: attempts of one generation that failed at the provider and cost nothing.
        job_deadline: added to the expected duration; a job older than both is overdue.
        job_overdue: instead of that, where an operator says so.
        poll_every: the time between two looks at a job, where an operator says so; else by its age.
        listings_apart: two complete listings this far apart prove that a job does not exist.
        late_window: a job whose doubt was settled as lost is looked for this much longer.
        in_the_air: a request whose connection broke may still be on its way for so long.
        illegal_prompts: so many that a provider counted against the account in 24 hours close its lane.
        illegal_limit: after so many in 24 hours such a provider keeps the money of failed jobs.
        account: a provider is asked about its account so often.
        words_doubt: a lost reply of words is charged in full when nobody has settled it for so long.
        ahead: admitted and unclaimed attempts are at most what the rate limit carries away in this time.
    """

    unclaimed: timedelta = timedelta(seconds=20)
    intent_to_post: timedelta = timedelta(seconds=10)
    call_total: timedelta = timedelta(seconds=60)
    call_totals: Mapping[str, timedelta] = field(default_factory=dict)
    sweep: timedelta = timedelta(seconds=1)
    sweep_size: int = 64
    submit_tries: int = 4
    collect_tries: int = 6
    validate_tries: int = 6
    deaths_alone: int = 2
    generation_tries: int = 3
    job_deadline: timedelta = timedelta(minutes=20)
    job_overdue: timedelta | None = None
    poll_every: timedelta | None = None
    listings_apart: timedelta = timedelta(seconds=20)
    late_window: timedelta = timedelta(hours=24)
    in_the_air: timedelta = timedelta(seconds=5)
    illegal_prompts: int = 20
    illegal_limit: int = 30
    account: timedelta = timedelta(minutes=1)
    words_doubt: timedelta = timedelta(hours=24)
    ahead: timedelta = timedelta(seconds=10)


def _grouped_moves() -> "GroupedMoves":
    # Imported here, because it imports every move of an attempt.
    from pipeline.process.grouped_moves import GroupedMoves

    return GroupedMoves()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Everything a step may use; frozen, shared by the threads of a process.

    Args:
        lanes: by name; a lane whose key is missing here is not served by this process.
        scorer: only in a worker of the `gpu` role.
        analysis_scorer: there, what reads pictures that are handed in; None where `scorer` does so too.
        jitter: uniform in [0, 1), spreads waits.
        words: the model that looks at pictures and writes prompts for money; None where none is set.
        public_url: where providers can call back, or None.
        grouped: what its threads do in Postgres at the same time, in one statement.
        estimates: per provider, what is held for a call whose price in the catalogue is an estimate.
        retire: told why this process can do its work no more; it then ends in order, for another to take its place.
    """

    database: Database
    lanes: Mapping[str, "Lane"]
    store: PictureStore
    dispatch: Dispatch
    leases: "Leases"
    jitter: Callable[[], float]
    timing: Timing = field(default_factory=Timing)
    reference_cache: ReferenceCache = field(default_factory=ReferenceCache)
    scorer: "Scorer | None" = None
    analysis_scorer: "ScorerOnDemand | None" = None
    scoring_model: str = "openai/clip-vit-large-patch14"
    words: Words | None = None
    public_url: str | None = None
    estimates: Mapping[str, Decimal] = field(default_factory=dict)
    near_duplicates: NearDuplicates = field(default_factory=NearDuplicates)
    poison_gate: PoisonGate = field(default_factory=PoisonGate)
    device_backoff: DeviceBackoff = field(default_factory=DeviceBackoff)
    preference_heads: HeadCache = field(default_factory=HeadCache)
    grouped: "GroupedMoves" = field(default_factory=_grouped_moves)
    retire: Callable[[LikenessError], None] = lambda _: None
    fault_points: FaultPoints = field(default_factory=Unarmed)
    measures: Measures = field(default_factory=Unmeasured)
    traces: Traces = field(default_factory=Untraced)
