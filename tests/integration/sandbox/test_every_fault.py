"""Every fault the sandbox knows, at every wire where it can happen: armed once, and seen as it would be there.

The cases are written from the sandbox's own table, so that a fault without a case here is a failure.
"""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from PIL import Image, UnidentifiedImageError

from sandbox.faults.kinds import KINDS, Where
from sandbox.process import running
from tests.support.callback_listener import CallbackListener
from tests.support.sandbox_client import until
from tests.support.sandbox_customers import AtOpenAI, JobCustomer, customer, http, job_customer

MODERATED = "Your request was rejected. safety_violations=[gore]."
#: What each fault with an argument is armed with, and what comes of it where that differs; the others come as they are.
BESIDE: tuple[Where, ...] = ("cancel", "account", "model", "secret", "check", "upload", "reference")
VARIANTS: dict[tuple[str, Where, str], tuple[str, ...]] = {
    **{("status", where, ""): ("429", "503") for where in BESIDE},
    **{(name, where, ""): ("0.05",) for name in ("slow", "delay") for where in BESIDE},
    ("status", "submit", "ttapi"): ("401", "402", "429", "499", "500", "503_before", "503_after"),
    ("status", "submit", "replicate"): ("401", "402", "429", "500", "502_before", "502_after"),
    ("status", "submit", "openai"): ("401", "402", "403", "429", "500", "503_before", "503_after"),
    ("status", "fetch", ""): ("429", "500"),
    ("status", "list", ""): ("429", "503"),
    ("status", "picture", ""): ("403", "503"),
    ("throttled", "submit", "replicate"): ("plain", "old", "low_credit", "no_payment"),
    ("throttled", "submit", "openai"): ("plain", "quota", "no_credits", "hard_limit"),
    ("refused", "submit", "ttapi"): ("[Banned prompt detected] failed: no",),
    ("refused", "submit", "replicate"): ("this input is not allowed",),
    ("refused", "submit", "openai"): (MODERATED,),
    ("failed_body", "submit", "ttapi"): ("[Internal Error] try again", "[Banned prompt detected] failed: no"),
    ("failed_body", "submit", "replicate"): ("The input was flagged (E005)",),
    ("failed_body", "submit", "openai"): (MODERATED,),
    ("slow", "submit", ""): ("0.05",),
    ("slow", "fetch", ""): ("0.05",),
    ("slow", "list", ""): ("0.05",),
    ("slow", "picture", ""): ("0.05",),
    ("delay", "submit", ""): ("0.05",),
    ("delay", "fetch", ""): ("0.05",),
    ("delay", "list", ""): ("0.05",),
    ("delay", "picture", ""): ("0.05",),
    ("slow_clock", "list", ""): ("300",),
    ("delay_before", "submit", ""): ("0.05",),
    ("late_callback", "callback", ""): ("0.05",),
}


@dataclass(frozen=True, slots=True)
class Case:
    where: Where
    what: str
    wire: str

    @property
    def name(self) -> str:
        return self.what.partition(":")[0]

    @property
    def argument(self) -> str:
        return self.what.partition(":")[2]

    def __str__(self) -> str:
        return f"{self.what[:32]} at {self.wire}'s {self.where}"


def cases(where: Where) -> list[Case]:
    found = []
    for name, kind in KINDS.items():
        for wire in sorted(kind.wires(where)):
            variants = VARIANTS.get((name, where, wire)) or VARIANTS.get((name, where, "")) or ()
            assert bool(variants) == bool(kind.argument), f"what is {name!r} armed with?"
            whats = [f"{name}:{variant}" for variant in variants] or [name]
            found += [Case(where, what, wire) for what in whats]
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("sandbox"), latency_s=0.02, size_px=64, callback_pause=0.05) as url:
        yield url


@pytest.fixture(scope="module")
def finished(sandbox: str) -> dict[str, tuple[JobCustomer, str, str]]:
    """At each wire with jobs: an account, a job of it that is made, and the address of its picture."""
    found = {}
    for wire in ("ttapi", "replicate"):
        made = job_customer(wire, sandbox)
        job_id = made.job_id(made.submit())
        found[wire] = (made, job_id, made.address(made.ended(job_id)))
    return found


