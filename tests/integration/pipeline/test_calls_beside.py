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
from tests.support.replicate_desk import NANO, Desk
from tests.support.sandbox_client import until
from tests.support.steps import EXAMPLE, Bench


@pytest.fixture
def desk(replicate_desk: Desk) -> Desk:
    return replicate_desk


def faults(where: Where, provider: str) -> list[str]:
    """Every fault of that call, as a storm has them."""
    found = [one["what"] for one in chaos(0.1) if (one["where"], one["provider"]) == (where, provider)]
    assert {one.partition(":")[0] for one in found} == {
        name for name, kind in KINDS.items() if provider in kind.wires(where)
    }
    return found


@pytest.mark.parametrize("what", faults("cancel", "replicate"))
def test_a_wish_to_stop_that_does_not_arrive_is_said_again(desk: Desk, what: str) -> None:
    desk.arm("submit", "stuck")
    (attempt_id,) = desk.submitted("a pig that takes for ever")
    desk.arm("cancel", what)
    batch_control.cancel(desk.resources, BatchId(desk.books.attempt(attempt_id).batch_id))
    if desk.last_word(attempt_id).state == "collecting":
        desk.collected(attempt_id)
    assert desk.books.generation_of(attempt_id).state == "canceled"
    assert sum(desk.bill()) == desk.books.generation_of(attempt_id).cost


@pytest.mark.parametrize("what", faults("account", "ttapi"))
def test_an_account_that_is_silent_changes_nothing_but_for_a_key_that_is_refused(bench: Bench, what: str) -> None:
    bench.caller.arm({"where": "account", "what": what, "count": 1})
    said = accounts.refresh_account(bench.resources, "sandbox")
    assert said == (what.partition(":")[0] in {"slow", "delay"})
    assert (bench.lane().closed_until is not None) == (what == "status:401")
    bench.books.sql("UPDATE lanes SET account_asked_at = NULL")
    assert accounts.refresh_account(bench.resources, "sandbox")


@pytest.mark.parametrize("what", faults("model", "replicate"))
def test_a_model_that_cannot_be_asked_about_warns_and_refuses_nothing(desk: Desk, what: str) -> None:
    desk.arm("model", what)
    written = commit(desk.resources, desk.planned("a pig", seed=7))
    assert written.new == 1
    silent = what.partition(":")[0] not in {"slow", "delay"}
    assert bool(written.warnings) == silent
    assert not silent or "could not be asked" in written.warnings[0]


@pytest.mark.parametrize("what", faults("model", "openai"))
def test_the_same_at_openai(bench: Bench, sandbox_url: str, what: str) -> None:
    account = {"base_url": f"{sandbox_url}/openai", "key": bench.caller.key, "stand_in": sandbox_url}
    with open_lane("openai", "openai", **account) as lane:
        bench.books.lane("openai", provider="openai")
        resources = replace(bench.resources, lanes={"openai": lane})
        row = PromptRow(position=0, line=1, prompt="a pig", settings={"quality": "low"}, extra={})
        plan = prepare(
            resources, Order(name="batch", user_id=USER, provider="openai", prompts=[row], model="gpt-image-2")
        )
        bench.caller.arm({"where": "model", "what": what, "count": 1})
        assert commit(resources, plan).new == 1


@pytest.mark.parametrize("what", faults("secret", "replicate"))
def test_a_secret_that_cannot_be_had_proves_nothing_and_breaks_nothing(desk: Desk, what: str) -> None:
    lane = desk.resources.lanes["replicate"]
    desk.arm("secret", what)
    if what.partition(":")[0] in {"slow", "delay"}:
        lane.prepare_webhooks()
        return
    with pytest.raises(ProviderError):
        lane.prepare_webhooks()


@pytest.mark.parametrize("what", faults("check", "ttapi"))
def test_a_prompt_check_is_repeated_and_a_fault_is_no_objection(bench: Bench, what: str) -> None:
    row = PromptRow(position=0, line=1, prompt="a pig", settings={}, extra={})
    plan = prepare(bench.resources, Order(name="batch", user_id=USER, provider="sandbox", prompts=[row]))
    bench.caller.arm({"where": "check", "what": what, "count": 1})
    assert refuse_objectionable(bench.resources, plan).passed == 1
    assert bench.caller.fired() == [1]


@pytest.mark.parametrize("what", faults("upload", "files"))
def test_a_reference_that_is_not_taken_is_left_again_and_the_submission_waits(bench: Bench, what: str) -> None:
    bench.character()
    attempt_id = bench.admitted("a pig", character="lulu")
    bench.caller.arm({"where": "upload", "what": what, "count": 1})
    assert bench.submit(attempt_id) is None
    assert bench.caller.fired() == [1]
    if bench.books.attempt(attempt_id).state != "generating":
        assert bench.books.generation_of(attempt_id).state == "queued"
        bench.due()
        (attempt_id,) = bench.admit()
        assert bench.submit(attempt_id) is None
    assert bench.books.attempt(attempt_id).state == "generating"


@pytest.mark.parametrize("what", faults("reference", "ttapi"))
def test_a_reference_that_ttapi_cannot_read_ends_the_generation_for_nothing(bench: Bench, what: str) -> None:
    bench.character()
    bench.caller.arm({"where": "reference", "what": what, "count": 1})
    attempt_id = bench.generating("a pig", character="lulu")
    bench.until_made(attempt_id)
    if what.partition(":")[0] in {"slow", "delay"}:
        assert bench.books.attempt(attempt_id).state == "collecting"
        return
    generation = bench.books.generation_of(attempt_id)
    assert (generation.state, generation.error_code, generation.cost) == ("failed", "request_refused", 0)
    assert bench.books.attempt(attempt_id).illegal_prompt


@pytest.mark.parametrize("what", faults("reference", "replicate"))
def test_a_reference_that_replicate_cannot_read_is_tried_again(desk: Desk, what: str) -> None:
    new = NewCharacter(name="lulu", description="", references=[EXAMPLE], core=0.75, style=0.6, origin="default")
    add(desk.resources, new)
    row = PromptRow(position=0, line=1, prompt="a pig", settings={}, extra={})
    order = Order(name="batch", user_id=USER, provider="replicate", prompts=[row], model=NANO, character="lulu")
    commit(desk.resources, prepare(desk.resources, order))
    (attempt_id,) = desk.sent.take("submit")
    desk.arm("reference", what)
    assert submit(desk.resources, attempt_id) is None
    last = desk.last_word(attempt_id)
    if what.partition(":")[0] in {"slow", "delay"}:
        assert last.state == "collecting"
        return
    until(lambda: desk.bill() == [0], what="the bill to be right")
    # It waits for no time at all, so that the next admission may have taken it already.
    again = desk.books.generation_of(attempt_id).state in {"queued", "admitted"}
    assert (last.error_code, again) == ("job_failed", True)
