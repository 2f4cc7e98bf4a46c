"""Fetching pictures: only pictures, only so many bytes, never from inside a network that is not the lane's own."""

import socket
from collections.abc import Iterator

import pytest

from domain.errors import NotAPicture, PictureAway, PictureError, PictureLost
from providers.transport.fetch import PictureFetcher, PictureGuarded
from tests.support.scripted_server import Connection, Script, serving

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels" * 100


@pytest.fixture
def fetcher() -> Iterator[PictureFetcher]:
    """Of a lane on this machine, so that this machine's pictures may be fetched."""
    made = PictureFetcher(own_host="127.0.0.1", total_s=60.0, wait_s=0.0)
    yield made
    made.close()


def each(*answers: tuple[str, bytes, str]) -> Script:
    """Answers the requests of all connections one after the other; the last answer for ever."""
    asked: list[int] = []

    def script(connection: Connection) -> None:
        while connection.read_request():
            status, body, headers = answers[min(len(asked), len(answers) - 1)]
            asked.append(1)
            connection.answer(status, body, headers=headers)

    return script


def failure_of(fetcher: PictureFetcher, url: str) -> PictureError:
    with pytest.raises(PictureError) as caught:
        fetcher.fetch(url)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [PNG, b"\xff\xd8\xff\xe0 jpeg", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"GIF89a....", b"\x00\x00\x00\x1cftypavif...."],
)
def test_a_picture_is_a_picture_whatever_its_header_says(fetcher: PictureFetcher, content: bytes) -> None:
    with serving(each(("200 OK", content, "content-type: text/plain\r\n"))) as server:
        assert fetcher.fetch(f"{server.url}/tl.png") == content


def test_a_browser_is_named_and_no_credentials_travel(fetcher: PictureFetcher) -> None:
    with serving(each(("200 OK", PNG, "set-cookie: a=b\r\n"))) as server:
        fetcher.fetch(f"{server.url}/tl.png?sig=1%2F2")
        fetcher.fetch(f"{server.url}/tr.png")
        first, second = (request.decode().lower() for request in server.requests)
    assert first.startswith("get /tl.png?sig=1%2f2 ")
    assert "user-agent: mozilla/5.0" in first
    for word in ("authorization", "tt-api-key", "cookie"):
        assert word not in first + second


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_picture_that_is_gone_is_lost_when_said_three_times(fetcher: PictureFetcher, status: str) -> None:
    with serving(each((status, b"", ""))) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is PictureLost
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    "first", [("404 Not Found", b"", ""), ("403 Forbidden", b"", ""), ("503 Busy", b"", ""), ("200 OK", b"<html>", "")]
)
def test_a_host_s_first_reaction_is_not_believed(fetcher: PictureFetcher, first: tuple[str, bytes, str]) -> None:
    with serving(each(first, ("200 OK", PNG, ""))) as server:
        assert fetcher.fetch(f"{server.url}/tl.png") == PNG


@pytest.mark.parametrize("status", ["401 No", "403 Forbidden"])
def test_a_guarded_picture_is_away_and_says_that_nobody_else_gets_it_either(
    fetcher: PictureFetcher, status: str
) -> None:
    with serving(each((status, b"", ""))) as server:
        failure = failure_of(fetcher, f"{server.url}/tl.png")
    assert type(failure) is PictureGuarded
    assert isinstance(failure, PictureAway), "whoever collects a paid picture asks again"


@pytest.mark.parametrize("status", ["429 Slow", "500 Oops", "503 Busy", "206 Part", "304 Same"])
def test_any_other_status_is_away_and_not_lost(fetcher: PictureFetcher, status: str) -> None:
    with serving(each((status, PNG if status.startswith("206") else b"", ""))) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is PictureAway


@pytest.mark.parametrize("content", [b"", b"<!doctype html>", b'{"error": 1}', b"RIFF but no webp"])
def test_what_does_not_begin_like_a_picture_is_none(fetcher: PictureFetcher, content: bytes) -> None:
    with serving(each(("200 OK", content, "content-type: image/png\r\n"))) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is NotAPicture


