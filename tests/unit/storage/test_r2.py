"""What goes over the wire to a bucket, what its answers mean, and how often one that is away is asked."""

import hashlib
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.ids import AttemptId, sha256
from runtime.picture_stores import endpoint_of, missing_for_bucket, open_store
from runtime.settings import read_settings
from storage.base import StoreAway, Stored
from storage.folder import FolderStore
from storage.mirrored import MirroredStore
from storage.r2 import Bucket, R2Store

CONTENT = b"\x89PNG\r\n\x1a\n and so on"
KEY = f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png"
SECRET = "secret-of-the-bucket"


class _Scripted(ThreadingHTTPServer):
    """Answers every request with the next status of a list, the last one again and again."""

    daemon_threads = True

    def __init__(self, answers: list[tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.answers = answers
        self.requests: list[tuple[str, dict[str, str], bytes]] = []


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Scripted

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, headers, body))
        answers = self.server.answers
        status, code = answers.pop(0) if len(answers) > 1 else answers[0]
        said = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode() if code else b""
        self.send_response(status)
        self.send_header("content-length", str(len(said)))
        if status == 200:
            self.send_header("etag", f'"{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said)

    do_PUT = _answer  # noqa: N815 -- the standard library's name
    do_GET = _answer  # noqa: N815 -- as do_PUT
    do_HEAD = _answer  # noqa: N815 -- as do_PUT

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering(*answers: tuple[int, str]) -> Iterator[tuple[_Scripted, R2Store]]:
    server = _Scripted(list(answers))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    bucket = Bucket(
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        name="pictures",
        access_key_id="key",
        secret_access_key=SECRET,
    )
    try:
        with closing(R2Store(bucket)) as store:
            yield server, store
    finally:
        server.shutdown()
        thread.join(timeout=30)
        server.server_close()


def test_a_picture_travels_whole_in_one_conditional_request_with_a_plain_checksum() -> None:
    with answering((200, "")) as (server, store):
        stored = store.put(CONTENT, ending="png")
    assert (stored.key, stored.url) == (KEY, None)
    ((method, headers, body),) = server.requests
    assert (method, body) == ("PUT", CONTENT)
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-checksum-sha256"] == b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert "/auto/s3/" in headers["authorization"]
    # R2 refuses a checksum in a trailer as `Unauthorized`, and never says "100 Continue".
    for refused in ("x-amz-checksum-crc32", "x-amz-trailer", "expect"):
        assert refused not in headers
    assert "aws-chunked" not in headers.get("content-encoding", "")


def test_a_reply_travels_without_a_trailer_too() -> None:
    with answering((200, "")) as (server, store):
        store.put_reply(AttemptId(UUID(int=1)), b"{}")
    ((_, headers, body),) = server.requests
    assert body == b"{}"
    assert not [name for name in headers if "checksum" in name or "trailer" in name]


def test_a_failed_put_is_repeated_and_a_412_is_looked_into() -> None:
    with answering((503, "SlowDown"), (412, "PreconditionFailed"), (404, ""), (200, "")) as (server, store):
        store.put(CONTENT, ending="png")
    # The scripted bucket forgot it again, so that it is put once more, whatever is there.
    assert [method for method, _, _ in server.requests] == ["PUT", "PUT", "HEAD", "PUT"]
    assert ["if-none-match" in headers for _, headers, _ in server.requests] == [True, True, False, False]


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (401, "Unauthorized", "R2_ACCESS_KEY_ID"),
        (403, "InvalidAccessKeyId", "R2_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "R2_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "clock of this machine"),
        (404, "NoSuchBucket", "R2_BUCKET_NAME"),
        (400, "BadDigest", "BadDigest"),
        (429, "ServiceUnavailable", "429"),
        (503, "SlowDown", "503"),
    ],
)
def test_a_refusal_says_what_to_check_and_shows_no_key(status: int, code: str, advice: str) -> None:
    with answering((status, code)) as (_, store), pytest.raises(StoreAway, match=advice) as caught:
        store.put(CONTENT, ending="png")
    assert SECRET not in str(caught.value)


def test_wrong_keys_are_refused_when_reading_too() -> None:
    with answering((403, "AccessDenied")) as (_, store):
        for use in (store.get, store.publish):
            with pytest.raises(StoreAway, match="R2_ACCESS_KEY_ID"):
                use(KEY)


class _Away:
    """A bucket that never answers, and counts who asks it."""

    publishes = True

    def __init__(self) -> None:
        self.tried = 0

    def _nobody(self) -> StoreAway:
        self.tried += 1
        return StoreAway("nobody answers")

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        raise self._nobody()

    def publish(self, key: str) -> Stored:
        raise self._nobody()

    def path_of(self, key: str) -> None:
        return None

    def get(self, key: str) -> bytes:
        raise self._nobody()

    def put_reply(self, attempt_id: AttemptId, content: bytes) -> None:
        raise self._nobody()

    def get_reply(self, attempt_id: AttemptId) -> bytes:
        raise self._nobody()