@pytest.fixture(autouse=True)
def _calm(sandbox: str) -> Iterator[None]:
    http().delete(f"{sandbox}/_sandbox/faults")
    yield
    http().delete(f"{sandbox}/_sandbox/faults")


def arm(sandbox: str, case: Case) -> None:
    fault = {"where": case.where, "what": case.what, "provider": case.wire, "count": 1}
    http().post(f"{sandbox}/_sandbox/faults", json={"faults": [fault]}).raise_for_status()


def happened(sandbox: str, case: Case) -> int:
    """How often the sandbox says that the fault befell a call."""
    said = http().get(f"{sandbox}/_sandbox/happened").json()["happened"]
    return sum((one["where"], one["what"], one["provider"]) == (case.where, case.what, case.wire) for one in said)


def reply_of(call: Any) -> httpx2.Response | None:
    """What came, or None where the connection ended before it was whole."""
    try:
        reply: httpx2.Response = call()
    except httpx2.TransportError:
        return None
    return reply


def format_of(content: bytes) -> str | None:
    """What a picture is by its own bytes; None for what is no whole picture."""
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, SyntaxError, UnidentifiedImageError):
        return None
    return picture.format


def is_picture(content: bytes) -> bool:
    return format_of(content) is not None


@pytest.mark.parametrize("case", cases("submit"), ids=str)
def test_a_submission_can_meet_it(sandbox: str, case: Case) -> None:
    # Whoever waits for OpenAI's picture would wait for a stuck one for ever.
    hurried = case.name == "stuck" and case.wire == "openai"
    one = customer(case.wire, sandbox, timeout_s=0.5 if hurried else 60.0)
    arm(sandbox, case)
    reply = reply_of(one.submit)
    assert happened(sandbox, case) == 1
    accepted = case.name not in {"drop_before", "html", "throttled", "refused"} and not (
        case.name == "status" and not case.argument.endswith("_after")
    )
    assert len(one.billed()) == accepted, "on the bill if it was accepted, and only then"
    if hurried or case.name in {"drop_before", "drop_after", "truncated"}:
        assert reply is None
        return
    assert reply is not None
    check_submission(case, one, reply)


def check_submission(case: Case, one: JobCustomer | AtOpenAI, reply: httpx2.Response) -> None:
    match case.name:
        case "status":
            assert reply.status_code == int(case.argument[:3])
        case "html" | "html_after":
            assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html")
        case "refused":
            assert reply.status_code == {"ttapi": 200, "replicate": 422, "openai": 400}[case.wire]
            assert case.argument in reply.text
        case "throttled":
            assert reply.status_code == (400 if case.argument == "hard_limit" else 429)
        case _ if isinstance(one, AtOpenAI):
            check_picture_in_reply(case, one, reply)
        case _:
            check_job(case, one, one.job_id(reply))


def check_picture_in_reply(case: Case, one: AtOpenAI, reply: httpx2.Response) -> None:
    match case.name:
        case "failed_body":
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "moderation_blocked")
            assert one.billed()[0]["charged_usd"] == "0.00"
        case "no_images":
            assert (reply.status_code, reply.json()["data"]) == (200, [])
        case "as_address":
            assert is_picture(http().get(reply.json()["data"][0]["url"]).content)
        case "no_usage":
            assert "usage" not in reply.json()
        case _:
            assert is_picture(one.picture(reply))


def check_job(case: Case, one: JobCustomer, job_id: str) -> None:
    if case.name == "stuck":
        assert one.status(one.fetch(job_id).json()) == "going"
        http().delete(f"{one.url}/_sandbox/faults")
    body = one.ended(job_id)
    expected = {"failed_body": "failed", "canceled": "canceled", "aborted": "aborted"}.get(case.name, "made")
    assert one.status(body) == expected
    if case.name == "failed_body":
        assert case.argument in str(body.get("message") or body.get("error"))


