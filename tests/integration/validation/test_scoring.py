"""The scorer whole, on tiny models with random weights: what is shared, what fails alone, what is remembered."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from domain.errors import NotAPicture, OutOfMemory, ScorerBroken, ScorerError, UnfitPicture
from tests.support.image_tower import Watch, empty, refuse_above, refuse_all, refuse_black
from tests.support.scoring_models import TINY_PX, save_tiny_clip, save_tiny_siglip
from tests.support.scoring_pictures import saved, scene
from validation import engine
from validation.base import Aggregation, Embedding, ModelInput, Reference, Scored, Scorer
from validation.clip import ClipScorer
from validation.pixels import decode, model_input


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def scorer(clip_folder: Path) -> Iterator[ClipScorer]:
    with ClipScorer.load(str(clip_folder), device="cpu") as loaded:
        yield loaded


def picture_file(number: int) -> bytes:
    return saved(scene(number, (80, 72)), "PNG")


def reference(number: int) -> Reference:
    content = picture_file(number)
    return Reference(sha256=hashlib.sha256(content).hexdigest(), content=content)


def made(scorer: ClipScorer, number: int, *, source: str | None = None) -> ModelInput:
    return model_input(decode(picture_file(number)).image, scorer.recipe, source=source)


def all_black(scorer: ClipScorer) -> ModelInput:
    return model_input(Image.new("RGB", (TINY_PX, TINY_PX)), scorer.recipe)


def test_a_clip_scorer_is_what_the_steps_expect(scorer: ClipScorer) -> None:
    as_contract: Scorer = scorer
    scored = as_contract.score([made(scorer, 1)], [reference(1), reference(2)])
    assert scored[0].scores.core == pytest.approx(1, abs=1e-5)
    assert scored[0].scores.style == pytest.approx(1, abs=1e-5)
    assert scored[0].detail is not None
    assert scored[0].detail.nearest == 0


def test_scores_are_those_of_a_plain_loop_in_float32(scorer: ClipScorer, clip_folder: Path) -> None:
    model, processor = AutoModel.from_pretrained(clip_folder).eval(), CLIPImageProcessorPil.from_pretrained(clip_folder)

    def plain(number: int) -> torch.Tensor:
        pixels = processor(images=decode(picture_file(number)).image, return_tensors="pt")
        with torch.inference_mode():
            return torch.nn.functional.normalize(model.get_image_features(**pixels).pooler_output[0], dim=-1)

    ours = scorer.score([made(scorer, n) for n in range(20)], [reference(50), reference(51)])
    theirs = [float(torch.stack([plain(50) @ plain(n), plain(51) @ plain(n)]).max()) for n in range(20)]
    assert [scored.scores.core for scored in ours] == pytest.approx(theirs, abs=1e-4)


def test_the_mean_over_references_is_never_above_the_nearest(scorer: ClipScorer) -> None:
    pictures, references = [made(scorer, n) for n in range(6)], [reference(n) for n in range(10, 14)]
    nearest = scorer.score(pictures, references)
    mean = scorer.score(pictures, references, aggregation=Aggregation.MEAN)
    assert all(m.scores.core < n.scores.core for m, n in zip(mean, nearest, strict=True))


def test_the_origin_tells_weights_preprocessing_arithmetic_and_references(
    scorer: ClipScorer, clip_folder: Path
) -> None:
    first, second = (
        scorer.score([made(scorer, 1)], refs)[0].origin for refs in ([reference(1)], [reference(1), reference(2)])
    )
    assert first.model == str(clip_folder)
    assert first.revision == hashlib.sha256((clip_folder / "model.safetensors").read_bytes()).hexdigest()
    assert first.preprocessing == scorer.preprocessing
    assert first.dtype == "float32"
    assert first.references != second.references


def test_of_sixty_four_threads_with_one_poisoned_picture_sixty_three_get_their_scores(scorer: ClipScorer) -> None:
    Watch(scorer, refuse_black)
    pictures = [made(scorer, n) for n in range(64)]
    pictures[37] = all_black(scorer)
    references = [reference(100)]
    scorer.embed_references(references)

    def outcome(picture: ModelInput) -> Scored | ScorerError:
        try:
            return scorer.score([picture], references)[0]
        except ScorerError as error:
            return error

    with ThreadPoolExecutor(64) as threads:
        outcomes = list(threads.map(outcome, pictures))
    assert [n for n, each in enumerate(outcomes) if not isinstance(each, Scored)] == [37]
    assert type(outcomes[37]) is UnfitPicture


def test_in_one_call_a_poisoned_picture_fails_alone_too(scorer: ClipScorer) -> None:
    Watch(scorer, refuse_black)
    pictures = [made(scorer, 1), all_black(scorer), made(scorer, 2)]
    outcomes = scorer.score_each(pictures, [reference(1)])
    assert [isinstance(each, Scored) for each in outcomes] == [True, False, True]
    with pytest.raises(UnfitPicture, match="picture 2 of 3"):
        scorer.score(pictures, [reference(1)])


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_remembered(scorer: ClipScorer) -> None:
    pictures, references = [made(scorer, n) for n in range(32)], [reference(1)]
    expected = [each.scores for each in scorer.score(pictures, references)]
    watch = Watch(scorer, refuse_above(4))
    assert [each.scores.core for each in scorer.score(pictures, references)] == pytest.approx(
        [each.core for each in expected], abs=1e-5
    )
    assert scorer.batch_limit == 4
    watch.batches.clear()
    scorer.score(pictures, references)
    assert max(watch.batches) <= 4


@pytest.mark.parametrize(
    "said",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA ran out of memory outside PyTorch's allocator."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError("Unable to allocate 1.2 GiB for an array"),
    ],
    ids=lambda said: str(said)[:40],
)
def test_a_full_device_is_known_in_whatever_words_it_says_so(scorer: ClipScorer, said: Exception) -> None:
    def refuse(pixels: torch.Tensor) -> None:
        if len(pixels) > 4:
            raise said

    Watch(scorer, refuse)
    outcomes = scorer.score_each([made(scorer, n) for n in range(16)], [reference(1)])
    assert all(isinstance(each, Scored) for each in outcomes)
    assert scorer.batch_limit == 4


def test_when_not_even_one_picture_fits_it_is_memory_and_worth_another_try(scorer: ClipScorer) -> None:
    Watch(scorer, refuse_above(0))
    with pytest.raises(OutOfMemory) as caught:
        scorer.score([made(scorer, 1)], [reference(1)])
    assert caught.value.retryable


def test_a_broken_device_is_not_blamed_on_the_pictures(scorer: ClipScorer) -> None:
    scorer.embed_references([reference(1)])
    Watch(scorer, refuse_all)
    outcomes = scorer.score_each([made(scorer, n) for n in range(8)], [reference(1)])
    assert {type(each) for each in outcomes} == {ScorerBroken}
    assert "illegal memory access" in str(outcomes[0])


def test_an_embedding_that_is_no_number_fails_its_own_picture(scorer: ClipScorer) -> None:
    def spoil(_module: torch.nn.Module, _args: object, kwargs: dict[str, torch.Tensor], output: Any) -> None:
        output.pooler_output[empty(kwargs["pixel_values"])] = float("nan")

    tower: Any = scorer.engine.model.vision_model
    tower.register_forward_hook(spoil, with_kwargs=True)
    outcomes = scorer.score_each([made(scorer, 1), all_black(scorer)], [reference(1)])
    assert [type(each) for each in outcomes] == [Scored, UnfitPicture]


def test_references_that_many_threads_ask_for_at_once_are_embedded_once(scorer: ClipScorer) -> None:
    watch = Watch(scorer)
    references = [reference(n) for n in range(3)]
    with ThreadPoolExecutor(16) as threads:
        embedded = list(threads.map(lambda _: scorer.embed_references(references), range(16)))
    assert sum(watch.batches) == 3
    assert all(each == embedded[0] for each in embedded)


class CacheInMemory:
    """An `EmbeddingCache` that outlives a scorer, as the table does."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Embedding] = {}
        self._lock = Lock()

    def get_many(self, sources: Sequence[str], *, model: str) -> Mapping[str, Embedding]:
        with self._lock:
            return {source: self.rows[model, source] for source in sources if (model, source) in self.rows}

    def put_many(self, embeddings: Mapping[str, Embedding], *, model: str) -> None:
        with self._lock:
            self.rows |= {(model, source): embedding for source, embedding in embeddings.items()}


