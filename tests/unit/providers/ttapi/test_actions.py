"""TTAPI's calls beside imagine: actions on a finished job, and the free prompt check."""

import json
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import ContentRefused, MaybeSent, ProviderDown, ProviderError, ReplyUnreadable, RequestRefused
from providers.contract import Accepted, Action, Ask, Call, Made, Reply, Running
from providers.listed import ListedJob
from providers.midjourney.prompt import aspect_in
from providers.ttapi.adapter import TTAPI

ADAPTER = TTAPI()
JOB = "6d7765ac-f2dd-440b-8464-660e2f83f3a5"
CHILD = "11112222-f2dd-440b-8464-660e2f83f3a5"
PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n..", b"\xff\xd8\xff..", b"RIFF....WEBP"


def reply(body: object, status: int = 200, call: Call | None = None) -> Reply:
    return Reply(status=status, headers={}, content=json.dumps(body).encode(), model=call.model if call else "")


def ask(name: str = "variation2", *, text: str = "a pig --v 7 --seed 9", **changes: Any) -> Ask:
    action = Action(job_id=JOB, name=name, position=1, parent_text=text)
    fields = {"attempt_id": "a-1", "token": "t-1", "model": "midjourney", "prompt": "a pig", "action": action}
    return Ask(**{**fields, **changes})


def done(**data: Any) -> Reply:
    return reply({"status": "SUCCESS", "message": "", "jobId": CHILD, "data": {"jobId": CHILD, "quota": "2", **data}})


# --- Actions --------------------------------------------------------------------------------------------------------


def test_an_action_names_its_parent_and_nothing_of_ours() -> None:
    call = ADAPTER.build_action(ask(settings={"mode": "fast"}, hook_url="https://us/hooks/ttapi/t-1"))
    assert (call.method, call.path, call.repeatable) == ("POST", "/midjourney/v1/action", False)
    assert call.json == {
        "jobId": JOB,
        "action": "variation2",
        "timeout": 300,
        "getUImages": True,
        "hookUrl": "https://us/hooks/ttapi/t-1",
    }
    assert call.total_s == ADAPTER.submit_total_s


@pytest.mark.parametrize("key", ["job_id", "jobId"])
def test_an_action_is_a_job_of_its_own(key: str) -> None:
    answer = reply({"status": "SUCCESS", "message": "success", "data": {key: CHILD}})
    assert ADAPTER.read_action(answer, ask()) == Accepted(job_id=CHILD)


