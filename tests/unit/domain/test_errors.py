"""Every failure has a code, somebody to blame and an exit code; nothing falls through."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import db
import domain
import pipeline
import providers
import storage
from domain import errors
from domain.errors import BadInput, Blame, LikenessError, ProviderError

_PACKAGES = (domain, db, providers, storage, pipeline)


def _imported() -> None:
    for package in _PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" not in module.name:
                importlib.import_module(module.name)


def _subclasses(base: type[LikenessError]) -> Iterator[type[LikenessError]]:
    yield base
    for one in base.__subclasses__():
        yield from _subclasses(one)


#: What a failure is told beside its sentence, where it must be.
_TOLD: dict[str, dict[str, Any]] = {
    "Deleted": {"at": datetime(2026, 11, 29, tzinfo=UTC)},
    "TooManyRequests": {"retry_after_s": 1.0},
}


def _made(kind: type[LikenessError]) -> LikenessError:
    return kind("a sentence", **_TOLD.get(kind.__name__, {}))


_imported()
EVERY = sorted(set(_subclasses(LikenessError)), key=lambda one: one.__qualname__)


@pytest.mark.parametrize("kind", EVERY)
def test_every_failure_says_who_can_help_and_how_a_command_ends(kind: type[LikenessError]) -> None:
    failure = _made(kind)
    assert failure.blame in Blame
    assert failure.exit_code in {1, 2, 3}
    assert failure.code.replace("_", "").isalpha()
    assert failure.code == failure.code.lower()
    assert "a sentence" in str(failure)


def test_no_two_failures_share_a_code() -> None:
    codes = [_made(kind).code for kind in EVERY]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (errors.BadInput, 2),
        (errors.UnknownThing, 2),
        (errors.ModelRetired, 2),
        (errors.PriceUnknown, 2),
        (errors.LimitTooSmall, 2),
        (errors.ServiceMissing, 3),
        (errors.ModelUnloadable, 3),
        (errors.NotSent, 1),
        (errors.PictureLost, 1),
        (errors.LostRace, 1),
    ],
)
def test_exit_codes_are_those_of_the_command_line(kind: type[LikenessError], exit_code: int) -> None:
    assert kind("x").exit_code == exit_code


def test_every_failure_of_the_tree_is_drawn_in_it() -> None:
    drawn = errors.__doc__ or ""
    for kind in EVERY:
        if kind.__module__ == errors.__name__:
            assert kind.__name__ in drawn


def test_a_bad_line_is_named() -> None:
    assert str(BadInput("no prompt", line=7)) == "line 7: no prompt"
    assert BadInput("no prompt", line=7).line == 7
    assert str(BadInput("no prompt")) == "no prompt"


def test_a_provider_may_say_how_long_to_wait() -> None:
    assert ProviderError("x").retry_after_s is None
    assert ProviderError("x", retry_after_s=3).retry_after_s == 3


def test_the_code_is_the_class_in_snake_case() -> None:
    assert errors.NotAPicture("x").code == "not_a_picture"
    assert errors.MaybeSent("x").code == "maybe_sent"
