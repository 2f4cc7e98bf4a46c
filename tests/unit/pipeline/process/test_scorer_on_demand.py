"""Weights that only some work needs are loaded when they are first wanted, once, and closed with their process."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import cast

import pytest

from domain.errors import ModelUnloadable
from pipeline.process.scorer_on_demand import ScorerOnDemand
from validation.base import Scorer


class Loader:
    """Loads nothing real, and notes what became of it."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.told: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[Scorer]:
        if self.failures:
            self.failures -= 1
            raise ModelUnloadable("no weights here")
        self.told.append("loaded")
        yield cast("Scorer", self)
        self.told.append("closed")


def test_nothing_is_loaded_until_somebody_asks_and_then_once_for_all_threads() -> None:
    loader, together = Loader(), Barrier(8)
    with ScorerOnDemand("somebody/fashion-clip", loader) as weights:
        assert loader.told == []

        def ask(_: int) -> Scorer:
            together.wait()
            return weights.get()

        with ThreadPoolExecutor(8) as threads:
            assert len({id(one) for one in threads.map(ask, range(8))}) == 1
        assert loader.told == ["loaded"]
    assert loader.told == ["loaded", "closed"]


def test_nobody_asked_and_nothing_is_closed() -> None:
    loader = Loader()
    with ScorerOnDemand("somebody/fashion-clip", loader):
        pass
    assert loader.told == []


def test_who_asked_is_told_why_and_the_next_one_tries_again() -> None:
    loader = Loader(failures=1)
    with ScorerOnDemand("somebody/fashion-clip", loader) as weights:
        with pytest.raises(ModelUnloadable, match="no weights here"):
            weights.get()
        assert weights.get() is cast("Scorer", loader)
    assert loader.told == ["loaded", "closed"]
