"""The calls beside a picture's way meet every fault the stand-in has for them: nothing is paid for it, nothing lost."""

from dataclasses import replace

import pytest

from domain.errors import ProviderError
from domain.ids import BatchId
from pipeline.attempts.submit import submit
from pipeline.characters.definitions import NewCharacter, add
from pipeline.intake.commit import commit
from pipeline.intake.plan import Order, prepare
from pipeline.intake.prompt_check import refuse_objectionable
from pipeline.intake.prompt_rows import PromptRow
from pipeline.operator import accounts, batch_control
from providers.registry import open_lane
from sandbox.faults.kinds import KINDS, Where
from sandbox.faults.profiles import chaos
from tests.support.books import USER
from tests.support.replicate_runner import NANO, ReplicateRunner
from tests.support.sandbox_client import until
from tests.support.steps import EXAMPLE, StepRunner


def faults(where: Where, provider: str) -> list[str]:
    """Every fault of that call, as a storm has them."""
    found = [one["what"] for one in chaos(0.1) if (one["where"], one["provider"]) == (where, provider)]
    assert {one.partition(":")[0] for one in found} == {
        name for name, kind in KINDS.items() if provider in kind.wires(where)
    }
    return found


@pytest.mark.parametrize("what", faults("cancel", "replicate"))
def test_a_wish_to_stop_that_does_not_arrive_is_said_again(replicate_runner: ReplicateRunner, what: str) -> None:
    replicate_runner.arm("submit", "stuck")
    (attempt_id,) = replicate_runner.submitted("a pig that takes for ever")
    replicate_runner.arm("cancel", what)
    batch_control.cancel(replicate_runner.resources, BatchId(replicate_runner.books.attempt(attempt_id).batch_id))
    if replicate_runner.last_word(attempt_id).state == "collecting":
        replicate_runner.collected(attempt_id)
    assert replicate_runner.books.generation_of(attempt_id).state == "canceled"
    assert sum(replicate_runner.bill()) == replicate_runner.books.generation_of(attempt_id).cost


@pytest.mark.parametrize("what", faults("account", "ttapi"))
def test_an_account_that_is_silent_changes_nothing_but_for_a_key_that_is_refused(runner: StepRunner, what: str) -> None:
    runner.caller.arm({"where": "account", "what": what, "count": 1})
    said = accounts.refresh_account(runner.resources, "sandbox")
    assert said == (what.partition(":")[0] in {"slow", "delay"})
    assert (runner.lane().closed_until is not None) == (what == "status:401")
    runner.books.sql("UPDATE lanes SET account_asked_at = NULL")
    assert accounts.refresh_account(runner.resources, "sandbox")


@pytest.mark.parametrize("what", faults("model", "replicate"))
def test_a_model_that_cannot_be_asked_about_warns_and_refuses_nothing(
    replicate_runner: ReplicateRunner, what: str
) -> None:
    replicate_runner.arm("model", what)
    written = commit(replicate_runner.resources, replicate_runner.planned("a pig", seed=7))
    assert written.new == 1
    silent = what.partition(":")[0] not in {"slow", "delay"}
    assert bool(written.warnings) == silent
    assert not silent or "could not be asked" in written.warnings[0]


@pytest.mark.parametrize("what", faults("model", "openai"))
def test_the_same_at_openai(runner: StepRunner, sandbox_url: str, what: str) -> None:
    account = {"base_url": f"{sandbox_url}/openai", "key": runner.caller.key, "stand_in": sandbox_url}
    with open_lane("openai", "openai", **account) as lane:
        runner.books.lane("openai", provider="openai")
        resources = replace(runner.resources, lanes={"openai": lane})
        row = PromptRow(position=0, line=1, prompt="a pig", settings={"quality": "low"}, extra={})
        plan = prepare(
            resources, Order(name="batch", user_id=USER, provider="openai", prompts=[row], model="gpt-image-2")
        )
        runner.caller.arm({"where": "model", "what": what, "count": 1})
        assert commit(resources, plan).new == 1


