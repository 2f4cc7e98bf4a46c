"""References that a service could not read: found before anything is sent, and closing no lane for everybody."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from db.schema import lanes
from db.session import Database
from domain.errors import BadInput, RequestRefused
from domain.ids import sha256
from pipeline.characters.readable import readable
from pipeline.characters.references import look_at
from pipeline.process.reference_cache import ReferenceCache
from providers.lane import HttpLane
from providers.registry import open_lane
from tests.conftest import Sent
from tests.support.steps import EXAMPLE, StepRunner, runner_of, sandbox_at


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sandbox_at(tmp_path_factory.mktemp("sandbox")) as url:
        yield url


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


class Host(ThreadingHTTPServer):
    """Gives one picture to everybody, until its links run out."""

    status = 200


class Page(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(picture("PNG"))

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    with Host(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def picture(kind: str, *, size: int = 16, noise: bool = False) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 255, (size, size, 3), np.uint8) if noise else None
    image = Image.new("RGB", (size, size)) if pixels is None else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def openai() -> Iterator[HttpLane]:
    with open_lane("openai", "openai", base_url="http://127.0.0.1:9", key="sk-0123456789") as lane:
        yield lane


def left_at(sandbox_url: str, content: bytes) -> str:
    reply = httpx2.put(f"{sandbox_url}/_sandbox/files", content=content, trust_env=False)
    return str(reply.json()["url"])


def test_a_bad_address_is_refused_before_anything_is_enqueued(runner: StepRunner, sandbox_url: str) -> None:
    page = left_at(sandbox_url, b"<html>please log in</html>")
    gone = f"{sandbox_url}/_sandbox/files/none.png"
    for bad in (page, gone):
        with pytest.raises(BadInput, match=r"1 of the references .* line 1.*: the reference '.*' is not sent"):
            runner.enqueue("a pig", "a cow", settings={"cref_urls": f"{left_at(sandbox_url, picture('PNG'))} {bad}"})
    assert runner.sent.take("submit") == []
    assert runner.charged() == []


def test_what_a_service_does_not_read_is_converted_on_the_way(openai: HttpLane) -> None:
    png = picture("PNG")
    assert readable(png, "image/png", openai) == (png, "image/png")
    content, media_type = readable(picture("TIFF"), "image/tiff", openai)
    assert (media_type, Image.open(io.BytesIO(content)).format) == ("image/png", "PNG")
    large = picture("PNG", size=2600, noise=True)
    assert len(large) > 17 * 10**6
    content, media_type = readable(large, "image/png", openai)
    assert media_type == "image/jpeg"
    assert len(content) <= 14 * 2**20
    url = openai.upload_reference(content, media_type)
    assert url is not None
    assert url.startswith("data:image/jpeg;base64,")


def test_an_address_of_a_kind_that_is_not_read_is_refused(runner: StepRunner, sandbox_url: str) -> None:
    lane = runner.resources.lanes["sandbox"]
    with pytest.raises(RequestRefused, match="no picture's"):
        look_at(runner.resources, lane, left_at(sandbox_url, picture("TIFF")))
    gif = left_at(sandbox_url, picture("GIF"))
    assert look_at(runner.resources, lane, gif) == sha256(picture("GIF"))
    avif = left_at(sandbox_url, picture("AVIF"))
    with pytest.raises(RequestRefused, match="reads no image/avif"):
        look_at(runner.resources, lane, avif)


def test_a_host_that_is_down_for_us_may_be_up_for_the_service(runner: StepRunner) -> None:
    url = "http://127.0.0.1:9/a.png"
    assert look_at(runner.resources, runner.resources.lanes["sandbox"], url) is None


def test_an_address_that_goes_bad_is_refused_at_the_submission_and_counts_against_nobody(
    runner: StepRunner, host: Host
) -> None:
    good = f"http://127.0.0.1:{host.server_port}/lulu.png"
    attempts = [runner.admitted("a pig", name=f"b{number}", settings={"cref_urls": good}) for number in range(3)]
    later = replace(runner, resources=replace(runner.resources, reference_cache=ReferenceCache()))
    host.status = 403
    for attempt_id in attempts:
        assert later.submit(attempt_id) is None
        assert later.books.generation_of(attempt_id).state == "failed"
        assert "wants a login, or a fresh link" in later.books.generation_of(attempt_id).error_message
    assert runner.charged() == []
    (lane,) = runner.books.rows(lanes)
    assert lane.closed_until is None


def test_replicate_reads_local_references_without_a_bucket(sandbox_url: str) -> None:
    with open_lane("replicate", "replicate", base_url=f"{sandbox_url}/replicate", key="r8_files") as lane:
        assert lane.takes_files
        url = lane.upload_reference(EXAMPLE.read_bytes(), "image/png")
    assert url is not None
    assert url.startswith(f"{sandbox_url}/replicate/v1/files/")