def test_a_picture_cut_short_is_away() -> None:
    def cuts(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n" + PNG)

    fetcher = PictureFetcher(own_host="127.0.0.1", wait_s=0.0)
    with serving(cuts) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is PictureAway
    fetcher.close()


def test_an_announced_size_beyond_the_limit_is_refused_unread() -> None:
    fetcher = PictureFetcher(own_host="127.0.0.1", most_bytes=1000, wait_s=0.0)
    with serving(each(("200 OK", PNG + bytes(1000), ""))) as server:
        failure = failure_of(fetcher, f"{server.url}/tl.png")
        assert type(failure) is NotAPicture
        assert "more than 1000 bytes" in str(failure)
        assert len(server.requests) == 1
    fetcher.close()


def test_a_file_without_end_is_cut_off() -> None:
    def endless(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + PNG)
        while True:
            connection.send(bytes(65536))

    fetcher = PictureFetcher(own_host="127.0.0.1", most_bytes=1_000_000, wait_s=0.0)
    with serving(endless) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is NotAPicture
    fetcher.close()


def test_a_picture_that_drips_is_away_in_the_end() -> None:
    def drips(connection: Connection) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + PNG)
        connection.send_for_ever(b"x")

    fetcher = PictureFetcher(own_host="127.0.0.1", total_s=0.5, wait_s=0.0)
    with serving(drips) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is PictureAway
    fetcher.close()


# --- Redirects ------------------------------------------------------------------------------------------------------


def test_redirects_are_followed_up_to_five(fetcher: PictureFetcher) -> None:
    hops = [("302 Found", b"", f"location: /{hop}.png\r\n") for hop in range(5)]
    with serving(each(*hops, ("200 OK", PNG, ""))) as server:
        assert fetcher.fetch(f"{server.url}/tl.png") == PNG
    with serving(each(("302 Found", b"", "location: /again.png\r\n"))) as server:
        assert type(failure_of(fetcher, f"{server.url}/tl.png")) is PictureAway
        assert len(server.requests) == 3 * 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "http://user:pw@127.0.0.1/x", "//"])
def test_a_redirect_to_what_is_no_plain_address_is_not_followed(fetcher: PictureFetcher, target: str) -> None:
    with serving(each(("302 Found", b"", f"location: {target}\r\n"))) as server:
        assert isinstance(failure_of(fetcher, f"{server.url}/tl.png"), PictureAway | PictureLost)


def test_every_hop_is_checked() -> None:
    """The lane's host is public, so nothing on this machine is fetched, however one is led there."""
    fetcher = PictureFetcher(own_host="93.184.215.14", wait_s=0.0)
    with serving(each(("200 OK", PNG, ""))) as inside:
        assert type(failure_of(fetcher, f"{inside.url}/tl.png")) is PictureLost
        assert inside.connections == []
    fetcher.close()


def test_a_name_that_leads_inside_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fetcher = PictureFetcher(own_host="93.184.215.14", wait_s=0.0)
    with serving(each(("200 OK", PNG, ""))) as inside:
        inward = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", inside.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: inward)
        assert type(failure_of(fetcher, f"http://cdn.example:{inside.port}/tl.png")) is PictureLost
        assert inside.connections == []
    fetcher.close()


def test_a_lane_of_one_s_own_still_never_fetches_a_cloud_s_credentials(fetcher: PictureFetcher) -> None:
    failure = failure_of(fetcher, "http://169.254.169.254/latest/meta-data")
    assert type(failure) is PictureLost
    assert "169.254.169.254" in str(failure)


@pytest.mark.parametrize(
    "url",
    ["", "tl.png", "file:///etc/passwd", "http://", "https://u:p@host/x", "http://[::1"],
)
def test_what_is_no_plain_address_is_not_fetched(fetcher: PictureFetcher, url: str) -> None:
    failure = failure_of(fetcher, url)
    assert type(failure) is PictureLost
    assert "u:p" not in str(failure)


def test_a_picture_in_the_address_itself_must_be_one(fetcher: PictureFetcher) -> None:
    assert type(failure_of(fetcher, "data:image/png;base64,xx")) is NotAPicture


def test_nobody_there_is_away(fetcher: PictureFetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert type(failure_of(fetcher, f"http://127.0.0.1:{port}/tl.png")) is PictureAway
