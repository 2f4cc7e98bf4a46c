"""Choices and personas over HTTP: a team's own, from its own pictures."""

from typing import Any

from db.schema_learning import preference_pairs
from tests.support.api_server import ApiServer


def two(api: ApiServer) -> tuple[Any, Any]:
    made = [api.generate(prompt) for prompt in ("a pig in pale linen", "a pig in glossy plastic")]
    api.work()
    return made[0], made[1]


def test_a_choice_between_two_pictures(api: ApiServer) -> None:
    first, second = two(api)
    http = api.as_()
    body = {"preferred": {"generationId": first["id"]}, "other": {"generationId": second["id"]}, "userId": "ann"}
    reply = http.post("/api/feedback/compare", json=body)
    assert (reply.status_code, reply.json()["userId"]) == (201, "ann")
    (pair,) = api.books.rows(preference_pairs)
    assert (str(pair.preferred_id), pair.user_id) == (reply.json()["preferredAssetId"], "ann")
    same = http.post("/api/feedback/compare", json={**body, "other": body["preferred"]})
    assert (same.status_code, "one and the same" in same.json()["detail"]) == (422, True)
    foreign = api.as_(api.key("others")).post("/api/feedback/compare", json=body)
    assert foreign.status_code == 404


def test_personas_are_a_teams_own(api: ApiServer) -> None:
    first, _ = two(api)
    http, others = api.as_(), api.as_(api.key("others"))
    assert http.post("/api/personas", json={"name": "ann", "description": "muted earth tones"}).status_code == 201
    liked = http.post("/api/personas", json={"name": "bea", "liked": [{"generationId": first["id"]}]}).json()
    assert (liked["source"], liked["madeOf"]) == ("pictures", 1)
    assert "linen" in liked["words"]
    assert [one["name"] for one in http.get("/api/personas").json()["personas"]] == ["ann", "bea"]
    assert others.get("/api/personas").json() == {"personas": []}
    assert others.get("/api/personas/ann").status_code == 404
    document = http.get("/api/personas/ann").json()["document"]
    taken = others.post("/api/personas", json={"name": "ours", "document": document}).json()
    assert (taken["name"], taken["words"]) == ("ours", http.get("/api/personas/ann").json()["words"])
    assert others.post("/api/personas", json={"name": "x", "liked": [{"generationId": first["id"]}]}).status_code == 404
    http.post(f"/api/generate/{first['id']}/feedback", json={"feedbackType": "heart", "userId": "cleo"})
    assert http.post("/api/personas", json={"name": "c", "fromFeedbackOf": "cleo"}).json()["source"] == "feedback"
    assert others.post("/api/personas", json={"name": "c", "fromFeedbackOf": "cleo"}).status_code == 422
    both = http.post("/api/personas", json={"name": "x", "description": "a", "fromFeedbackOf": "cleo"})
    assert "give one of" in both.json()["detail"]


def test_a_persona_lends_its_words_to_its_own_team(api: ApiServer) -> None:
    api.as_().post("/api/personas", json={"name": "ann", "description": "muted earth tones"})
    body = {"vltSpec": {"garmentType": "gown"}, "persona": "ann"}
    made = api.as_().post("/api/generate/from-image", json=body).json()
    foreign = api.as_(api.key("others")).post("/api/generate/from-image", json=body)
    assert (foreign.status_code, "there is no persona 'ann'" in foreign.json()["detail"]) == (422, True)
    api.work()
    assert "muted" in api.as_().get(made["statusUrl"]).json()["prompt"]
