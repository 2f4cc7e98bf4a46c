"""`keys` and `webhooks`: made once and shown once, listed, revoked; sentences for what cannot be."""

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


def test_what_cannot_be_is_one_sentence(likeness: CommandLine) -> None:
    likeness.document("keys", "create", "shop")
    assert "choose another name" in likeness.refused("keys", "create", "shop")
    assert "there are read, generate, approve, admin" in likeness.refused("keys", "create", "x", "--scope", "root")
    assert "is no rate limit" in likeness.refused("keys", "create", "x", "--rate", "fast")
    assert "likeness keys list" in likeness.refused("keys", "revoke", "nobody")
    assert "there is no batch" in likeness.refused("webhooks", "replay", "nothing")