def test_no_picture_is_embedded_twice_not_even_by_another_process(clip_folder: Path) -> None:
    cache = CacheInMemory()
    with ClipScorer.load(str(clip_folder), device="cpu", cache=cache) as first:
        pictures = [made(first, n, source=f"file {n}") for n in range(5)]
        expected = first.score(pictures, [reference(9)])
    with ClipScorer.load(str(clip_folder), device="cpu", cache=cache) as second:
        watch = Watch(second)
        assert second.score(pictures, [reference(9)]) == expected
        assert watch.batches == []
        second.score([*pictures, made(second, 77)], [reference(9)])  # without a source: embedded, not kept
        assert sum(watch.batches) == 1
    assert len(cache.rows) == 6


def test_embeddings_of_other_weights_are_never_mistaken_for_ours(clip_folder: Path, tmp_path: Path) -> None:
    cache = CacheInMemory()
    save_tiny_clip(tmp_path, seed=1)
    for folder in (clip_folder, tmp_path):
        with ClipScorer.load(str(folder), device="cpu", cache=cache) as scorer:
            scorer.score([made(scorer, 1, source="one")], [reference(1)])
    assert len({model for model, _ in cache.rows}) == 2


def test_an_input_made_for_another_model_is_refused_before_it_is_scored(scorer: ClipScorer, tmp_path: Path) -> None:
    with ClipScorer.load(str(save_tiny_siglip(tmp_path)), device="cpu") as other:
        foreign = made(other, 1)
    with pytest.raises(UnfitPicture, match="another model"):
        scorer.score([foreign], [reference(1)])


