"""Characters over HTTP: added with references, shown with thresholds and calibration, removed; each its team's."""

import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from db.records import characters
from db.records.characters import NewThresholds
from domain.access import Scope
from domain.ids import CharacterId
from tests.support.api_server import ApiServer

URL = "/api/characters"
FIGURES = {
    "auc": 0.97,
    "positive_groups": 12,
    "negative_groups": 30,
    "recommended": {"cut": 0.81, "false_reject": 0.02, "false_accept": 0.01},
}
CALIBRATION = {"made_on": "2026-11-29", "model": {"name": "a/clip", "revision": "r"}, "core": FIGURES, "style": FIGURES}


def picture(colour: str = "pink", *, size: tuple[int, int] = (40, 30), **saved: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "JPEG", **saved)
    return out.getvalue()


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("references", (f"{n}.jpg", one, "image/jpeg")) for n, one in enumerate(contents)]


def add(http: httpx2.Client, name: str = "lulu", *contents: bytes, **fields: Any) -> httpx2.Response:
    return http.post(URL, data={"name": name, **fields}, files=files(*(contents or (picture(),))))


def test_a_character_is_added_shown_and_named_by_a_prompt(api: ApiServer) -> None:
    http = api.as_()
    made = add(http, "lulu", picture("pink"), picture("red"), description="a pig", core="0.8")
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["name"], told["references"], told["core"], told["style"]) == ("lulu", 2, 0.8, 0.6)
    assert (told["thresholdsFrom"], told["thresholdsVersion"], told["calibrated"]) == ("set by a person", 1, False)
    shown = http.get(told["url"]).json()
    assert shown == {name: value for name, value in told.items() if name != "created"}
    assert [one["name"] for one in http.get(URL).json()["characters"]] == ["lulu"]
    kept = http.get(shown["referencePictures"][1]["url"])
    assert (kept.status_code, kept.headers["content-type"]) == (200, "image/jpeg")
    again = add(http, "lulu", picture("blue"))
    assert (again.status_code, again.json()["id"], again.json()["references"]) == (200, told["id"], 1)
    assert api.generate(character="lulu")["status"] == "processing"


def test_nothing_but_pixels_is_kept_of_a_picture(api: ApiServer) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    made = add(api.as_(), "lulu", picture(size=(3000, 100), exif=exif)).json()
    (row,) = made["referencePictures"]
    content = api.as_().get(row["url"]).content
    assert (row["width"], b"a camera" in content) == (2048, False)


def test_thresholds_and_their_calibration_are_shown(api: ApiServer) -> None:
    http = api.as_()
    made = add(http).json()
    fitted = NewThresholds(
        core=0.81, style=0.5, origin="calibrated (2026-11-29)", model="a/clip", calibration=CALIBRATION
    )
    with api.resources.database.transaction() as connection:
        characters.set_thresholds(connection, CharacterId(made["id"]), fitted)
    shown = http.get(made["url"]).json()
    assert (shown["calibrated"], [one["version"] for one in shown["versions"]]) == (True, [2, 1])
    newest, first = shown["versions"]
    assert (newest["fittedTo"], first["calibration"]) == ("a/clip", None)
    assert newest["calibration"]["core"] == {
        "auc": 0.97,
        "cut": 0.81,
        "falseReject": 0.02,
        "falseAccept": 0.01,
        "positives": 12,
        "negatives": 30,
    }


def test_a_removed_character_leaves_its_name_and_what_names_it(api: ApiServer) -> None:
    http = api.as_()
    made = add(http).json()
    before = api.generate(character="lulu")
    assert http.delete(made["url"]).status_code == 204
    assert (http.get(made["url"]).status_code, http.get(URL).json()) == (404, {"characters": []})
    assert http.delete(made["url"]).json()["code"] == "unknown_thing"
    refused = http.post("/api/generate/from-prompt", json={"prompt": "a pig", "character": "lulu"})
    assert refused.status_code == 422
    assert http.get(before["statusUrl"]).json()["status"] == "processing"
    assert add(http).json()["id"] != made["id"]
    done = [act["act"] for act in http.get("/api/acts").json()["acts"]]
    assert done == ["character added", "character removed", "character added", "key created"]


def test_a_character_is_its_teams(api: ApiServer) -> None:
    made = add(api.as_()).json()
    others = api.as_(api.key("others"))
    for address in (made["url"], made["referencePictures"][0]["url"]):
        assert others.get(address).status_code == 404
    assert others.delete(made["url"]).status_code == 404
    assert others.get(URL).json() == {"characters": []}
    assert add(others).json()["id"] != made["id"]
    assert add(api.as_(api.key(scope=Scope.GENERATE))).status_code == 403
    assert len(api.as_().get(URL).json()["characters"]) == 1


def test_a_repeated_request_is_carried_out_once(api: ApiServer) -> None:
    http = api.as_(**{"Idempotency-Key": "one"})
    first, second = add(http), add(http)  # each with a boundary of its own
    assert (first.status_code, second.status_code, first.json()) == (201, 201, second.json())
    other = add(http, "momo")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


@pytest.mark.parametrize(
    ("fields", "contents", "says"),
    [
        ({"name": "lulu"}, [b"no picture at all"], "0.jpg"),
        ({"name": "a;b"}, [picture()], "several characters"),
        ({"name": "lulu"}, [picture()] * 33, "1 to 32"),
        ({"name": "lulu"}, [], "references"),
        ({"name": "lulu", "core": "2"}, [picture()], "core"),
        ({"name": "lulu", "aggregation": "sum"}, [picture()], "aggregation"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_written(
    api: ApiServer, fields: dict[str, str], contents: list[bytes], says: str
) -> None:
    reply = api.as_().post(URL, data=fields, files=files(*contents))
    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert says in reply.json()["detail"]
    assert api.as_().get(URL).json() == {"characters": []}


def test_a_body_beyond_its_limit_is_refused(api: ApiServer) -> None:
    assert add(api.as_(), "lulu", bytes(33 * 2**20)).status_code == 413
