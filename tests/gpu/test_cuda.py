"""The engine on CUDA: the same scores as on the CPU, nothing read before it has arrived, and memory that runs out."""

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from domain.errors import OutOfMemory, ScorerError
from tests.support.scoring_models import save_clip_b32, save_tiny_clip
from tests.support.scoring_pictures import saved, scene
from validation.base import Embedding, ModelInput, Reference, Scored
from validation.clip import ClipScorer
from validation.engine import Engine, Pixels
from validation.pixels import decode, model_input
from validation.similarity import cosines, unpack

PICTURES = 40
LAST = torch.device("cuda", torch.cuda.device_count() - 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_clip(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def b32(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_clip_b32(tmp_path_factory.mktemp("b32")))


@pytest.fixture
def scorer(tiny: str) -> Iterator[ClipScorer]:
    with ClipScorer.load(tiny, device=str(LAST), dtype="float32") as loaded:
        yield loaded


def made(scorer: ClipScorer, number: int) -> ModelInput:
    return model_input(decode(saved(scene(number, (80, 72)), "PNG")).image, scorer.recipe)


def pictures_of(scorer: ClipScorer, number: int = PICTURES) -> list[Pixels]:
    size = scorer.recipe.size
    return [
        np.frombuffer(made(scorer, n).pixels, dtype=np.uint8).reshape(size, size, 3)  # (S, S, 3)
        for n in range(number)
    ]


def embeddings(rows: list[Embedding | ScorerError]) -> list[Embedding]:
    assert all(isinstance(row, Embedding) for row in rows), rows
    return [row for row in rows if isinstance(row, Embedding)]


@pytest.mark.parametrize("model", ["tiny", "b32"])
def test_float32_on_the_device_is_float32_on_the_processor(request: pytest.FixtureRequest, model: str) -> None:
    folder = request.getfixturevalue(model)
    found = []
    for device in ("cpu", str(LAST)):
        with ClipScorer.load(folder, device=device, dtype="float32") as scorer:
            found.append(unpack(embeddings(scorer.engine.embed(pictures_of(scorer, 24)))))
    (cores, styles), (their_cores, their_styles) = found
    assert float(np.diag(cosines(cores, their_cores)).min()) > 0.99999
    assert np.abs(styles - their_styles).max() < 1e-2
    assert np.abs(cosines(cores, cores) - cosines(their_cores, their_cores)).max() < 1e-4


def test_float32_means_float32_in_every_operation(scorer: ClipScorer) -> None:
    assert scorer.engine.device == LAST
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_batches_that_overlap_give_what_each_gives_alone(scorer: ClipScorer) -> None:
    """The next batch is prepared and launched while one is on the device; no row may be read before it is there."""
    engine, batches = scorer.engine, [pictures_of(scorer)[at : at + 8] for at in range(0, PICTURES, 8)]
    alone = [engine.embed(batch) for batch in batches]
    for _ in range(20):
        under_way = [engine.launch(engine.prepare(batch), pictures=len(batch)) for batch in batches]
        together = [engine.finish(launched) for launched in under_way]
        assert together == alone


def test_work_on_the_last_device_is_awaited_while_another_one_is_current(scorer: ClipScorer) -> None:
    expected = scorer.engine.embed(pictures_of(scorer))
    with torch.cuda.device(0):
        spin = torch.randn(4096, 4096, device=LAST)  # long enough for a row to be read too early
        for _ in range(10):
            for _ in range(20):
                spin = (spin @ spin).clamp(-1, 1)
            assert scorer.engine.embed(pictures_of(scorer)) == expected
        assert torch.cuda.current_device() == 0


def test_phases_count_no_second_twice(scorer: ClipScorer) -> None:
    pictures = [made(scorer, n) for n in range(PICTURES)] * 20
    list(scorer.embed_chunk(pictures[:64]))
    torch.cuda.synchronize(LAST)
    before = scorer.phases
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record(torch.cuda.current_stream(LAST))
    list(scorer.embed_chunk(pictures))
    end.record(torch.cuda.current_stream(LAST))
    end.synchronize()
    assert 0 < scorer.phases.forward_s - before.forward_s <= begin.elapsed_time(end) / 1000


def test_a_device_that_is_really_full_halves_the_batch_and_loses_nothing(b32: str) -> None:
    with ClipScorer.load(b32, device=str(LAST), dtype="float32", max_batch=256) as scorer:
        pictures = pictures_of(scorer, 8) * 32
        expected = embeddings(scorer.engine.embed(pictures[:8]))
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_allocated(LAST) + _peak(scorer.engine, pictures[:64])
        torch.cuda.empty_cache()
        torch.cuda.memory.set_per_process_memory_fraction(allowed / torch.cuda.mem_get_info(LAST)[1], LAST)
        try:
            with pytest.raises(OutOfMemory):
                scorer.engine.embed(pictures)
            inputs = [made(scorer, n) for n in range(8)] * 32
            content = saved(scene(0, (80, 72)), "PNG")
            reference = Reference(sha256=hashlib.sha256(content).hexdigest(), content=content)
            outcomes = scorer.score_chunk(inputs, [reference])
            assert all(isinstance(outcome, Scored) for outcome in outcomes)
            assert scorer.batch_limit < 256
            close = np.diag(cosines(unpack(expected)[0], unpack(embeddings(scorer.engine.embed(pictures[:8])))[0]))
            assert float(close.min()) > 0.99999
        finally:
            torch.cuda.memory.set_per_process_memory_fraction(1.0, LAST)


def _peak(engine: Engine, pictures: list[Pixels]) -> int:
    """Bytes that a batch takes beyond the weights, with what the allocator's blocks add."""
    torch.cuda.reset_peak_memory_stats(LAST)
    before = torch.cuda.memory_allocated(LAST)
    engine.embed(pictures)
    return int(1.5 * (torch.cuda.max_memory_reserved(LAST) - before))
