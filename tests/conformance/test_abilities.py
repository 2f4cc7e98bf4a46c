"""One sentence, every adapter: what holds of the calls that only some wires have, whichever wire has them."""

import json

import pytest

from domain.errors import LikenessError, MaybeSent, ProviderError, RequestRefused
from providers.abilities import Actor, PromptChecker, SideWorker
from providers.contract import Accepted, Action, Ask, Call, Provider, Reply
from providers.registry import SERVICES, open_lane

ADAPTERS: dict[type, Provider] = {type(one): one for one in (service.adapter() for service in SERVICES.values())}
ACTORS = [one for one in ADAPTERS.values() if isinstance(one, Actor)]
CHECKERS = [one for one in ADAPTERS.values() if isinstance(one, PromptChecker)]
SIDE_WORKERS = [one for one in ADAPTERS.values() if isinstance(one, SideWorker)]
PNG = b"\x89PNG\r\n\x1a\n..."
KEY = "sk-0123456789"
ASK = Ask(
    attempt_id="attempt-1",
    token="token-1",
    model="midjourney",
    prompt="a pink pig",
    action=Action(job_id="parent-1", name="variation1", position=0, parent_text="a pink pig --v 7 --seed 9"),
)


def named(one: object) -> str:
    return type(one).__name__


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status=status, headers={}, content=json.dumps(body).encode())


def provider_of(adapter: Actor) -> Provider:
    return ADAPTERS[type(adapter)]


def side_calls(adapter: SideWorker) -> list[Call]:
    return [
        adapter.build_blend([PNG, PNG], shape="SQUARE", settings={}),
        adapter.build_describe(PNG),
        adapter.build_seed("job-1"),
        adapter.build_inpaint("job-1", mask=PNG, prompt="a hat", settings={}),
    ]


def test_somebody_has_each_ability() -> None:
    assert ACTORS
    assert CHECKERS
    assert SIDE_WORKERS


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_is_paid_for_and_so_never_called_repeatable(adapter: Actor) -> None:
    call = adapter.build_action(ASK)
    assert not call.repeatable
    assert call == adapter.build_action(ASK)
    assert call.total_s <= provider_of(adapter).submit_total_s, "rescue judges by the total of a submission"


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_names_its_parent_and_no_id_of_ours(adapter: Actor) -> None:
    said = json.dumps(adapter.build_action(ASK).json)
    assert "parent-1" in said
    assert "attempt-1" not in said
    assert "token-1" not in said


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_and_its_parent_are_never_written_down_alike(adapter: Actor) -> None:
    texts = [provider_of(adapter).prompt_text(one) for one in (ASK, _other())]
    assert len({*texts, "a pink pig --v 7 --seed 9"}) == 3


def _other() -> Ask:
    action = Action(job_id="parent-1", name="variation2", position=1, parent_text="a pink pig --v 7 --seed 9")
    return Ask(attempt_id="attempt-1", token="token-1", model="midjourney", prompt="a pink pig", action=action)


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
@pytest.mark.parametrize("status", [200, 302, 408, 409, 500, 503])
def test_an_answer_to_an_action_that_says_nothing_leaves_a_doubt(adapter: Actor, status: int) -> None:
    with pytest.raises(LikenessError) as caught:
        adapter.read_action(reply({}, status), ASK)
    assert type(caught.value) is MaybeSent


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
@pytest.mark.parametrize("parent", [True, False])
def test_an_accepted_action_never_has_its_parent_s_id(adapter: Actor, *, parent: bool) -> None:
    said = "parent-1" if parent else "child-1"
    taken = adapter.read_action(reply({"status": "SUCCESS", "data": {"jobId": said}}), ASK)
    assert isinstance(taken, Accepted)
    assert taken.job_id != "parent-1"


@pytest.mark.parametrize("adapter", SIDE_WORKERS, ids=named)
def test_jobs_of_other_kinds_are_never_called_repeatable(adapter: SideWorker) -> None:
    assert not any(call.repeatable for call in side_calls(adapter))


@pytest.mark.parametrize("adapter", CHECKERS, ids=named)
def test_a_prompt_check_may_be_repeated(adapter: PromptChecker) -> None:
    assert adapter.build_prompt_check("a pig").repeatable


@pytest.mark.parametrize("adapter", CHECKERS, ids=named)
@pytest.mark.parametrize("status", [302, 401, 402, 429, 500])
def test_a_prompt_check_that_fails_is_neither_yes_nor_no(adapter: PromptChecker, status: int) -> None:
    with pytest.raises(ProviderError):
        adapter.read_prompt_check(reply({}, status))


@pytest.mark.parametrize("provider", sorted(SERVICES))
def test_a_lane_without_an_ability_says_so_before_anything_is_sent(provider: str) -> None:
    adapter = SERVICES[provider].adapter()
    with open_lane(provider, provider, base_url="http://127.0.0.1:9", key=KEY) as lane:
        if not isinstance(adapter, Actor):
            with pytest.raises(RequestRefused):
                lane.submit(ASK)
        if not isinstance(adapter, SideWorker):
            with pytest.raises(RequestRefused):
                lane.describe(PNG)
        assert lane.checks_prompts == isinstance(adapter, PromptChecker)
