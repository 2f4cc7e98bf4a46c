"""The face for scripts: a connection to an installation, and the batches that are made or found through it.

It says what the steps know and does nothing that they do not. On a machine without servers of its own, the
connection also runs the servers and the workers, for as long as it is open.
"""

import contextlib
import logging
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from domain.errors import ServiceMissing
from domain.escalation import read_steps, try_policy_of
from domain.feedback import read_kind
from domain.ids import BatchId, GenerationId
from domain.money import limit_of
from domain.states import GenerationState
from likeness.characters import Characters
from likeness.generations import SingleGenerations
from likeness.records import Progress, Result, progress_of
from likeness.workers import LocalWorkers
from pipeline.characters.character_names import join_names
from pipeline.intake.commit import commit, writing_ahead
from pipeline.intake.findings import Findings
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_file import rows_in
from pipeline.intake.stage_wishes import stage_wishes
from pipeline.operator import events, feedback
from pipeline.resources import Resources
from pipeline.views import forecast, generations, status
from pipeline.views.by_provider import by_provider, count_active
from pipeline.views.export import DEFAULT_TEMPLATE, Exported, ExportOptions, export
from pipeline.views.forecast import Forecast
from pipeline.views.report import report_of
from pipeline.views.status import BatchStatus
from runtime.resources import open_producer
from runtime.settings import Settings, read_settings
from runtime.site import is_embedded, open_site

log = logging.getLogger(__name__)

_PERIOD_S = 0.5
#: A doubt that no listing has settled by then waits for a person, and so does not hold up a script.
_DOUBT_PATIENCE_S = 180.0
#: The same where the service has no list: all that may still turn up is a reply that a dead worker had stored.
_PARKED_PATIENCE_S = 12.0
#: How long a database that went away is waited for.
_AWAY_PATIENCE_S = 60.0


class Batch:
    """Prompts enqueued together. Made by a connection, and usable as long as that is open."""

    def __init__(self, connection: "Connection", batch_id: BatchId, name: str) -> None:
        self._connection = connection
        self.id = batch_id
        self.name = name

    def __repr__(self) -> str:
        return f"<Batch {self.name!r} {self.id}>"

    def progress(self) -> Progress:
        """How far the batch is at this moment."""
        return progress_of(self._connection.progress(self.id))

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until nothing moves any more without a person, and say how it ended.

        Args:
            timeout: seconds, or None for as long as it takes.

        Raises:
            TimeoutError: the time went by; the batch goes on wherever workers run.
            ServiceMissing: Postgres stays away, or a worker of this machine cannot run.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        doubtful_since: float | None = None
        while True:
            now = self._connection.progress(self.id)
            doubtful_since = (doubtful_since or time.monotonic()) if now.progress.only_doubt else None
            if now.over or (
                doubtful_since is not None and time.monotonic() - doubtful_since > self._connection.patience_s(self.id)
            ):
                return progress_of(now)
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"batch {self.name!r} has {now.progress.unfinished} unfinished after {timeout} s")
            time.sleep(_PERIOD_S if deadline is None else max(0.0, min(_PERIOD_S, deadline - time.monotonic())))

    def results(self) -> Sequence[Result]:
        """Every generation in the order of the prompts, also those that are not final yet."""
        record = report_of(self._connection.resources, self.id)
        return [
            Result(
                row=line.position,
                prompt=line.prompt,
                theme=line.theme,
                variation=line.variation,
                state=line.state.value,
                accepted=line.state is GenerationState.COMPLETED,
                picture=line.best.path if line.best else None,
                url=line.best.url if line.best else None,
                core=line.best.core if line.best else None,
                style=line.best.style if line.best else None,
                cost_usd=line.cost_usd,
                error=line.error_message or line.error_code,
            )
            for line in record.generations
        ]

    def get_cost_summary(self) -> dict[str, int | float | None]:
        """What the batch has cost: `images_generated` (charged calls), `total_cost`, `avg_cost_per_image`.

        The average is per charged call, and not per accepted picture.
        """
        every = generations.costs(self._connection.resources, user_id=self._connection.user)
        return generations.cost_summary(next(one for one in every if one.batch_id == self.id))

    def forecast(self) -> Forecast | None:
        """What its unfinished generations will probably cost, as its finished ones were charged; None when all are.

        Its `rest_usd` is None where too few have finished to say.
        """
        return forecast.forecast_of(self._connection.resources, self.id, user_id=self._connection.user)

    def export(
        self,
        folder: str | Path,
        *,
        every_picture: bool = False,
        names: str = DEFAULT_TEMPLATE,
        link: bool = False,
        overwrite: bool = False,
    ) -> Exported:
        """Write the accepted pictures into a folder, each with its provenance, and the log; again, it goes on.

        Args:
            every_picture: also those not accepted, below `rejected`.
            names: template of the paths, such as `{theme}_{variation}_{row}`.
            link: hard links to the stored files where possible, with the record beside them alone.
            overwrite: replace files that hold another picture.

        Raises:
            RequestError: the template cannot be used, or other files are in the way; nothing was written.
        """
        options = ExportOptions(every_picture=every_picture, template=names, link=link, overwrite=overwrite)
        return export(self._connection.resources, self.id, Path(folder), options)

    def feedback(
        self, row: int, kind: str, *, picture: str | None = None, rating: int | None = None, comment: str | None = None
    ) -> None:
        """Say of a picture whether it shows its character, or how you like it; calibration learns from the former.

        Args:
            row: of the prompts as they were given, from 0.
            kind: `accepted` or `rejected`: is it the character? Or `heart`, `outlier`, `rating`, `comment`.
            picture: as `likeness show` numbers it: `0`, or `2.0` for the second attempt's. None for the best one.
            rating: 1 to 5.

        Raises:
            RequestError: there is no such row, picture or kind, or a rating or comment without its content.
        """
        resources, user = self._connection.resources, self._connection.user
        details = generations.find(resources, f"{self.id}/{row}", user_id=user)
        about = read_kind(kind)
        feedback.record_feedback(
            resources, details, user_id=user, kind=about, picture=picture, rating=rating, comment=comment
        )
        events.note_act_here(
            resources,
            user,
            "feedback",
            batch_id=self.id,
            generation_id=GenerationId(details.generation["id"]),
            detail={"row": row, "feedbackType": about, "rating": rating},
        )


