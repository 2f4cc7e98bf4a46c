"""Faults: what can be armed, when one fires, and that a seed gives the same run again."""

import random
from typing import get_args

import pytest

from sandbox.faults.armed import Fault, Faults, misbehave, read_fault, spoil_picture
from sandbox.faults.kinds import KINDS, WIRES, Where
from sandbox.web import BadRequest, Reply
from sandbox.wires.openai import routes
from sandbox.wires.replicate import routes as replicate
from sandbox.wires.ttapi import routes as ttapi


def armed(*faults: dict[str, object], seed: int = 7) -> Faults:
    switchboard = Faults()
    switchboard.arm(faults, seed=seed)
    return switchboard


def fault(what: str, where: str = "submit") -> Fault:
    return read_fault({"where": where, "what": what}, dice=random.Random(1))


def test_a_fault_fires_as_often_as_its_count_and_is_counted() -> None:
    faults = armed({"where": "submit", "what": "drop_after", "count": 2})
    chosen = [faults.choose("submit", "ttapi") for _ in range(5)]
    assert [each is not None for each in chosen] == [True, True, False, False, False]
    assert faults.document()["faults"][0]["fired"] == 2


def test_the_same_seed_gives_the_same_sequence() -> None:
    def sequence(seed: int) -> list[bool]:
        faults = armed({"where": "fetch", "what": "status:500", "rate": 0.3}, seed=seed)
        return [faults.choose("fetch", "ttapi") is not None for _ in range(200)]

    assert sequence(1) == sequence(1) != sequence(2)
    assert 30 <= sum(sequence(1)) <= 90


def test_a_fault_for_some_prompts_leaves_the_others_alone() -> None:
    faults = armed({"where": "submit", "what": "stuck", "match": "pig"})
    assert faults.choose("submit", "ttapi", prompt="a cat") is None
    assert faults.choose("submit", "ttapi", prompt="a pig") is not None


def test_a_fault_for_one_provider_leaves_the_others_alone() -> None:
    faults = armed({"where": "submit", "what": "stuck", "provider": "replicate"})
    assert faults.choose("submit", "ttapi") is None


def test_only_an_unmatched_drop_ends_the_connection_before_the_body_is_read() -> None:
    blind = armed({"where": "submit", "what": "drop_before"})
    assert blind.choose("submit", "ttapi", prompt="a pig") is None
    assert blind.choose_unread("ttapi") is not None
    seeing = armed({"where": "submit", "what": "drop_before", "match": "pig"})
    assert seeing.choose_unread("ttapi") is None
    assert seeing.choose("submit", "ttapi", prompt="a pig") is not None


@pytest.mark.parametrize(
    "wanted",
    [
        {"where": "submit", "what": "earthquake"},
        {"where": "picture", "what": "stuck"},
        {"where": "nowhere", "what": "drop_before"},
        {"where": "submit", "what": "status"},
        {"where": "submit", "what": "status:abc"},
        {"where": "submit", "what": "delay:soon"},
        {"where": "submit", "what": "failed_body"},
        {"where": "submit", "what": "stuck", "rate": 2},
        {"where": "submit", "what": "stuck", "count": 0},
    ],
)
def test_a_fault_that_cannot_be_is_refused_and_nothing_is_armed(wanted: dict[str, object]) -> None:
    faults = Faults()
    with pytest.raises(BadRequest):
        faults.arm([{"where": "submit", "what": "stuck"}, wanted])
    assert faults.document()["faults"] == []


@pytest.mark.parametrize("what", ["drop_before", "html", "status:500", "status:429", "status:500_before"])
def test_nothing_is_done_behind_a_fault_that_comes_before(what: str) -> None:
    def act() -> Reply:
        raise AssertionError("it was done")

    misbehave(fault(what), act=act, refuse=lambda status: Reply(status=status))


@pytest.mark.parametrize("what", ["drop_after", "html_after", "status:500_after", "truncated", "slow", "delay:1"])
def test_it_is_done_once_behind_a_fault_that_comes_after(what: str) -> None:
    done = []

    def act() -> Reply:
        done.append(1)
        return Reply(body=b"{}")

    reply = misbehave(fault(what), act=act, refuse=lambda status: Reply(status=status))
    assert len(done) == 1
    assert reply != Reply(body=b"{}")


def test_every_fault_says_where_it_can_be_and_what_it_does() -> None:
    for name, kind in KINDS.items():
        assert kind.where, name
        assert kind.meaning, name


@pytest.mark.parametrize("what", ["expired", "page", "fake", "unreadable", "cut_file"])
def test_a_spoilt_picture_is_not_the_picture(what: str) -> None:
    whole = Reply(body=b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, content_type="image/png")
    assert spoil_picture(fault(what, "picture"), whole).body != whole.body


@pytest.mark.parametrize(
    ("wire", "routes"),
    [
        ("ttapi", [*ttapi.ROUTES.values()]),
        ("replicate", [*replicate.ROUTES]),
        ("openai", [*routes.ROUTES.values(), routes.ONE_MODEL]),
    ],
)
def test_every_call_of_every_wire_can_meet_a_fault(wire: str, routes: list[ttapi.Route]) -> None:
    for where in {route.where for route in routes}:
        assert wire in WIRES[where]
        assert [name for name, kind in KINDS.items() if wire in kind.wires(where)]


def test_every_kind_of_call_is_some_wire_s_and_has_its_faults() -> None:
    possible = {where for kind in KINDS.values() for where in kind.where}
    assert possible == set(WIRES) == set(get_args(Where))
