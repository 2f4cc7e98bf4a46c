"""What may be a base URL and a key, and that neither shows what it must not."""

import pytest

from domain.errors import ServiceMissing
from providers.transport.http import Sender, checked_base_url, checked_key


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.ttapi.io", "https://api.ttapi.io"),
        (" https://api.ttapi.io/ ", "https://api.ttapi.io"),
        ("https://api.openai.com/v1", "https://api.openai.com"),
        ("https://api.openai.com/v1/", "https://api.openai.com"),
        ("http://127.0.0.1:9000/ttapi", "http://127.0.0.1:9000/ttapi"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_a_base_url_is_tidied(given: str, kept: str) -> None:
    assert checked_base_url(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "",
        "api.ttapi.io",
        "ftp://host",
        "https://",
        "https://user:hunter2@host",
        "https://host?x=1",
        "https://host:99999",
        "http://[::1",
    ],
)
def test_what_is_no_base_url_is_refused_without_being_quoted(given: str) -> None:
    with pytest.raises(ServiceMissing) as caught:
        checked_base_url(given)
    assert "hunter2" not in str(caught.value)


def test_a_key_is_trimmed() -> None:
    assert checked_key(" sk-1\n", name="TTAPI_API_KEY") == "sk-1"


@pytest.mark.parametrize("key", ["", "  ", "sk-9 1", "sk-9\r\nx-evil: 1", "sk-9ü"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ServiceMissing, match="TTAPI_API_KEY") as caught:
        checked_key(key, name="TTAPI_API_KEY")
    assert "sk-9" not in str(caught.value)


def test_a_sender_shows_its_address_and_nothing_else() -> None:
    with Sender("https://host", headers={"TT-API-KEY": "sk-1"}, secrets=("sk-1",)) as sender:
        assert repr(sender) == "Sender('https://host')"