def test_an_input_of_the_wrong_length_is_refused(scorer: ClipScorer) -> None:
    whole = made(scorer, 1)
    short = ModelInput(pixels=whole.pixels[:-1], size=whole.size, preprocessing=whole.preprocessing)
    with pytest.raises(UnfitPicture, match="bytes instead of"):
        scorer.score([short], [reference(1)])


def test_a_reference_that_is_no_picture_is_the_characters_fault_and_is_not_kept(scorer: ClipScorer) -> None:
    bad = Reference(sha256="00", content=b"<html>gone</html>")
    for _ in range(2):
        with pytest.raises(ScorerError, match="reference of the character") as caught:
            scorer.score([made(scorer, 1)], [reference(1), bad])
        assert not isinstance(caught.value, UnfitPicture)
    assert scorer.score([made(scorer, 1)], [reference(1)])


def test_without_references_nothing_is_scored(scorer: ClipScorer) -> None:
    with pytest.raises(ScorerError, match="no references"):
        scorer.score([made(scorer, 1)], [])


def test_no_pictures_give_no_scores(scorer: ClipScorer) -> None:
    assert scorer.score([], [reference(1)]) == []
    assert scorer.score_chunk([], [reference(1)]) == []


def test_the_chunk_path_gives_the_scores_of_the_task_path(clip_folder: Path) -> None:
    with ClipScorer.load(str(clip_folder), device="cpu", max_batch=8) as scorer:
        pictures, references = [made(scorer, n) for n in range(29)], [reference(1), reference(2)]
        one_by_one = scorer.score(pictures, references)
        for bulk in (pictures, [picture_file(n) for n in range(29)]):
            in_bulk = scorer.score_chunk(bulk, references)
            assert [each.scores.core for each in in_bulk if isinstance(each, Scored)] == pytest.approx(
                [each.scores.core for each in one_by_one], abs=1e-5
            )


def test_in_a_chunk_what_fails_fails_for_itself(clip_folder: Path) -> None:
    with ClipScorer.load(str(clip_folder), device="cpu", max_batch=8) as scorer:
        Watch(scorer, refuse_black)
        chunk: list[ModelInput | bytes] = [picture_file(n) for n in range(20)]
        chunk[3] = b"no picture"
        chunk[11] = all_black(scorer)
        outcomes = scorer.score_chunk(chunk, [reference(1)])
    assert type(outcomes[3]) is NotAPicture
    assert type(outcomes[11]) is UnfitPicture
    assert sum(isinstance(each, Scored) for each in outcomes) == 18


