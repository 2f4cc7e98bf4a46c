"""TTAPI's calls beside imagine: actions on a finished job, blend, describe, seed, inpaint, the free prompt check."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from domain.errors import ContentRefused, MaybeSent, ProviderDown, ProviderError, ReplyUnreadable, RequestRefused
from providers.contract import Accepted, Action, Ask, Call, Described, Made, Reply, Running
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


# --- Blend, describe, seed, inpaint ---------------------------------------------------------------------------------


def test_a_blend_carries_its_pictures_inside() -> None:
    call = ADAPTER.build_blend([PNG, JPEG, WEBP], shape="portrait", settings={"mode": "fast"})
    assert (call.method, call.path, call.repeatable) == ("POST", "/midjourney/v1/blend", False)
    body = call.json or {}
    assert [text.partition(",")[0] for text in body["imgBase64Array"]] == [
        f"data:image/{kind};base64" for kind in ("png", "jpeg", "webp")
    ]
    assert base64.b64decode(body["imgBase64Array"][0].partition(",")[2]) == PNG
    assert (body["dimensions"], body["mode"], body["timeout"]) == ("PORTRAIT", "fast", 300)


@pytest.mark.parametrize(
    ("pictures", "shape"), [([PNG], "SQUARE"), ([PNG] * 6, "SQUARE"), ([PNG] * 2, "2:3"), ([PNG, b"<html>"], "SQUARE")]
)
def test_a_blend_that_ttapi_would_refuse_is_not_sent(pictures: list[bytes], shape: str) -> None:
    with pytest.raises(RequestRefused):
        ADAPTER.build_blend(pictures, shape=shape, settings={})


def test_a_description_is_four_texts_and_what_they_cost() -> None:
    call = ADAPTER.build_describe(JPEG)
    assert (call.path, call.repeatable) == ("/midjourney/v1/describe", False)
    assert str((call.json or {})["base64"]).startswith("data:image/jpeg;base64,")
    texts = ["1. a pig --ar 1:1", "2. a pink pig", "3. a hog", "4. a piglet"]
    assert ADAPTER.read_description(done(action="describe", prompt="\n\n".join(texts))) == Described(
        texts=texts, charged_usd=Decimal("0.02")
    )
    assert ADAPTER.read_description(reply({"status": "ON_QUEUE", "data": {"progress": "5"}})) == Running(percent=5)
    with pytest.raises(ReplyUnreadable):
        ADAPTER.read_description(done(action="describe", prompt=None))


def test_a_seed_is_asked_for_by_a_job_and_read_from_it() -> None:
    call = ADAPTER.build_seed(JOB)
    assert (call.path, call.json, call.repeatable) == ("/midjourney/v1/seed", {"jobId": JOB}, False)
    assert ADAPTER.read_seed(done(action="seed", seed="1234567890")) == 1234567890
    assert ADAPTER.read_seed(reply({"status": "PENDING_QUEUE", "data": {}})) == Running()
    with pytest.raises(ReplyUnreadable):
        ADAPTER.read_seed(done(action="seed", seed=None))


def test_an_inpaint_sends_its_mask_without_a_type_in_front() -> None:
    call = ADAPTER.build_inpaint(JOB, mask=PNG, prompt="a hat", settings={})
    assert (call.path, call.repeatable) == ("/midjourney/v1/inpaint", False)
    assert call.json == {"jobId": JOB, "mask": base64.b64encode(PNG).decode(), "prompt": "a hat", "timeout": 900}
    with pytest.raises(RequestRefused):
        ADAPTER.build_inpaint(JOB, mask=PNG, prompt=" ", settings={})


def test_a_job_of_another_kind_is_accepted_refused_or_in_doubt_like_every_submission() -> None:
    accepted = reply({"status": "SUCCESS", "message": "success", "data": {"job_id": CHILD}})
    assert ADAPTER.read_side_job(accepted) == Accepted(job_id=CHILD)
    with pytest.raises(MaybeSent):
        ADAPTER.read_side_job(reply({"status": "SUCCESS"}))


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