@pytest.mark.parametrize("case", [*cases("fetch"), *cases("list")], ids=str)
def test_a_look_can_meet_it(sandbox: str, finished: dict[str, tuple[JobCustomer, str, str]], case: Case) -> None:
    one, job_id, _ = finished[case.wire]
    arm(sandbox, case)

    def look() -> httpx2.Response:
        return one.fetch(job_id) if case.where == "fetch" else one.listing()

    reply = reply_of(look)
    assert happened(sandbox, case) == 1
    if case.name in {"drop_before", "drop_after", "truncated"}:
        assert reply is None
    else:
        assert reply is not None
        check = check_list if case.name in {"respelt", "slow_clock"} else check_look
        check(case, one, reply)
    assert look().status_code == 200, "the job itself has lost nothing"


def check_look(case: Case, one: JobCustomer | AtOpenAI, reply: httpx2.Response) -> None:
    match case.name:
        case "status":
            assert reply.status_code == int(case.argument)
        case "html":
            assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html")
        case "unknown_status":
            assert one.status(reply.json()) not in {"made", "failed", "going"}
        case "old_shape":
            assert {"actions", "quota"} <= set(reply.json()["data"])
        case "no_images":
            body = reply.json()
            assert one.status(body) == "made"
            assert (body["data"]["images"] if case.wire == "ttapi" else body["output"]) is None
        case "data_removed":
            body = reply.json() if case.where == "fetch" else reply.json()["results"][0]
            assert (body["data_removed"], body["input"], body["output"]) == (True, {}, None)
        case "respelt" if case.wire == "ttapi":
            assert rows(reply)[0]["prompt"] == f"{rows(one.listing())[0]['prompt']} --fast"
        case "data_output":
            head, _, content = reply.json()["output"].partition(",")
            assert head.startswith("data:image/")
            assert is_picture(base64.b64decode(content))
        case _:
            assert reply.status_code in {200, 201}
            assert reply.json()


@dataclass(frozen=True, slots=True)
class Beside:
    """A call beside a picture's way, as its wire has it."""

    method: str
    path: str
    content: dict[str, Any]


def call_beside(case: Case, one: JobCustomer | AtOpenAI, job_id: str) -> Beside:
    asked: dict[tuple[str, str], Beside] = {
        ("account", "ttapi"): Beside("GET", "/midjourney/v1/info", {}),
        ("check", "ttapi"): Beside("POST", "/midjourney/v1/promptCheck", {"json": {"prompt": "a pig"}}),
        ("account", "replicate"): Beside("GET", "/v1/account", {}),
        ("model", "replicate"): Beside("GET", "/v1/models/google/nano-banana-pro", {}),
        ("secret", "replicate"): Beside("GET", "/v1/webhooks/default/secret", {}),
        ("cancel", "replicate"): Beside("POST", f"/v1/predictions/{job_id}/cancel", {}),
        ("model", "openai"): Beside("GET", "/v1/models/gpt-image-2", {}),
        ("upload", "replicate"): Beside("POST", "/v1/files", {"files": {"content": ("pig.png", b"a file")}}),
        ("upload", "files"): Beside("PUT", f"{one.url}/_sandbox/files", {"content": b"a file"}),
    }
    return asked[case.where, case.wire]


@pytest.mark.parametrize("case", [one for where in BESIDE if where != "reference" for one in cases(where)], ids=str)
def test_a_call_beside_a_picture_s_way_can_meet_it(
    sandbox: str, finished: dict[str, tuple[JobCustomer, str, str]], case: Case
) -> None:
    one, job_id, _ = finished.get(case.wire, (customer("openai", sandbox), "", ""))
    call = call_beside(case, one, job_id)
    arm(sandbox, case)
    reply = reply_of(lambda: one.call(call.method, call.path, **call.content))
    assert happened(sandbox, case) == 1
    if case.name in {"drop_before", "drop_after", "truncated"}:
        assert reply is None
    else:
        assert reply is not None
        check_look(case, one, reply)
    assert one.call(call.method, call.path, **call.content).is_success, "the next one meets nothing"


