"""Every route with another team's key, and with each lower scope: nothing is found, nothing is done.

The routes are those of the application itself, so that a new one is tried as soon as it exists.
"""

import re
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from domain.access import Scope
from tests.support.api_server import ApiServer

#: What each route needs at least; a route that is not here fails the test below.
NEEDS = {
    "GET /api/generate": Scope.READ,
    "GET /api/generate/{id}": Scope.READ,
    "GET /api/batches": Scope.READ,
    "GET /api/batches/{id}": Scope.READ,
    "GET /api/batches/{id}/generations": Scope.READ,
    "GET /api/batches/{id}/report": Scope.READ,
    "GET /api/batches/{id}/export": Scope.READ,
    "GET /api/events": Scope.READ,
    "GET /api/acts": Scope.READ,
    "GET /api/characters": Scope.READ,
    "GET /api/characters/{id}": Scope.READ,
    "GET /api/characters/{id}/references/{position}": Scope.READ,
    "POST /api/characters": Scope.APPROVE,
    "DELETE /api/characters/{id}": Scope.APPROVE,
    "GET /api/models": Scope.READ,
    "GET /api/lanes": Scope.READ,
    "GET /api/cost": Scope.READ,
    "GET /api/stats": Scope.READ,
    "GET /api/pictures/{id}": Scope.READ,
    "GET /api/personas": Scope.READ,
    "GET /api/personas/{name}": Scope.READ,
    "POST /api/personas": Scope.GENERATE,
    "POST /api/feedback/compare": Scope.GENERATE,
    "POST /api/generate/from-image": Scope.GENERATE,
    "POST /api/generate/from-prompt": Scope.GENERATE,
    "POST /api/generate/{id}/feedback": Scope.GENERATE,
    "DELETE /api/generate/{id}": Scope.GENERATE,
    "POST /api/batches": Scope.GENERATE,
    "POST /api/batches/{id}/pause": Scope.GENERATE,
    "POST /api/batches/{id}/resume": Scope.GENERATE,
    "POST /api/batches/{id}/cancel": Scope.GENERATE,
    "POST /api/batches/{id}/finish": Scope.GENERATE,
    "POST /api/batches/{id}/budget": Scope.APPROVE,
    "POST /api/batches/{id}/retry": Scope.APPROVE,
}
BODIES: dict[str, Any] = {
    "POST /api/generate/from-image": {"vltSpec": {"garmentType": "gown"}},
    "POST /api/generate/from-prompt": {"prompt": "a pig"},
    "POST /api/generate/{id}/feedback": {"feedbackType": "heart"},
    "POST /api/batches": {"name": "x", "prompts": ["a pig"]},
    "POST /api/personas": {"name": "ann", "description": "linen"},
    "POST /api/feedback/compare": {"preferred": {"generationId": "x"}, "other": {"generationId": "y"}},
    "POST /api/batches/{id}/budget": {"maxCostUsd": "9"},
    "POST /api/batches/{id}/finish": {"steps": ["upscale"]},
}


def routes(api: ApiServer) -> list[str]:
    document = httpx2.get(f"{api.base}/openapi.json", trust_env=False, timeout=60).json()
    return [
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/")
    ]


def address_of(route: str, *, generation: Any, batch_id: str, picture: str) -> str:
    path = route.partition(" ")[2]
    ids = {"generate": generation["id"], "batches": batch_id, "pictures": picture}
    found = re.match(r"/api/(\w+)", path)
    assert found is not None
    return path.replace("{id}", ids.get(found[1], str(uuid4()))).replace("{position}", "0")


def ask(http: httpx2.Client, route: str, address: str) -> int:
    method = route.partition(" ")[0]
    if route == "GET /api/events":
        with http.stream(method, address) as reply:
            return reply.status_code
    return http.request(method, address, json=BODIES.get(route) if method == "POST" else None).status_code


def test_every_route_says_what_it_needs(api: ApiServer) -> None:
    assert sorted(routes(api)) == sorted(NEEDS)


def test_another_teams_key_finds_nothing(api: ApiServer) -> None:
    generation = api.generate()
    api.work()
    (picture,) = api.as_().get(generation["statusUrl"]).json()["assets"]
    http = api.as_(api.key("others"))
    for route in routes(api):
        if "{id}" in route:
            address = address_of(route, generation=generation, batch_id=generation["batchId"], picture=picture["id"])
            assert ask(http, route, address) == 404, route
    assert http.get("/api/generate", params={"userId": generation["userId"]}).json()["generations"] == []
    assert http.get("/api/generate", params={"batchId": generation["batchId"]}).status_code == 404
    assert http.get("/api/batches").json()["batches"] == []
    assert {act["detail"]["key"] for act in http.get("/api/acts").json()["acts"]} == {"others-admin-1-0"}
    assert http.get("/api/cost").json()["chargedUsd"] == "0.00"
    assert http.get("/api/stats").json()["figures"] == []
    after = api.as_().get(generation["statusUrl"]).json()
    assert (after["status"], after["feedback"]) == ("completed", [])


def test_one_name_of_a_batch_is_two_batches_in_two_teams(api: ApiServer) -> None:
    order = {"name": "the same", "userId": "u1", "prompts": ["a pig"]}
    first = api.as_().post("/api/batches", json=order).json()
    second = api.as_(api.key("others")).post("/api/batches", json=order).json()
    assert (first["new"], second["new"], first["id"] != second["id"]) == (1, 1, True)


@pytest.mark.parametrize("scope", [Scope.READ, Scope.GENERATE, Scope.APPROVE])
def test_a_lower_scope_does_no_more_than_it_may(api: ApiServer, scope: Scope) -> None:
    generation = api.generate()
    http = api.as_(api.key(scope=scope))
    for route, needed in NEEDS.items():
        if scope.includes(needed):
            continue
        address = address_of(route, generation=generation, batch_id=generation["batchId"], picture=generation["id"])
        assert ask(http, route, address) == 403, route
    assert api.as_().get(generation["statusUrl"]).json()["status"] == "processing"


def test_accounts_are_shown_to_who_runs_them(api: ApiServer) -> None:
    api.books.sql("UPDATE lanes SET last_error = 'a secret', last_error_at = now(), account_balance_usd = 5")
    whole = api.as_().get("/api/lanes").json()["lanes"]
    part = api.as_(api.key(scope=Scope.APPROVE)).get("/api/lanes").json()["lanes"]
    assert {(lane["lastError"], lane["balanceUsd"]) for lane in whole} == {("a secret", "5.00")}
    assert {(lane["lastError"], lane["balanceUsd"]) for lane in part} == {(None, None)}


def test_a_refusal_names_the_scopes_as_people_write_them(api: ApiServer) -> None:
    http = api.as_(api.key("shop", Scope.READ, member="ra"))
    said = http.post("/api/batches", json={"name": "x", "prompts": ["a pig"]}).json()["detail"]
    assert said == "this takes a key with the scope 'generate'; 'shop-read-0-1' has 'read'"
