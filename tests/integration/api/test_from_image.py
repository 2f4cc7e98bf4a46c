"""`POST /api/generate/from-image`: a picture that is uploaded, whatever it claims to be, becomes a prompt."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from db.session import Database
from domain.access import Scope
from sandbox.drawing.picture import draw
from tests.conftest import Sent
from tests.support.api_server import ApiServer, api_server
from tests.support.commands import ROOT
from validation.clip import ClipScorer

ROUTE = "/api/generate/from-image"
CLIP = str(ROOT / "sandbox" / "clip")


@pytest.fixture(scope="module")
def scorer() -> Iterator[ClipScorer]:
    with ClipScorer.load(CLIP, device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture
def seeing(database: Database, studio: str, sent: Sent, home: Path, scorer: ClipScorer) -> Iterator[ApiServer]:
    """A server whose steps have the model, as a worker of the role `gpu` has."""
    with api_server(database, sandbox=studio, sent=sent, home=home) as opened:
        opened.resources = replace(opened.resources, scorer=scorer, scoring_model=CLIP)
        yield opened


@pytest.fixture(scope="module")
def photo() -> bytes:
    drawn = draw("a fox in a red dress on a sunny beach", references=[], weight=0, seed=3, variation=0, size=(400, 500))
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    out = io.BytesIO()
    drawn.convert("RGB").save(out, format="JPEG", exif=exif)
    assert b"Camera" in out.getvalue()
    return out.getvalue()


def send(api: ApiServer, content: bytes, *, token: str | None = None, headers: Any = None, **fields: str) -> Any:
    files = {"image": ("../photo.jpg", content, "image/jpeg")}
    return api.as_(token).post(ROUTE, files=files, data=fields, headers=headers or {})


def test_an_upload_becomes_a_prompt_and_a_picture(seeing: ApiServer, photo: bytes) -> None:
    reply = send(seeing, photo, userId="user-123", settings='{"quality": "hd", "size": "square"}', candidates="2")
    assert (reply.status_code, reply.headers["location"]) == (202, reply.json()["statusUrl"])
    assert (reply.json()["prompt"], reply.json()["state"]) == ("(from photo.jpg)", "preparing")
    seeing.work()
    ended = seeing.as_().get(reply.json()["statusUrl"], headers={"Prefer": "wait=5"})
    assert ended.status_code == 200
    made = ended.json()
    assert (made["status"], made["userId"]) == ("completed", "user-123")
    assert "on a sunny beach" in made["prompt"]
    assert len(made["assets"]) == 1
    stages = {one["name"]: one for one in made["stages"]}
    assert stages["analysis"]["inputs"]["name"] == "photo.jpg"
    assert len(stages["enhancement"]["added"]["candidates"]) == 2
    assert all(one["tookMs"] is not None for one in made["stages"])
    kept = seeing.resources.store.get(stages["analysis"]["inputs"]["image"])
    assert b"Camera" not in kept
    assert b"Exif" not in kept


def test_a_picture_is_deleted_with_its_generation(api: ApiServer, photo: bytes) -> None:
    made, other = send(api, photo).json(), send(api, photo).json()
    key = made["pipelineData"]["prepare"]["image"]
    assert api.as_().delete(made["statusUrl"]).json()["finished"]
    assert api.resources.store.get(key), "another generation has the same picture"
    assert api.as_().delete(other["statusUrl"]).json()["finished"]
    with pytest.raises(FileNotFoundError):
        api.resources.store.get(key)


def test_one_key_is_one_generation_however_its_form_is_cut(api: ApiServer, photo: bytes) -> None:
    headers = {"Idempotency-Key": "once"}
    api.key()
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: send(api, photo, headers=headers), range(4)))
    assert {one.status_code for one in replies} <= {202, 409}
    assert send(api, photo, headers=headers).json()["id"] in {one.json().get("id") for one in replies}
    assert len(api.as_().get("/api/generate").json()["generations"]) == 1
    other = send(api, photo, headers=headers, prompt="seen from behind")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


@pytest.mark.parametrize(
    ("content", "fields", "sentence"),
    [
        (b"no picture", {}, "cannot be used"),
        (b"", {}, "cannot be used"),
        (None, {"settings": "{"}, "'settings' is no JSON"),
        (None, {"vltSpec": "[" * 100_000}, "'vltSpec' is no JSON"),
        (None, {"vltSpec": '{"garmentTyp": "gown"}'}, "did you mean 'garmentType'"),
        (None, {"analysis": "off"}, "without words of your own"),
        (None, {"analysis": "llm"}, "no model for words"),
        (None, {"candidates": "99"}, "less than or equal to 16"),
        (None, {"unknown": "1"}, "Extra inputs"),
        (None, {"character": "Nobody"}, "Nobody"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_a_problem_and_nothing_is_written(
    api: ApiServer, photo: bytes, content: bytes | None, fields: dict[str, str], sentence: str
) -> None:
    reply = send(api, photo if content is None else content, **fields)
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.status_code == (503 if "words" in sentence and "own" not in sentence else 422)
    assert sentence in reply.json()["detail"]
    assert api.as_().get("/api/generate").json()["generations"] == []
    assert not list((api.resources.store.path_of("inputs/ab/" + "ab" * 32 + ".jpg").parents[1]).glob("*/*"))


def test_limits_of_size_and_pixels(api: ApiServer) -> None:
    out = io.BytesIO()
    Image.new("1", (8000, 8000)).save(out, format="PNG")
    assert "at most 40,000,000 pixels" in send(api, out.getvalue()).json()["detail"]
    assert "20,971,520" in send(api, b"\xff\xd8" + bytes(21 * 2**20)).json()["detail"]
    assert send(api, bytes(33 * 2**20)).status_code == 413
    big = api.as_().post(ROUTE, json={"vltSpec": {"garmentType": "x" * 2**21}})
    assert big.status_code == 413


def test_bodies_of_other_kinds(api: ApiServer, photo: bytes) -> None:
    http = api.as_()
    assert http.post(ROUTE, content=photo, headers={"Content-Type": "image/jpeg"}).status_code == 415
    twice = http.post(ROUTE, files=[("image", ("a.jpg", photo)), ("image", ("b.jpg", photo))])
    assert (twice.status_code, "Too many files" in twice.json()["detail"]) == (422, True)
    elsewhere = http.post(ROUTE, files={"photo": ("a.jpg", photo)})
    assert "send the picture as 'image'" in elsewhere.json()["detail"]
    broken = http.post(ROUTE, content=b"--x", headers={"Content-Type": "multipart/form-data; boundary=y"})
    assert broken.status_code == 422
    assert http.post(ROUTE, json={}).json()["detail"].startswith("say what the picture should show")


def test_what_is_left_out_is_said(api: ApiServer) -> None:
    body = {"vltSpec": {"garmentType": "gown"}, "settings": {"provider": "ttapi", "size": "banana"}}
    (warning,) = api.as_().post(ROUTE, json=body).json()["warnings"]
    assert "'size'" in warning


def test_what_a_flag_contradicts_is_refused_where_the_model_could_be_told(api: ApiServer) -> None:
    asked = {"vltSpec": {"garmentType": "gown"}, "prompt": "a doll --no hats", "negativePrompt": "text"}
    refused = api.as_().post(ROUTE, json={**asked, "settings": {"provider": "ttapi"}})
    assert (refused.status_code, "take one of them out" in refused.json()["detail"]) == (422, True)
    # A model without negative prompt is told of one in words, and of the other not at all, which is said.
    assert api.as_().post(ROUTE, json={**asked, "settings": {"provider": "replicate"}}).status_code == 202


def test_a_batch_reads_no_file_of_the_server(api: ApiServer) -> None:
    order = {"name": "order", "prompts": [{"image": "/etc/hostname"}], "settings": {"provider": "sandbox"}}
    reply = api.as_().post("/api/batches", json=order)
    assert (reply.status_code, "file of another machine" in reply.json()["detail"]) == (422, True)


def test_who_may(api: ApiServer, photo: bytes) -> None:
    assert send(api, photo, token=api.key(scope=Scope.READ)).status_code == 403
    made = send(api, photo, token=api.key("others", Scope.GENERATE)).json()
    assert api.as_().get(made["statusUrl"]).status_code == 404