@pytest.mark.parametrize("case", cases("reference"), ids=str)
def test_a_reference_that_a_service_fetches_can_meet_it(sandbox: str, case: Case) -> None:
    drawn = Image.new("RGB", (64, 64), "pink")
    drawn.save(written := io.BytesIO(), format="PNG")
    address = http().put(f"{sandbox}/_sandbox/files", content=written.getvalue()).json()["url"]
    one = job_customer(case.wire, sandbox)
    arm(sandbox, case)
    body = one.ended(one.job_id(one.submit(reference=address)))
    assert happened(sandbox, case) == 1
    assert one.status(body) == ("made" if case.name in {"slow", "delay"} else "failed")
    assert http().get(address).content == written.getvalue(), "who fetches it for himself meets nothing"


def check_list(case: Case, one: JobCustomer, spoilt: httpx2.Response) -> None:
    right = one.listing()
    told, meant = rows(spoilt)[0], rows(right)[0]
    if case.name == "slow_clock":
        behind, now = (datetime.fromisoformat(row["created_at"]) for row in (told, meant))
        assert now - behind == timedelta(seconds=300)
        behind, now = (parsedate_to_datetime(each.headers["date"]) for each in (spoilt, right))
        assert now - behind >= timedelta(seconds=300)
    elif case.wire == "ttapi":
        assert told["prompt"] == f"{meant['prompt']} --fast"
    else:
        assert told["input"] == {"disable_safety_checker": False, **meant["input"]}


def rows(reply: httpx2.Response) -> list[dict[str, Any]]:
    """Of a page of the list."""
    body = reply.json()
    found: list[dict[str, Any]] = body["data"] if "data" in body else body["results"]
    return found


@pytest.mark.parametrize("case", cases("picture"), ids=str)
def test_a_picture_can_be_anything_but_the_picture(
    sandbox: str, finished: dict[str, tuple[JobCustomer, str, str]], case: Case
) -> None:
    arm(sandbox, case)
    if case.wire == "openai":
        taker = customer("openai", sandbox)
        assert isinstance(taker, AtOpenAI)
        assert format_of(taker.picture(taker.submit())) == ("JPEG" if case.name == "other_format" else None)
        assert happened(sandbox, case) == 1
        return
    one, _, address = finished[case.wire]
    reply = reply_of(lambda: one.call("GET", address))
    assert happened(sandbox, case) == 1
    if case.name in {"drop_before", "drop_after", "truncated"}:
        assert reply is None
        return
    assert reply is not None
    refused = {"expired": 404, "status": int(case.argument or 0) if case.name == "status" else 0}.get(case.name)
    if refused:
        assert reply.status_code == refused
        return
    asked, other = ("PNG", "JPEG") if case.wire == "ttapi" else ("JPEG", "PNG")
    expected = {"slow": asked, "delay": asked, "wrong_type": asked, "other_format": other}.get(case.name)
    assert format_of(reply.content) == expected
    called = {"page": "text/html", "wrong_type": "text/plain"}.get(case.name, f"image/{asked.lower()}")
    assert reply.headers["content-type"] == called


@pytest.mark.parametrize("case", cases("callback"), ids=str)
def test_a_callback_can_go_wrong_so(sandbox: str, case: Case) -> None:
    listener = CallbackListener()
    try:
        one = job_customer(case.wire, sandbox)
        arm(sandbox, case)
        reply = one.submit(listener.url)
        early = len(listener.received)
        one.ended(one.job_id(reply))
        until(lambda: happened(sandbox, case), what="the fault")
        expected = {"lost_callback": 0, "duplicate_callback": 2, "forged_callback": 2}.get(case.name, 1)
        until(lambda: len(listener.received) >= expected, what="the callbacks") if expected else None
        assert len(listener.received) == expected
        assert case.name != "early_callback" or early == 1, "it came before the reply"
    finally:
        listener.close()
