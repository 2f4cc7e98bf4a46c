"""Steps called by hand: real Postgres, the real sandbox, a real store, and a dispatcher that only writes down.

A `StepRunner` belongs to one test: its own account at the sandbox, so that its bill is the test's alone.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx2

from db.schema import lanes
from db.session import Database
from domain.errors import LikenessError
from domain.ids import AttemptId, BatchId, CharacterId
from domain.verdict import Origin, Scores
from pipeline.attempts import collect, model_inputs, poll, rescue, submit, validate
from pipeline.attempts.admit import admit
from pipeline.attempts.outcome import Again
from pipeline.characters.definitions import NewCharacter, add
from pipeline.intake.commit import Enqueued, commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.leases import Leases
from pipeline.resources import Resources, Timing
from providers.contract import Accepted, Ask, Made
from providers.lane import HttpLane
from providers.registry import open_lane
from sandbox.process import running
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import USER, Books
from tests.support.sandbox_client import Caller, until
from validation.base import Aggregation, Embedding, ModelInput, Reference, Scored
from validation.preprocessing import CLIP_DEFAULT, Preprocessing

#: Small, so that a step costs milliseconds.
PREPROCESSING = replace(CLIP_DEFAULT, size=16, shortest_edge=16)
EXAMPLE = Path(__file__).parents[2] / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
HOLD = Decimal("0.40")
PRICE = Decimal("0.02")
QUICK = Timing(
    sweep=timedelta(0),
    unclaimed=timedelta(0),
    call_total=timedelta(0),
    collect_tries=3,
    validate_tries=3,
    submit_tries=3,
)


@dataclass(slots=True)
class FixedScorer:
    """Scores from a list, one per picture in turn; what is asked for is kept."""

    scores: Sequence[float] = (0.9,)
    preprocessing: str = PREPROCESSING.digest
    fingerprint: str = "fixed"
    failures: list[LikenessError] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)

    def score(
        self,
        pictures: Sequence[ModelInput],
        references: Sequence[Reference],
        *,
        aggregation: Aggregation = Aggregation.MAX,
    ) -> list[Scored]:
        self.seen.append((len(pictures), len(references)))
        if self.failures:
            raise self.failures.pop(0)
        origin = Origin(model="fixed", revision="1", preprocessing=self.preprocessing, dtype="uint8", references="r")
        return [
            Scored(scores=Scores(core=self.scores[at % len(self.scores)], style=0.9), origin=origin)
            for at in range(len(pictures))
        ]

    def embed_picture(self, content: bytes) -> Embedding:
        return Embedding(core=b"", style=b"")

    def embed_text(self, text: str) -> bytes | None:
        return None


@dataclass(slots=True)
class StepRunner:
    """The steps of one worker, and the account they work with."""

    resources: Resources
    books: Books
    sent: Sent
    caller: Caller
    scorer: FixedScorer

    def enqueue(self, *prompts: str, character: str | None = None, name: str = "batch", **order: Any) -> Enqueued:
        rows = [
            PromptRow(position=at, line=at + 1, prompt=prompt, settings={}, extra={})
            for at, prompt in enumerate(prompts or ["a pink pig in a garden"])
        ]
        wanted = Order(name=name, user_id=USER, provider="sandbox", prompts=rows, character=character, **order)
        return commit(self.resources, prepare(self.resources, wanted))

    def character(self, name: str = "lulu", *, core: float = 0.75) -> CharacterId:
        new = NewCharacter(name=name, description="", references=[EXAMPLE], core=core, style=0.6, origin="default")
        return add(self.resources, new).id

    def admitted(self, *prompts: str, **order: Any) -> AttemptId:
        """The first attempt of a new batch, published."""
        self.enqueue(*prompts, **order)
        return self.sent.take("submit")[0]

    def submit(self, attempt_id: AttemptId) -> Again | None:
        return submit.submit(self.resources, attempt_id)

    def sweep(self) -> int:
        return poll.sweep(self.resources, "sandbox")

    def until_made(self, attempt_id: AttemptId) -> None:
        """Sweeps until the provider's last word is written."""

        def look() -> bool:
            self.due()
            self.sweep()
            return bool(self.books.attempt(attempt_id).state != "generating")

        until(look, what=f"the last word about {attempt_id}")

    def collect(self, attempt_id: AttemptId, preprocessing: Preprocessing = PREPROCESSING) -> Again | None:
        return collect.collect(self.resources, attempt_id, preprocessing=preprocessing)

    def rebuild_inputs(self, attempt_id: AttemptId, preprocessing: Preprocessing = PREPROCESSING) -> Again | None:
        return model_inputs.rebuild(self.resources, attempt_id, preprocessing=preprocessing)

    def validate(self, attempt_id: AttemptId) -> Again | None:
        return validate.validate(self.resources, attempt_id)

    def rescue(self) -> int:
        return rescue.take_over(self.resources)

    def admit(self) -> list[AttemptId]:
        admit(self.resources, "sandbox")
        return self.sent.take("submit")

    def generating(self, *prompts: str, **order: Any) -> AttemptId:
        attempt_id = self.admitted(*prompts, **order)
        assert self.submit(attempt_id) is None
        assert self.books.attempt(attempt_id).state == "generating"
        return attempt_id

    def collecting(self, *prompts: str, **order: Any) -> AttemptId:
        attempt_id = self.generating(*prompts, **order)
        self.until_made(attempt_id)
        assert self.books.attempt(attempt_id).state == "collecting"
        return attempt_id

    def validating(self, *prompts: str) -> AttemptId:
        self.character()
        attempt_id = self.collecting(*prompts, character="lulu")
        assert self.collect(attempt_id) is None
        assert self.books.attempt(attempt_id).state == "validating"
        return attempt_id

    def due(self) -> None:
        """Whatever was to be done later is to be done now."""
        self.books.sql("UPDATE attempts SET due_at = now() WHERE due_at IS NOT NULL")
        self.books.sql("UPDATE attempts SET published_at = now() - interval '1 second' WHERE state <> 'finished'")
        self.books.sql("UPDATE generations SET not_before = NULL")

    def open_lanes(self) -> None:
        self.books.sql("UPDATE lanes SET closed_until = NULL, reason = NULL")

    def lane(self) -> Any:
        (row,) = self.books.rows(lanes)
        return row

    def charged(self) -> list[Decimal]:
        """What the sandbox has charged this account for, job by job."""
        return [Decimal(str(line["charged_usd"])) for line in self.caller.bill()]

    def batch_of(self, attempt_id: AttemptId) -> BatchId:
        return BatchId(self.books.attempt(attempt_id).batch_id)