def test_an_action_that_bears_its_parent_s_id_is_told_from_it() -> None:
    answer = reply({"status": "SUCCESS", "message": "success", "data": {"jobId": JOB}})
    taken = ADAPTER.read_action(answer, ask())
    assert taken.job_id not in {JOB, ""}
    look = ADAPTER.build_poll(taken.job_id)
    assert look.params == {"jobId": JOB}
    parent = {"status": "SUCCESS", "jobId": JOB, "data": {"action": "imagine", "cdnImage": "https://c/g.png"}}
    assert ADAPTER.read_poll(reply(parent, call=look)) == Running()
    own = {"status": "SUCCESS", "jobId": JOB, "data": {"action": "variation2", "cdnImage": "https://c/v.png"}}
    made = ADAPTER.read_poll(reply(own, call=look))
    assert isinstance(made, Made)
    assert made.grid_url == "https://c/v.png"
    further = ADAPTER.build_action(
        ask(action=Action(job_id=taken.job_id, name="upsample1", position=0, parent_text="a pig"))
    )
    assert (further.json or {})["jobId"] == JOB


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply({"status": "FAILED", "message": "The action is not possible", "data": None}, 400), RequestRefused),
        (reply({"status": "FAILED", "message": "[Image denied]", "data": None}), ContentRefused),
        (reply({"status": "SUCCESS", "data": None}), MaybeSent),
        (reply({}, 500), MaybeSent),
        (reply({}, 409), MaybeSent),
    ],
)
def test_an_action_is_accepted_refused_or_in_doubt_as_an_imagine_is(answer: Reply, kind: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        ADAPTER.read_action(answer, ask())
    assert type(caught.value) is kind


def test_what_is_kept_of_an_action_is_what_the_list_will_show_of_it() -> None:
    kept = ADAPTER.prompt_text(ask())
    row = {"job_id": CHILD, "action": "variation2", "prompt": "a pig --v 7 --seed 9", "status": 2}
    page = ADAPTER.read_fetch_list(reply({"status": "SUCCESS", "data": [row]}))
    assert page.jobs == [ListedJob(job_id=CHILD, prompt=kept, created_at=None, status="2", action="variation2")]


def test_an_action_on_an_action_goes_by_the_text_they_both_began_with() -> None:
    twice = ADAPTER.prompt_text(ask("upsample1", text=ADAPTER.prompt_text(ask())))
    assert twice == ADAPTER.prompt_text(ask("upsample1"))


def test_an_action_on_the_list_is_never_taken_for_the_imagine_it_began_with() -> None:
    rows = [{"job_id": CHILD, "action": name, "prompt": "a pig --seed 9"} for name in ("imagine", "upsample1")]
    fresh, further = ADAPTER.read_fetch_list(reply({"status": "SUCCESS", "data": rows})).jobs
    assert (fresh.prompt, fresh.action) == ("a pig --seed 9", None)
    assert further.prompt != fresh.prompt


@pytest.mark.parametrize("action", ["upsample4", "upscale2", "redo_upscale4", "upsample_v7_2x_subtle"])
def test_a_larger_picture_is_one_picture_and_no_grid(action: str) -> None:
    made = ADAPTER.read_poll(done(action=action, cdnImage="https://c/u.png", images=None))
    assert isinstance(made, Made)
    assert (list(made.picture_urls), made.grid_url) == (["https://c/u.png"], None)


@pytest.mark.parametrize("action", ["imagine", "variation1", "reroll", "zoom_out_2", "pan_left", "blend", None])
def test_everything_else_without_single_images_is_a_grid(action: str | None) -> None:
    made = ADAPTER.read_poll(done(action=action, cdnImage="https://c/g.png", images=None))
    assert isinstance(made, Made)
    assert (list(made.picture_urls), made.grid_url) == ([], "https://c/g.png")


@pytest.mark.parametrize(
    ("text", "aspect"),
    [
        ("a pig --ar 3:2 --v 7", (3, 2)),
        ("a pig --aspect 16:9", (16, 9)),
        ("a pig --v 7", (1, 1)),
        ("", None),
        ("a pig --ar16:9", (1, 1)),
    ],
)
def test_the_shape_of_a_picture_is_read_from_the_text_as_sent(text: str, aspect: tuple[int, int] | None) -> None:
    assert aspect_in(text) == aspect


@pytest.mark.parametrize(
    ("offered", "position", "leads"),
    [
        (["upsample1", "upsample2", "variation1"], 1, ("upsample2", False)),
        (["zoom_out_2", "upscale_creative", "upscale_subtle"], 0, ("upscale_subtle", True)),
        (["upsample_v7_2x_subtle", "upsample_v7_2x_creative"], 0, ("upsample_v7_2x_subtle", True)),
        (["upscale2", "upscale4"], 0, ("upscale2", True)),
        (["pan_left"], 0, None),
        (None, 0, None),
    ],
)
def test_a_larger_picture_is_asked_for_under_the_name_that_the_job_offers(
    offered: list[str] | None, position: int, leads: tuple[str, bool] | None
) -> None:
    assert ADAPTER.upscale_of(position, detail={"components": offered}) == leads


# --- Money that is kept ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quota", "charged"), [("2", Decimal("0.02")), (3, Decimal("0.03")), ("0", None), (None, None)]
)
def test_a_failed_job_costs_what_its_body_says(quota: object, charged: Decimal | None) -> None:
    body = {"status": "FAILED", "message": "[Banned prompt detected] x", "jobId": JOB, "data": {"quota": quota}}
    with pytest.raises(ContentRefused) as caught:
        ADAPTER.read_poll(reply(body))
    assert caught.value.charged_usd == charged
    assert caught.value.illegal_prompt


# --- The prompt check -----------------------------------------------------------------------------------------------


def test_the_prompt_check_is_free_and_may_be_repeated() -> None:
    call = ADAPTER.build_prompt_check("a pig --v 7")
    assert (call.method, call.path, call.json, call.repeatable) == (
        "POST",
        "/midjourney/v1/promptCheck",
        {"prompt": "a pig --v 7"},
        True,
    )


@pytest.mark.parametrize("status", [200, 400])
def test_the_prompt_check_names_what_is_wrong(status: int) -> None:
    objection = "banned prompt words: blood"
    assert ADAPTER.read_prompt_check(reply({"status": "FAILED", "message": objection}, status)) == objection


def test_the_prompt_check_has_nothing_against_a_good_prompt() -> None:
    answer = reply({"status": "SUCCESS", "message": "Prompt verification successful.", "data": None})
    assert ADAPTER.read_prompt_check(answer) is None


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply({}, 500), ProviderDown),
        (reply({}), ReplyUnreadable),
        (reply([], 400), ReplyUnreadable),
        (reply({"status": "FAILED"}), ReplyUnreadable),
    ],
)
def test_a_check_that_failed_is_no_objection(answer: Reply, kind: type[ProviderError]) -> None:
    with pytest.raises(kind):
        ADAPTER.read_prompt_check(answer)
