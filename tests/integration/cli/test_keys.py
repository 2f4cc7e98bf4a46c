"""`keys` and `webhooks`: made once and shown once, listed, revoked; sentences for what cannot be."""

import pytest

from tests.support.books import Books
from tests.support.command_line import CommandLine


def test_a_key_is_shown_once_and_kept_as_a_digest(likeness: CommandLine) -> None:
    made = likeness.document(
        "keys", "create", "shop", "--team", "shop", "--scope", "approve", "--rate", "600/m", "--max-cost", "20"
    )
    assert made["key"].startswith(made["prefix"])
    (listed,) = likeness.document("keys", "list")["keys"]
    assert "key" not in listed
    assert (listed["team"], listed["scope"], listed["limit_usd"], listed["user"]) == (
        "shop",
        "approve",
        "20.00",
        "shop",
    )
    shown = likeness("keys").out
    assert made["key"] not in shown
    assert made["prefix"] in shown


def test_a_revoked_key_says_so(likeness: CommandLine) -> None:
    made = likeness.document("keys", "create", "shop")
    assert likeness.document("keys", "revoke", made["prefix"])["revoked"]
    assert "revoked" in likeness("keys").out


@pytest.mark.parametrize("rate", ["0", "0/m", "0.0/s", ""])
def test_a_rate_of_nothing_does_not_make_a_key_without_a_limit(likeness: CommandLine, rate: str) -> None:
    said = likeness.refused("keys", "create", "shop", "--rate", rate)
    assert f"a key with the rate {rate!r} would be free to ask as often as it likes; leave --rate out" in said
    assert "`likeness keys revoke` a key that may ask nothing" in said
    assert likeness.document("keys")["keys"] == []


def test_a_key_of_before_with_a_rate_of_0_is_listed_as_what_it_is(likeness: CommandLine, books: Books) -> None:
    likeness.document("keys", "create", "shop", "--rate", "9/m")
    books.sql("UPDATE api_keys SET rate_limit = '0/m'")
    told = likeness("keys").out
    assert "0/m" not in told
    assert told.count("no limit") == 2, "of requests, and of money"


def test_what_cannot_be_is_one_sentence(likeness: CommandLine) -> None:
    likeness.document("keys", "create", "shop")
    assert "choose another name" in likeness.refused("keys", "create", "shop")
    assert "there are read, generate, approve, admin" in likeness.refused("keys", "create", "x", "--scope", "root")
    assert "is no rate limit" in likeness.refused("keys", "create", "x", "--rate", "fast")
    assert "likeness keys list" in likeness.refused("keys", "revoke", "nobody")
    assert "there is no batch" in likeness.refused("webhooks", "replay", "nothing")
