"""The page over HTTP: who may see it, which forms count, and that nothing which people wrote becomes markup."""

import re
from pathlib import Path

import httpx2
import pytest

from domain.access import Scope
from pipeline.characters import definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.operator import lanes
from tests.support.api_server import ApiServer

REFERENCE = Path(__file__).parents[3] / "examples" / "lulu-pig" / "references" / "lulu_pig_ref_1.png"
NASTY = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def signed_in(api: ApiServer, token: str | None = None) -> tuple[httpx2.Client, str]:
    """A browser's client after signing in, and the token of its forms."""
    http = httpx2.Client(base_url=api.base, trust_env=False, timeout=60, headers={"Accept": "text/html"})
    api.stack.enter_context(http)
    answer = http.post("/sign-in", data={"key": token or api.key()})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    http.cookies.set("likeness_session", cookie.partition("=")[2].partition(";")[0])
    found = re.search(r'data-token="([^"]+)"', http.get("/").text)
    assert found is not None
    return http, found[1]


def test_a_stranger_is_asked_for_a_key_on_every_page(api: ApiServer) -> None:
    made = api.generate()
    http = httpx2.Client(base_url=api.base, trust_env=False, headers={"Accept": "text/html"})
    for path in ("/", f"/batches/{made['batchId']}", "/analytics", "/characters", "/lanes", f"/cards/{made['id']}"):
        answer = http.get(path)
        assert (answer.status_code, 'action="/sign-in"' in answer.text) == (401, True), path
        assert made["prompt"] not in answer.text
    assert http.post("/sign-in", data={"key": "lk_wrong"}).status_code == 401
    http.close()


def test_every_page_is_shut_to_what_is_not_its_own(api: ApiServer) -> None:
    http, _ = signed_in(api)
    for path in ("/", "/analytics", "/characters", "/lanes", "/nothing"):
        policy = http.get(path).headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'")
    page = http.get("/").text
    assert re.findall(r"\bstyle=|\bon[a-z]+=|https?://", page) == []
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert http.get(name).status_code == 200


def test_a_batch_names_its_character_be_it_removed_since(api: ApiServer) -> None:
    http, _ = signed_in(api)
    lulu = NewCharacter(
        name="lulu", description="", references=[REFERENCE], core=0.75, style=0.6, origin="set by a person"
    )
    definitions.add(api.resources, lulu)
    page = f"/batches/{api.generate(character='lulu')['batchId']}"
    assert "<bdi>lulu</bdi></p>" in http.get(page).text
    definitions.remove(api.resources, "lulu")
    after = http.get(page).text
    assert re.search(r"<bdi>lulu</bdi> <small>\(removed on [^)]+\)</small>", after)
    assert 'id="judge"' in after


def test_what_people_wrote_is_text(api: ApiServer) -> None:
    http, _ = signed_in(api)
    order = {"name": NASTY, "prompts": [{"prompt": NASTY, "theme": NASTY}, "a pig"], "userId": NASTY}
    made = api.as_().post("/api/batches", json=order).json()
    api.as_().post(f"{made['statusUrl']}/pause", json={"reason": NASTY})
    for path in ("/", f"/batches/{made['id']}", "/analytics"):
        page = http.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in http.get(f"/batches/{made['id']}").text


def test_the_page_tells_what_is_to_come_and_admins_who_changed_what(api: ApiServer) -> None:
    api.generate()
    lanes.close(api.resources, "ttapi", reason="lunch", by="boss")
    http, _ = signed_in(api)
    assert "too few are finished (0 of at least 10)" in http.get("/analytics").text
    told = http.get("/lanes").text
    assert "Who did what" in told
    assert "<bdi>boss</bdi> lane closed" in told
    reader, _ = signed_in(api, api.key(scope=Scope.READ))
    assert "Who did what" not in reader.get("/lanes").text


def test_a_form_of_another_page_does_nothing(api: ApiServer) -> None:
    made = api.generate()
    http, token = signed_in(api)
    address = f"/batches/{made['batchId']}/pause"
    for data, headers in (
        ({}, {}),
        ({"form_token": "guessed"}, {}),
        ({"form_token": token}, {"Sec-Fetch-Site": "cross-site"}),
    ):
        assert http.post(address, data=data, headers=headers).status_code == 403
    assert api.as_().get(f"/api/batches/{made['batchId']}").json()["paused"] is None
    # A cookie alone is good for looking, not for the API's own posts.
    assert http.post(f"/api/batches/{made['batchId']}/pause").status_code == 401
    assert http.post(address, data={"form_token": token}).status_code == 303
    assert api.as_().get(f"/api/batches/{made['batchId']}").json()["paused"] == "paused on the page"


def test_a_visitor_of_another_team_finds_nothing(api: ApiServer) -> None:
    made = api.generate()
    api.work()
    (asset,) = api.as_().get(made["statusUrl"]).json()["assets"]
    http, token = signed_in(api, api.key("others"))
    for path in (
        f"/batches/{made['batchId']}",
        f"/cards/{made['id']}",
        f"/pictures/{asset['id']}",
        f"/thumbnails/{asset['id']}",
        f"/api/batches/{made['batchId']}/report",
    ):
        assert http.get(path).status_code == 404, path
    assert http.post(f"/batches/{made['batchId']}/cancel", data={"form_token": token}).status_code == 404
    assert http.post(f"/generations/{made['id']}/feedback", data={"form_token": token}).status_code in {404, 422}


@pytest.mark.parametrize("scope", [Scope.READ, Scope.GENERATE])
def test_a_visitor_does_no_more_than_the_key_may(api: ApiServer, scope: Scope) -> None:
    made = api.generate()
    http, token = signed_in(api, api.key(scope=scope))
    page = http.get(f"/batches/{made['batchId']}").text
    assert ("/pause" in page) == (scope is Scope.GENERATE)
    assert "/budget" not in page
    budget = http.post(f"/batches/{made['batchId']}/budget", data={"form_token": token, "max_cost_usd": "9"})
    assert budget.status_code == 403


def test_a_session_ends_with_its_key_and_by_signing_out(api: ApiServer) -> None:
    from pipeline.operator import keys

    http, token = signed_in(api)
    assert http.post("/sign-out", data={"form_token": token}).status_code == 303
    assert http.get("/").status_code == 401
    key = api.key(scope=Scope.READ)
    other, _ = signed_in(api, key)
    keys.revoke(api.resources, key[:11])
    assert other.get("/").status_code == 401