def test_a_bucket_that_is_away_is_not_asked_for_every_picture(tmp_path: Path) -> None:
    now = 100.0
    bucket = _Away()
    mirrored = MirroredStore(FolderStore(tmp_path), bucket, pause_s=10, clock=lambda: now)
    for _ in range(5):
        assert mirrored.put(CONTENT, ending="png").uploaded_at is None
    assert bucket.tried == 1
    with pytest.raises(StoreAway):
        mirrored.publish(KEY)
    assert bucket.tried == 2
    now += 10
    mirrored.put_reply(AttemptId(UUID(int=1)), b"{}")
    assert bucket.tried == 3


class _Hanging(_Away):
    """From the second call on it answers only when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.let_go = threading.Event(), threading.Event()

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        if self.tried:
            self.asked.set()
            assert self.let_go.wait(timeout=60)
        return super().put(content, ending=ending, prefix=prefix)


def test_a_bucket_that_hangs_holds_one_caller_and_no_other(tmp_path: Path) -> None:
    bucket = _Hanging()
    mirrored = MirroredStore(FolderStore(tmp_path), bucket, pause_s=0)
    mirrored.put(CONTENT, ending="png")
    held = threading.Thread(target=mirrored.put, args=(CONTENT,), kwargs={"ending": "png"})
    held.start()
    assert bucket.asked.wait(timeout=60)
    assert mirrored.put(CONTENT, ending="png").uploaded_at is None, "it was not asked, and did not wait"
    bucket.let_go.set()
    held.join(timeout=60)
    mirrored.put(CONTENT, ending="png")
    assert bucket.tried == 3, "the next one may try again"


def test_without_a_bucket_pictures_stay_in_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIKENESS_PICTURES", str(tmp_path))
    with open_store(read_settings()) as store:
        stored = store.put(CONTENT, ending="png")
        assert not store.publishes
        assert store.publish(KEY) == stored
        assert store.get(KEY) == CONTENT


@pytest.fixture
def four_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the owner's service was configured with: no endpoint."""
    monkeypatch.setenv("LIKENESS_PICTURES", str(tmp_path))
    monkeypatch.setenv("R2_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("R2_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("R2_BUCKET_NAME", "pictures")
    monkeypatch.setenv("R2_CDN_URL", "https://pictures.example.com")


@pytest.mark.usefixtures("four_variables")
def test_a_bucket_configured_by_half_is_one_that_is_away() -> None:
    with open_store(read_settings()) as store:
        stored = store.put(CONTENT, ending="png")
        assert stored.uploaded_at is None, "it waits on this machine"
        assert store.get(KEY) == CONTENT
        assert store.publishes, "what waits is uploaded when the settings are there"
        for use in (store.publish, store.delete):
            with pytest.raises(StoreAway, match="R2_ACCOUNT_ID"):
                use(KEY)
        assert store.get(KEY) == CONTENT, "nothing is deleted of which a copy may lie in the bucket"
        with pytest.raises(StoreAway):
            store.get(KEY.replace(sha256(CONTENT), sha256(b"elsewhere")).replace(KEY[9:11], sha256(b"elsewhere")[:2]))


@pytest.mark.usefixtures("four_variables")
def test_the_endpoint_is_made_of_the_account_and_of_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = missing_for_bucket(read_settings()) or ""
    assert "R2_ACCOUNT_ID" in missing
    assert "R2_ENDPOINT_URL" in missing
    monkeypatch.setenv("R2_ACCOUNT_ID", "my-account")
    assert "32 hexadecimal digits" in (missing_for_bucket(read_settings()) or "")
    monkeypatch.setenv("R2_ACCOUNT_ID", "0123456789ABCDEF" * 2)
    assert endpoint_of(read_settings()) == f"https://{'0123456789abcdef' * 2}.r2.cloudflarestorage.com"
    assert missing_for_bucket(read_settings()) is None
    monkeypatch.setenv("R2_ENDPOINT_URL", "https://account.eu.r2.cloudflarestorage.com")
    assert endpoint_of(read_settings()) == "https://account.eu.r2.cloudflarestorage.com", "what is said counts"


@pytest.mark.parametrize("given", ["R2_CDN_URL", "R2_ACCOUNT_ID"])
def test_what_a_bucket_lacks_is_said_by_name(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    assert missing_for_bucket(read_settings()) is None, "without a bucket nothing is missing"
    monkeypatch.setenv(given, "https://pictures.example.com")
    missing = missing_for_bucket(read_settings()) or ""
    assert "set R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY, R2_BUCKET_NAME, R2_ENDPOINT_URL too" in missing


def test_a_configured_bucket_stands_behind_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with answering((200, "")) as (server, _):
        monkeypatch.setenv("LIKENESS_PICTURES", str(tmp_path))
        monkeypatch.setenv("R2_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("R2_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("R2_BUCKET_NAME", "pictures")
        monkeypatch.setenv("R2_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("R2_CDN_URL", "https://pictures.example.com/")
        settings = read_settings()
        assert SECRET not in repr(settings)
        with open_store(settings) as store:
            assert store.put(CONTENT, ending="png").url == f"https://pictures.example.com/{KEY}"
            assert store.path_of(KEY) == tmp_path / KEY