class Connection(Characters, SingleGenerations):
    """An installation that a script works with; `close` it, use it in a `with`, or let the end of the script do so."""

    def __init__(self, settings: Settings) -> None:
        self._stack = contextlib.ExitStack()
        try:
            self._site = self._stack.enter_context(open_site(settings))
            self.resources: Resources = self._stack.enter_context(
                open_producer(self._site.settings, application="likeness script")
            )
            self._workers: LocalWorkers | None = None
            if is_embedded(settings):
                self._workers = self._stack.enter_context(LocalWorkers(self._site))
        except BaseException:
            self._stack.close()
            raise
        self._end = weakref.finalize(self, self._stack.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def settings(self) -> Settings:
        """What the environment and `.env` say of this installation."""
        return self._site.settings

    @property
    def user(self) -> str:
        """Whose batches these are."""
        return self._site.settings.user

    def close(self) -> None:
        """Stop what this connection runs; batches go on wherever other workers run, or with the next connection."""
        self._end()

    def enqueue(  # noqa: PLR0913 -- a script names each of its wishes as a keyword
        self,
        prompts: Path | Iterable[str | Mapping[str, Any]],
        *,
        sheet: str | None = None,
        name: str | None = None,
        character: str | Iterable[str] | None = None,
        provider: str = "ttapi",
        model: str | None = None,
        settings: Mapping[str, Any] | None = None,
        max_cost: Decimal | float | str | None = None,
        max_image_cost: Decimal | float | str | None = None,
        priority: int | None = None,
        max_tries: int | None = None,
        escalate: str | Iterable[str] | None = None,
        analysis: str | None = None,
        enhance: str | None = None,
        block: str | None = None,
        persona: str | None = None,
        optimise: bool = True,
    ) -> Batch:
        """Turn prompts into generations, all or none.

        Args:
            prompts: texts, or mappings with the columns of a prompt file (`prompt`, `theme`, `seed`, ...), or the
                path of such a file; what is odd about it is logged as a warning.
            sheet: of a workbook, by name or number.
            name: of the batch; under a known name, rows that the batch has are passed over. A new one by default.
            character: whom every picture must show; several names for several characters in one picture.
            settings: defaults of every row (`mode`, `aspect_ratio`, `cref_weight`, ...).
            max_cost: the batch's budget in dollars, a hard limit.
            max_image_cost: the most that one call may cost, in dollars; needed for models without a price.
            priority: share of the lanes, 1 to 100; 2 gets twice of 1.
            max_tries: a rejected generation tries again, up to so many tries, each of which is paid; 1 is off.
            escalate: what a further try changes, in order: `weight`, `references`, `action`, `model`.
            analysis: who looks at the pictures of a column `image`: `local`, `llm` or `off`.
            enhance: who writes prompts: `off`, `local` or `llm`; None is `off` for rows of words alone.
            block: kept word for word in every prompt that is written.
            persona: whose taste adds words to each prompt: a name, or `auto`.
            optimise: rank candidate prompts by what people have preferred.

        Raises:
            RequestError: something cannot be used; nothing was enqueued.
            ServiceMissing: the provider's key is not set.
        """
        steps = None if escalate is None else read_steps(escalate)
        return self._enqueued(
            prompts,
            sheet=sheet,
            name=name or f"script-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}",
            provider=provider,
            model=model,
            character=join_names(character),
            settings=dict(settings or {}),
            limit_usd=limit_of(max_cost, what="max_cost"),
            max_image_cost=limit_of(max_image_cost, what="max_image_cost"),
            priority=priority,
            try_policy=try_policy_of(max_tries=max_tries, escalate=steps),
            preparation=stage_wishes(
                analysis=analysis, enhance=enhance, persona=persona, block=block, optimise=optimise
            ),
        )

    def _enqueued(
        self, prompts: Path | Iterable[str | Mapping[str, Any]], *, sheet: str | None, **wanted: Any
    ) -> Batch:
        findings = Findings()
        rows = rows_in(prompts, sheet=sheet, findings=findings)
        folder = prompts.parent if isinstance(prompts, Path) else Path()
        order = Order(user_id=self.user, prompts=rows, whole_file=False, folder=folder, findings=findings, **wanted)
        with writing_ahead(self.resources) as ahead:
            plan = prepare(self.resources, order, ahead=ahead)
            for warning in plan.warnings:
                log.warning("%s", warning)
            written = commit(self.resources, plan)
        for warning in written.warnings:
            log.warning("%s", warning)
        self._tend()
        return Batch(self, written.batch_id, order.name)

    def batch(self, name_or_id: str) -> Batch:
        """A batch that was made before.

        Raises:
            RequestError: there is none of that name or id.
        """
        found = status.find(self.resources, name_or_id, user_id=self.user)
        return Batch(self, found.batch.id, found.batch.name)

    def get_cost_summary(self) -> dict[str, int | float | None]:
        """The same as a batch's, over all batches of this user."""
        return generations.cost_summary(generations.summed(generations.costs(self.resources, user_id=self.user)))

    def progress(self, batch_id: BatchId) -> BatchStatus:
        """For batches: where one stands, with the workers looked after.

        Raises:
            ServiceMissing: Postgres stayed away, or a worker that the batch needs cannot run.
        """
        deadline = time.monotonic() + _AWAY_PATIENCE_S
        while True:
            self._tend()
            try:
                now = status.of_batch(self.resources, batch_id)
            except ServiceMissing as failure:
                if not failure.retryable or time.monotonic() > deadline:
                    raise
                time.sleep(_PERIOD_S)
                continue
            counts = now.progress.counts
            if self._workers is not None and (counts[GenerationState.VALIDATING] or counts[GenerationState.PREPARING]):
                self._workers.require(checks=True)
            return now

    def patience_s(self, batch_id: BatchId) -> float:
        """How long doubts are waited for where nothing else is left of a batch."""
        try:
            settled_by_itself = any(map(count_active, by_provider(self.resources, batch_id)))
        except ServiceMissing as failure:
            if not failure.retryable:
                raise
            return _DOUBT_PATIENCE_S
        return _DOUBT_PATIENCE_S if settled_by_itself else _PARKED_PATIENCE_S

    def finished(self, batch_id: BatchId, name: str, timeout: float | None) -> None:
        """Wait until a batch of this connection is over."""
        self._tend()
        Batch(self, batch_id, name).wait(timeout)

    def _tend(self) -> None:
        if self._workers is not None:
            self._workers.tend()


def connect(settings: Settings | None = None) -> Connection:
    """Connect to the installation that the environment and `.env` describe.

    Without `DATABASE_URL` and `REDIS_URL`, embedded servers and workers run for as long as the connection is open.

    Raises:
        RequestError: the environment is not usable.
        ServiceMissing: a server is not to be had; the sentence says what to do.
    """
    return Connection(settings or read_settings())
