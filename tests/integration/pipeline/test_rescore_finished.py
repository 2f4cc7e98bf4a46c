"""Finished pictures judged again with their generations: by the same thresholds, and deciding nothing about them."""

from decimal import Decimal
from pathlib import Path

from db.records import characters
from db.records.characters import NewThresholds
from db.schema import generation_assets
from db.schema_checks import verdicts
from domain.ids import AttemptId
from pipeline.calibration.rescore import Rescored, rescore
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.views.export import export
from pipeline.views.report import report_of
from reports.wording import verdict
from runtime.scoring import ScoringOnDemand
from tests.integration.pipeline.test_finishing import accepted, ask, generation_of, one_call, wish
from tests.integration.pipeline.test_rescore import MODEL, embedding, no_model
from tests.support.steps import StepRunner

NO_LONGER = "the finished picture no longer passes; the original stays the result"


def finished(runner: StepRunner) -> AttemptId:
    """A generation whose accepted picture was made larger; nothing is embedded yet."""
    attempt_id = accepted(runner)
    ask(runner, attempt_id)
    one_call(runner)
    one_call(runner)
    assert wish(runner).outcome == "finished"
    return attempt_id


def embed(runner: StepRunner, *, originals: float, finished: float | None) -> None:
    """Keep embeddings with these scores, of the references too; a kind without a score gets none."""
    with runner.resources.database.transaction() as connection:
        cores = {row.sha256: 1.0 for row in characters.find(connection, "lulu").references}
    for row in runner.books.rows(generation_assets):
        core = originals if row.asset_type == "image" else finished
        if core is not None:
            cores[row.sha256] = core
    kept = KeptEmbeddings(runner.resources.database)
    kept.keep_model(MODEL)
    kept.put_many({sha: embedding(core) for sha, core in cores.items()}, model=MODEL.fingerprint)


def judge_again(runner: StepRunner, core: float) -> Rescored:
    """Judge everything by another threshold."""
    with runner.resources.database.transaction() as connection:
        lulu = characters.find(connection, "lulu")
        characters.set_thresholds(connection, lulu.id, NewThresholds(core=core, style=0.6, origin=f"set to {core}"))
    kept = KeptEmbeddings(runner.resources.database)
    return rescore(runner.resources, ScoringOnDemand(no_model, kept=kept, name=MODEL.name))


def versions(runner: StepRunner) -> dict[str, set[int]]:
    """The versions of the thresholds that judged the pictures of each kind."""
    kinds = {row.id: row.asset_type for row in runner.books.rows(generation_assets)}
    found: dict[str, set[int]] = {"image": set(), "finished": set()}
    for row in runner.books.rows(verdicts):
        found[kinds[row.asset_id]].add(row.threshold_version)
    return found


def told(runner: StepRunner, attempt_id: AttemptId) -> str:
    (line,) = report_of(runner.resources, runner.batch_of(attempt_id)).generations
    return verdict(line)


def test_a_finished_picture_is_judged_by_the_new_thresholds_too(runner: StepRunner, tmp_path: Path) -> None:
    attempt_id = finished(runner)
    embed(runner, originals=0.9, finished=0.86)
    assert judge_again(runner, 0.88).rejected == []
    assert versions(runner) == {"image": {2}, "finished": {2}}
    assert generation_of(runner, attempt_id).state == "completed"
    assert (wish(runner).outcome, wish(runner).said) == ("rejected", NO_LONGER)
    assert told(runner, attempt_id).endswith("The finished picture does not pass.")
    assert export(runner.resources, runner.batch_of(attempt_id), tmp_path / "out").written == 1, "the original alone"
    judge_again(runner, 0.85)
    assert (wish(runner).outcome, wish(runner).said) == ("finished", None)
    assert export(runner.resources, runner.batch_of(attempt_id), tmp_path / "out").written == 2, "one has a new record"
    assert generation_of(runner, attempt_id).cost == Decimal("0.06")


def test_a_finished_picture_that_passes_saves_no_generation(runner: StepRunner) -> None:
    attempt_id = finished(runner)
    embed(runner, originals=0.8, finished=0.95)
    assert len(judge_again(runner, 0.9).rejected) == 1
    assert generation_of(runner, attempt_id).state == "rejected"
    best = [row.asset_type for row in runner.books.rows(generation_assets) if row.best]
    assert best == ["image"], "the finished one is the better one, and never stands for the generation"
    assert told(runner, attempt_id).endswith("None of 4 pictures passes. The finished picture passes.")


def test_one_without_an_embedding_keeps_its_verdict_and_holds_nothing_up(runner: StepRunner) -> None:
    finished(runner)
    embed(runner, originals=0.8, finished=None)
    done = judge_again(runner, 0.9)
    assert (len(done.rejected), done.left) == (1, [])
    assert versions(runner) == {"image": {2}, "finished": {1}}


def test_a_wish_that_was_rejected_halfway_is_not_finished_by_a_verdict(runner: StepRunner) -> None:
    attempt_id = accepted(runner)
    ask(runner, attempt_id)
    runner.scorer.scores = (0.1,)
    one_call(runner)
    assert wish(runner).outcome == "rejected"
    embed(runner, originals=0.9, finished=0.9)
    judge_again(runner, 0.5)
    assert versions(runner) == {"image": {2}, "finished": {2}}
    assert wish(runner).outcome == "rejected", "only the picture was taken out of its grid"