def test_a_chunk_whose_batches_do_not_fit_loses_nothing(clip_folder: Path) -> None:
    with ClipScorer.load(str(clip_folder), device="cpu", max_batch=16) as scorer:
        watch = Watch(scorer, refuse_above(4))
        outcomes = scorer.score_chunk([made(scorer, n) for n in range(100)], [reference(1)])
        assert all(isinstance(each, Scored) for each in outcomes)
        assert scorer.batch_limit == 4
        assert watch.batches.count(16) == 1  # the one made ready meanwhile is not even tried


def test_a_chunk_outlives_a_host_without_room_for_its_next_batch(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's allocator on the processor gives room for sixteen pictures, as one does whose memory is nearly gone."""
    zeros, refused = torch.zeros, list[int]()

    def scarce(shape: Sequence[int], **how: Any) -> torch.Tensor:
        if shape[0] > 16:
            refused.append(shape[0])
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 786432 bytes")
        return zeros(shape, **how)

    with ClipScorer.load(str(clip_folder), device="cpu", max_batch=64) as scorer:
        monkeypatch.setattr(torch, "zeros", scarce)
        outcomes = scorer.score_chunk([made(scorer, n % 8) for n in range(130)], [reference(1)])
        assert scorer.batch_limit == 16
    assert all(isinstance(each, Scored) for each in outcomes)
    assert refused


def test_a_closed_scorer_says_so(clip_folder: Path) -> None:
    scorer = ClipScorer.load(str(clip_folder), device="cpu")
    scorer.close()
    scorer.close()
    with pytest.raises(ScorerError, match="closed"):
        scorer.score([made(scorer, 1)], [reference(1)])


def test_a_configured_arithmetic_is_used_and_recorded(clip_folder: Path, scorer: ClipScorer) -> None:
    with ClipScorer.load(str(clip_folder), device="cpu", dtype="bfloat16") as fast:
        assert fast.precision.chosen == "configured"
        pictures, references = [made(scorer, n) for n in range(8)], [reference(30)]
        theirs, ours = scorer.score(pictures, references), fast.score(pictures, references)
    assert {each.origin.dtype for each in ours} == {"bfloat16"}
    assert fast.fingerprint != scorer.fingerprint
    assert [each.scores.core for each in ours] == pytest.approx([each.scores.core for each in theirs], abs=0.005)


def test_of_batches_that_overlap_no_second_is_counted_twice(
    scorer: ClipScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In bulk a batch is finished when the next one is launched. A clock that goes on a second at each look."""
    host = scorer.engine.prepare([np.zeros((TINY_PX, TINY_PX, 3), np.uint8)])
    before, seconds = scorer.phases, iter(range(100))
    monkeypatch.setattr(engine, "perf_counter", lambda: float(next(seconds)))
    under_way = [scorer.engine.launch(host, pictures=1) for _ in range(4)]
    for launched in under_way:
        scorer.engine.finish(launched)
    after = scorer.phases
    assert (after.forward_s - before.forward_s, after.finish_s - before.finish_s) == (4, 4)


def test_a_scorer_that_was_warmed_up_has_read_a_text_and_scores_as_before(scorer: ClipScorer) -> None:
    expected = scorer.score([made(scorer, 1)], [reference(1)])
    scorer.warm()
    assert scorer.score([made(scorer, 1)], [reference(1)]) == expected


def test_each_phase_can_be_called_alone_and_is_timed(scorer: ClipScorer) -> None:
    before = scorer.phases
    arrays = [np.frombuffer(made(scorer, n).pixels, np.uint8).reshape(TINY_PX, TINY_PX, 3) for n in range(3)]
    host = scorer.engine.prepare(arrays)
    assert (host.shape, host.dtype) == ((3, TINY_PX, TINY_PX, 3), torch.uint8)
    cores, styles = scorer.engine.forward(host)
    assert (cores.shape, styles.shape, cores.dtype) == ((3, 48), (3, 64), torch.float32)
    assert torch.linalg.vector_norm(cores, dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    rows = scorer.engine.finish(scorer.engine.launch(host, pictures=2))
    assert len(rows) == 2
    assert scorer.phases.pictures == before.pictures + 2
    assert scorer.phases.forward_s > before.forward_s
