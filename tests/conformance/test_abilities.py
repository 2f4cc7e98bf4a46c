"""One sentence, every adapter: what holds of the calls that only some wires have, whichever wire has them."""

import json

import pytest

from domain.errors import LikenessError, MaybeSent, ProviderError, RequestRefused
from providers.adapter import Adapter
from providers.contract import Accepted, Action, Ask, Reply
from providers.registry import SERVICES, open_lane

ADAPTERS: dict[type, Adapter] = {type(one): one for one in (service.adapter() for service in SERVICES.values())}


def overriding(method: str) -> list[Adapter]:
    """The adapters that have something of their own in place of the default that does nothing."""
    return [one for one in ADAPTERS.values() if getattr(type(one), method) is not getattr(Adapter, method)]


ACTORS = overriding("build_action")
CHECKERS = overriding("build_prompt_check")
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


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=named)
def test_what_an_adapter_says_of_itself_is_what_it_has(adapter: Adapter) -> None:
    model = {"ttapi": "midjourney", "replicate": "google/nano-banana-pro", "openai": "gpt-image-2"}[adapter.name]
    assert adapter.synchronous == (adapter.build_poll("job-1") is None)
    assert adapter.upscales == (adapter in overriding("upscale_of"))
    assert adapter.cancels == (adapter.build_cancel("job-1") is not None)
    assert adapter.checks_prompts == (adapter.build_prompt_check("a pig") is not None)
    assert adapter.tells_models == (adapter.build_schema(model) is not None or adapter.build_model(model) is not None)
    assert adapter.calls_back == (adapter in overriding("read_webhook"))
    assert adapter.takes_files == (adapter.most_inline_bytes > 0 or adapter in overriding("build_upload"))
    listed = [adapter.build_fetch_list(part=part) for part in adapter.list_parts or ("any",)]
    assert all(listed) == bool(adapter.list_parts)


def test_somebody_has_each_ability() -> None:
    assert ACTORS
    assert CHECKERS


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_is_paid_for_and_so_never_called_repeatable(adapter: Adapter) -> None:
    call = adapter.build_action(ASK)
    assert not call.repeatable
    assert call == adapter.build_action(ASK)
    assert call.total_s <= adapter.submit_total_s, "rescue judges by the total of a submission"


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_names_its_parent_and_no_id_of_ours(adapter: Adapter) -> None:
    said = json.dumps(adapter.build_action(ASK).json)
    assert "parent-1" in said
    assert "attempt-1" not in said
    assert "token-1" not in said


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
def test_an_action_and_its_parent_are_never_written_down_alike(adapter: Adapter) -> None:
    texts = [adapter.prompt_text(one) for one in (ASK, _other())]
    assert len({*texts, "a pink pig --v 7 --seed 9"}) == 3


def _other() -> Ask:
    action = Action(job_id="parent-1", name="variation2", position=1, parent_text="a pink pig --v 7 --seed 9")
    return Ask(attempt_id="attempt-1", token="token-1", model="midjourney", prompt="a pink pig", action=action)


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
@pytest.mark.parametrize("status", [200, 302, 408, 409, 500, 503])
def test_an_answer_to_an_action_that_says_nothing_leaves_a_doubt(adapter: Adapter, status: int) -> None:
    with pytest.raises(LikenessError) as caught:
        adapter.read_action(reply({}, status), ASK)
    assert type(caught.value) is MaybeSent


@pytest.mark.parametrize("adapter", ACTORS, ids=named)
@pytest.mark.parametrize("parent", [True, False])
def test_an_accepted_action_never_has_its_parent_s_id(adapter: Adapter, *, parent: bool) -> None:
    said = "parent-1" if parent else "child-1"
    taken = adapter.read_action(reply({"status": "SUCCESS", "data": {"jobId": said}}), ASK)
    assert isinstance(taken, Accepted)
    assert taken.job_id != "parent-1"


@pytest.mark.parametrize("adapter", CHECKERS, ids=named)
def test_a_prompt_check_may_be_repeated(adapter: Adapter) -> None:
    assert adapter.build_prompt_check("a pig").repeatable


@pytest.mark.parametrize("adapter", CHECKERS, ids=named)
@pytest.mark.parametrize("status", [302, 401, 402, 429, 500])
def test_a_prompt_check_that_fails_is_neither_yes_nor_no(adapter: Adapter, status: int) -> None:
    with pytest.raises(ProviderError):
        adapter.read_prompt_check(reply({}, status))


@pytest.mark.parametrize("provider", sorted(SERVICES))
def test_a_lane_without_an_ability_says_so_before_anything_is_sent(provider: str) -> None:
    adapter = SERVICES[provider].adapter()
    with open_lane(provider, provider, base_url="http://127.0.0.1:9", key=KEY) as lane:
        if type(adapter) not in map(type, ACTORS):
            with pytest.raises(RequestRefused):
                lane.submit(ASK)
        assert lane.checks_prompts == (type(adapter) in map(type, CHECKERS))