@pytest.mark.parametrize("what", faults("secret", "replicate"))
def test_a_secret_that_cannot_be_had_proves_nothing_and_breaks_nothing(
    replicate_runner: ReplicateRunner, what: str
) -> None:
    lane = replicate_runner.resources.lanes["replicate"]
    replicate_runner.arm("secret", what)
    if what.partition(":")[0] in {"slow", "delay"}:
        lane.prepare_webhooks()
        return
    with pytest.raises(ProviderError):
        lane.prepare_webhooks()


@pytest.mark.parametrize("what", faults("check", "ttapi"))
def test_a_prompt_check_is_repeated_and_a_fault_is_no_objection(runner: StepRunner, what: str) -> None:
    row = PromptRow(position=0, line=1, prompt="a pig", settings={}, extra={})
    plan = prepare(runner.resources, Order(name="batch", user_id=USER, provider="sandbox", prompts=[row]))
    runner.caller.arm({"where": "check", "what": what, "count": 1})
    assert refuse_objectionable(runner.resources, plan).passed == 1
    assert runner.caller.fired() == [1]


@pytest.mark.parametrize("what", faults("upload", "files"))
def test_a_reference_that_is_not_taken_is_left_again_and_the_submission_waits(runner: StepRunner, what: str) -> None:
    runner.character()
    attempt_id = runner.admitted("a pig", character="lulu")
    runner.caller.arm({"where": "upload", "what": what, "count": 1})
    assert runner.submit(attempt_id) is None
    assert runner.caller.fired() == [1]
    if runner.books.attempt(attempt_id).state != "generating":
        assert runner.books.generation_of(attempt_id).state == "queued"
        runner.due()
        (attempt_id,) = runner.admit()
        assert runner.submit(attempt_id) is None
    assert runner.books.attempt(attempt_id).state == "generating"


@pytest.mark.parametrize("what", faults("reference", "ttapi"))
def test_a_reference_that_ttapi_cannot_read_ends_the_generation_for_nothing(runner: StepRunner, what: str) -> None:
    runner.character()
    runner.caller.arm({"where": "reference", "what": what, "count": 1})
    attempt_id = runner.generating("a pig", character="lulu")
    runner.until_made(attempt_id)
    if what.partition(":")[0] in {"slow", "delay"}:
        assert runner.books.attempt(attempt_id).state == "collecting"
        return
    generation = runner.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "request_refused", 0)
    assert runner.books.attempt(attempt_id).illegal_prompt


@pytest.mark.parametrize("what", faults("reference", "replicate"))
def test_a_reference_that_replicate_cannot_read_is_tried_again(replicate_runner: ReplicateRunner, what: str) -> None:
    new = NewCharacter(name="lulu", description="", references=[EXAMPLE], core=0.75, style=0.6, origin="default")
    add(replicate_runner.resources, new)
    row = PromptRow(position=0, line=1, prompt="a pig", settings={}, extra={})
    order = Order(name="batch", user_id=USER, provider="replicate", prompts=[row], model=NANO, character="lulu")
    commit(replicate_runner.resources, prepare(replicate_runner.resources, order))
    (attempt_id,) = replicate_runner.sent.take("submit")
    replicate_runner.arm("reference", what)
    assert submit(replicate_runner.resources, attempt_id) is None
    last = replicate_runner.last_word(attempt_id)
    if what.partition(":")[0] in {"slow", "delay"}:
        assert last.state == "collecting"
        return
    until(lambda: replicate_runner.bill() == [0], what="the bill to be right")
    # It waits for no time at all, so that the next admission may have taken it already.
    again = replicate_runner.books.generation_of(attempt_id).state in {"queued", "admitted"}
    assert (last.error_code, again) == ("job_failed", True)