@contextmanager
def sandbox_at(data: Path) -> Iterator[str]:
    """A sandbox that draws quickly; gives its base URL."""
    with running(data, latency_s=0.02, size_px=64) as url:
        yield url


@contextmanager
def runner_of(database: Database, *, url: str, sent: Sent, home: Path, **changes: Any) -> Iterator[StepRunner]:
    """The steps of a worker; the books are right at its end."""
    caller = Caller(url)
    books = Books(database)
    books.lane(concurrency=10)
    scorer = FixedScorer()
    leases = Leases(database, seconds=30)
    lane: HttpLane = open_lane("sandbox", "sandbox", base_url=url, key=caller.key)
    resources = Resources(
        database=database,
        lanes={"sandbox": lane},
        store=FolderStore(home / "pictures"),
        dispatch=sent,
        leases=leases,
        jitter=lambda: 0.0,
        timing=QUICK,
        scorer=scorer,
    )
    try:
        yield StepRunner(resources=replace(resources, **changes), books=books, sent=sent, caller=caller, scorer=scorer)
        books.check()
    finally:
        with suppress(httpx2.HTTPError):  # there may be no sandbox
            caller.clear()
        leases.close()
        lane.close()
        caller.close()


class LaneWithEvents:
    """The lane, with something happening at the moment of the paid call or of an upload."""

    def __init__(self, lane: Any, *, before: Any = None, after: Any = None, upload: Any = None) -> None:
        self._lane, self._before, self._after, self._upload = lane, before, after, upload

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def submit(self, ask: Ask) -> Accepted:
        if self._before:
            self._before()
        accepted: Accepted = self._lane.submit(ask)
        if self._after:
            self._after()
        return accepted

    def upload_reference(self, content: bytes, media_type: str) -> str | None:
        if self._upload:
            self._upload()
        url: str | None = self._lane.upload_reference(content, media_type)
        return url


def with_events(runner: StepRunner, **events: Any) -> StepRunner:
    """The same steps, with calls `before` and `after` the paid one, or at an `upload`."""
    lane = LaneWithEvents(runner.resources.lanes["sandbox"], **events)
    return replace(runner, resources=replace(runner.resources, lanes={"sandbox": lane}))


class InstantLane:
    """The sandbox's lane, but each job is done at once and its picture is at hand."""

    def __init__(self, lane: Any) -> None:
        self._lane = lane
        self._picture = EXAMPLE.read_bytes()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lane, name)

    def upload_reference(self, content: bytes, media_type: str) -> str:
        return f"https://pictures.invalid/{len(content)}/{media_type}"

    def submit(self, ask: Ask) -> Accepted:
        return Accepted(job_id=f"job {ask.attempt_id}")

    def poll(self, job_id: str) -> Made:
        return Made(picture_urls=[f"https://pictures.invalid/{job_id}"], detail={})

    def fetch_picture(self, url: str, **_: Any) -> bytes:
        return self._picture


def at_once(threads: int, step: Callable[[AttemptId], Any], ids: Sequence[AttemptId]) -> None:
    """Run a step for all of them at the same time, as the threads of one worker do."""
    barrier = Barrier(threads)

    def one(attempt_id: AttemptId) -> None:
        barrier.wait()
        assert step(attempt_id) is None

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, ids))
