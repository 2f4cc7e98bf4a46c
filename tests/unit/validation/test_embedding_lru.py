"""Embeddings that are remembered: once made, never made again, and failures are not remembered."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from domain.errors import NotAPicture, ScorerError, UnfitPicture
from validation.base import Embedding
from validation.embedding_lru import EmbeddingMemory

PATIENCE_S = 60


def embedding(name: str) -> Embedding:
    return Embedding(core=name.encode(), style=b"")


class Maker:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, sources: Sequence[str]) -> list[Embedding | ScorerError]:
        self.calls.append(list(sources))
        return [UnfitPicture(source) if source.startswith("bad") else embedding(source) for source in sources]


class Table:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Embedding] = {}
        self.asked = 0

    def get_many(self, sources: Sequence[str], *, model: str) -> Mapping[str, Embedding]:
        self.asked += 1
        return {source: self.rows[model, source] for source in sources if (model, source) in self.rows}

    def put_many(self, embeddings: Mapping[str, Embedding], *, model: str) -> None:
        self.rows |= {(model, source): each for source, each in embeddings.items()}


def test_an_embedding_is_made_once() -> None:
    memory, make = EmbeddingMemory(model="m", capacity=10), Maker()
    assert memory.get(["a", "b", "a"], make) == [embedding("a"), embedding("b"), embedding("a")]
    assert memory.get(["b", "c"], make) == [embedding("b"), embedding("c")]
    assert make.calls == [["a", "b"], ["c"]]


def test_the_least_recently_used_goes_first() -> None:
    memory, make = EmbeddingMemory(model="m", capacity=2), Maker()
    for source in ("a", "b", "a", "c", "a", "b"):
        memory.get([source], make)
    assert make.calls == [["a"], ["b"], ["c"], ["b"]]


def test_a_failure_is_told_in_its_place_and_tried_again_next_time() -> None:
    memory, make = EmbeddingMemory(model="m", capacity=10), Maker()
    first = memory.get(["a", "bad"], make)
    assert (first[0], type(first[1])) == (embedding("a"), UnfitPicture)
    memory.get(["a", "bad"], make)
    assert make.calls == [["a", "bad"], ["bad"]]


def test_the_cache_is_asked_before_anything_is_made_and_told_afterwards() -> None:
    table, make = Table(), Maker()
    table.rows["m", "a"] = embedding("a")
    memory = EmbeddingMemory(model="m", capacity=10, cache=table)
    memory.get(["a", "b", "bad"], make)
    assert make.calls == [["b", "bad"]]
    assert set(table.rows) == {("m", "a"), ("m", "b")}
    memory.get(["a", "b"], make)
    assert table.asked == 1


def test_two_threads_that_want_the_same_make_it_once() -> None:
    memory = EmbeddingMemory(model="m", capacity=10)
    entered, let_go, calls = Event(), Event(), []

    def slow(sources: Sequence[str]) -> list[Embedding | ScorerError]:
        calls.append(list(sources))
        entered.set()
        assert let_go.wait(PATIENCE_S)
        return [embedding(source) for source in sources]

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(memory.get, ["a"], slow)
        assert entered.wait(PATIENCE_S)
        second = threads.submit(memory.get, ["b", "a"], Maker())
        let_go.set()
        assert first.result(PATIENCE_S) == [embedding("a")]
        assert second.result(PATIENCE_S) == [embedding("b"), embedding("a")]
    assert calls == [["a"]]


def test_threads_that_wait_for_each_other_do_not_wait_for_ever() -> None:
    memory, together = EmbeddingMemory(model="m", capacity=10), Barrier(2, timeout=PATIENCE_S)

    def meet(sources: Sequence[str]) -> list[Embedding | ScorerError]:
        together.wait()
        return [embedding(source) for source in sources]

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(memory.get, ["a"], meet)
        other = threads.submit(memory.get, ["b"], meet)
        assert (one.result(PATIENCE_S), other.result(PATIENCE_S)) == ([embedding("a")], [embedding("b")])


def test_whoever_waits_for_a_thread_that_gave_up_makes_it_itself() -> None:
    """One thread's lost connection to the cache must not become the failure of everybody with the same reference."""
    memory = EmbeddingMemory(model="m", capacity=10)
    entered, waits, let_go = Event(), Event(), Event()
    calls: list[list[str]] = []

    def fails(_sources: Sequence[str]) -> list[Embedding | ScorerError]:
        entered.set()
        assert let_go.wait(PATIENCE_S)
        raise NotAPicture("a web page")

    def makes(sources: Sequence[str]) -> list[Embedding | ScorerError]:
        calls.append(list(sources))
        waits.set()  # for "a" as well: what is asked for is noted before anything is made
        return [embedding(source) for source in sources]

    with ThreadPoolExecutor(2) as threads:
        failing = threads.submit(memory.get, ["a"], fails)
        assert entered.wait(PATIENCE_S)
        waiting = threads.submit(memory.get, ["b", "a"], makes)
        assert waits.wait(PATIENCE_S)
        let_go.set()
        with pytest.raises(NotAPicture):
            failing.result(PATIENCE_S)
        assert waiting.result(PATIENCE_S) == [embedding("b"), embedding("a")]
    assert calls == [["b"], ["a"]]
