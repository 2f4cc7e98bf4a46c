"""What can be wrong with a model, and the sentence that says what to do; which arithmetic is chosen, and why."""

import gc
import logging
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, CLIPVisionConfig, CLIPVisionModel

from domain.errors import ModelUnloadable
from tests.support.scoring_models import TINY_PX, save_tiny_clip, save_tiny_siglip
from validation import loading, precision
from validation.clip import ClipScorer
from validation.engine import Engine
from validation.loading import load_model
from validation.precision import Trial, choose, closeness
from validation.preprocessing import read_preprocessing
from validation.similarity import frame_of, unpack
from validation.specimens import specimens

SMALL_CLIP = Path(__file__).parents[3] / "sandbox" / "clip"


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def own_copy(clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "copy"))


def refused(model: Path | str, **options: Any) -> str:
    with pytest.raises(ModelUnloadable) as caught:
        ClipScorer.load(str(model), **{"device": "cpu", **options}).close()
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_siglip_loads_as_clip_does(tmp_path: Path) -> None:
    with ClipScorer.load(str(save_tiny_siglip(tmp_path)), device="cpu") as scorer:
        assert scorer.recipe.shortest_edge is None
        assert scorer.engine.style_block == 3


def test_the_small_clip_of_the_sandbox_loads() -> None:
    with ClipScorer.load(str(SMALL_CLIP), device="cpu") as scorer:
        assert (scorer.recipe.size, scorer.precision.dtype) == (96, "float32")


def test_a_wrong_path_is_named() -> None:
    assert "there is no folder '/no/such/model'" in refused("/no/such/model")


def test_an_empty_folder_holds_no_weights(tmp_path: Path) -> None:
    assert "holds no weights" in refused(tmp_path)


def test_a_name_that_cannot_be_fetched_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        sentence = refused("nobody/clip-of-nowhere")
    assert "HF_HUB_OFFLINE is set" in sentence
    assert "`likeness models fetch` fetches it" in sentence
    assert "downloading it from the hub" in caplog.text


def test_another_kind_of_model_is_no_clip(tmp_path: Path, clip_folder: Path) -> None:
    bert, tower = tmp_path / "bert", tmp_path / "tower"
    tiny = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=32, **tiny)).save_pretrained(bert)
    CLIPVisionModel(CLIPVisionConfig(image_size=TINY_PX, patch_size=16, **tiny)).save_pretrained(tower)
    for folder in (bert, tower):
        shutil.copy(clip_folder / "preprocessor_config.json", folder)
        assert "is no CLIP or SigLIP" in refused(folder)


def test_weights_that_lack_tensors_are_refused_instead_of_filled_with_random_numbers(own_copy: Path) -> None:
    file = own_copy / "model.safetensors"
    tensors = load_file(file)
    del tensors["visual_projection.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    assert "'visual_projection.weight'" in refused(own_copy)


def test_damaged_weights_are_called_damaged(own_copy: Path) -> None:
    file = own_copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert "damaged" in refused(own_copy)


def test_weights_and_preprocessing_of_two_models_do_not_go_together(own_copy: Path) -> None:
    config = (own_copy / "preprocessor_config.json").read_text(encoding="utf-8")
    (own_copy / "preprocessor_config.json").write_text(config.replace(str(TINY_PX), "32"), encoding="utf-8")
    assert "sees pictures of 64 pixels" in refused(own_copy)


def test_a_device_that_is_not_there_is_named(clip_folder: Path) -> None:
    assert "no device 'quantum'" in refused(clip_folder, device="quantum")
    if not torch.cuda.is_available():
        assert "use 'auto' or 'cpu'" in refused(clip_folder, device="cuda")


def test_a_torch_for_cuda_without_a_driver_says_why_it_uses_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def no_driver() -> None:
        raise RuntimeError("Found no NVIDIA driver on your system.\nPlease check")

    monkeypatch.setattr(torch.cuda, "init", no_driver)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    assert loading.why_no_cuda("auto") == "Found no NVIDIA driver on your system."
    assert loading.why_no_cuda("cpu") is None, "asked for"
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    assert loading.why_no_cuda("auto") is None, "this torch knows no CUDA"


def test_weights_larger_than_the_memory_are_refused_before_the_system_kills_us(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_available_bytes", lambda: 1000)
    assert "choose a smaller model" in refused(clip_folder)


def test_threads_are_set_as_configured(clip_folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        ClipScorer.load(str(clip_folder), device="cpu", threads=1).close()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("trial", "accepted"),
    [
        (Trial(dtype="bfloat16", gain=3, cosine=0.9995, score_difference=0.002), True),
        (Trial(dtype="bfloat16", gain=1.1, cosine=1, score_difference=0), False),
        (Trial(dtype="bfloat16", gain=3, cosine=0.998, score_difference=0.002), False),
        (Trial(dtype="bfloat16", gain=3, cosine=0.9995, score_difference=0.006), False),
        (Trial(dtype="bfloat16", why_not="the device cannot do it"), False),
    ],
)
def test_a_fast_type_must_be_faster_and_close(trial: Trial, *, accepted: bool) -> None:
    assert trial.accepted is accepted


def maker(folder: Path) -> Any:
    def make(dtype: torch.dtype) -> Engine:
        device = torch.device("cpu")
        loaded = load_model(str(folder), dtype=dtype, device=device)
        return Engine(loaded, preprocessing=read_preprocessing(str(folder)), device=device)

    return make


def test_what_was_measured_is_recorded_and_decides(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    engine, chosen, _ = choose(maker(clip_folder), specimens(TINY_PX), wish="auto", device=torch.device("cpu"))
    [trial] = chosen.trials
    assert (chosen.chosen, trial.dtype) == ("measured", "bfloat16")
    assert trial.cosine > 0.99
    assert chosen.dtype == ("bfloat16" if trial.accepted else "float32")
    assert str(engine.dtype) == f"torch.{chosen.dtype}"


def test_of_two_types_that_will_do_the_first_is_taken_however_the_clock_falls(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arithmetic is part of the key under which embeddings are kept: it must not change from start to start."""
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    monkeypatch.setattr(precision, "_FAST", {"cpu": (torch.bfloat16, torch.float16)})
    monkeypatch.setattr(precision, "MOST_SCORE_DIFFERENCE", 1)
    monkeypatch.setattr(precision, "LEAST_COSINE", 0.9)
    for gains in ((5.0, 5.1), (5.1, 5.0)):
        clock = iter(gains)
        monkeypatch.setattr(precision, "_gain", lambda *_, clock=clock: next(clock))
        _, chosen, _ = choose(maker(clip_folder), specimens(TINY_PX), wish="auto", device=torch.device("cpu"))
        assert (chosen.dtype, [trial.gain for trial in chosen.trials]) == ("bfloat16", [gains[0]])


def test_a_type_that_could_not_be_tried_says_why(clip_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    make = maker(clip_folder)

    def refuse(dtype: torch.dtype) -> Engine:
        if dtype is torch.bfloat16:
            raise ModelUnloadable("it does not fit into memory")
        engine: Engine = make(dtype)
        return engine

    _, chosen, _ = choose(refuse, specimens(TINY_PX), wish="auto", device=torch.device("cpu"))
    assert (chosen.dtype, chosen.chosen, chosen.device) == ("float32", "measured", "cpu")
    [trial] = chosen.as_json()["trials"]
    assert (trial["dtype"], trial["gain"], trial["accepted"]) == ("bfloat16", None, False)
    assert "does not fit" in trial["why_not"]


def test_what_was_measured_is_told_in_figures(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    with caplog.at_level(logging.INFO), ClipScorer.load(str(clip_folder), device="cpu") as scorer:
        [trial] = scorer.model.arithmetic["trials"]
    assert f"bfloat16 is {trial['gain']:.2f} times as fast as float32, lowest cosine" in caplog.text


def test_a_type_that_is_too_far_from_float32_is_not_used_however_fast(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    monkeypatch.setattr(precision, "LEAST_GAIN", 0)
    monkeypatch.setattr(precision, "MOST_SCORE_DIFFERENCE", 0)
    _, chosen, _ = choose(maker(clip_folder), specimens(TINY_PX), wish="auto", device=torch.device("cpu"))
    assert chosen.dtype == "float32"


@pytest.mark.parametrize("least_gain", [0, 1e9], ids=["the fast one wins", "the fast one loses"])
def test_an_engine_that_was_not_chosen_is_gone_at_once(
    clip_folder: Path, monkeypatch: pytest.MonkeyPatch, least_gain: float
) -> None:
    """Not when cycles are collected: until then it would keep its weights on the device."""
    monkeypatch.setattr(precision, "_WORTH_MEASURING", 0)
    monkeypatch.setattr(precision, "LEAST_GAIN", least_gain)
    make, made = maker(clip_folder), list[tuple[weakref.ref[Any], weakref.ref[Any]]]()

    def watched(dtype: torch.dtype) -> Engine:
        engine: Engine = make(dtype)
        made.append((weakref.ref(engine), weakref.ref(engine.model.visual_projection.weight)))
        return engine

    gc.collect()
    gc.disable()
    try:
        chosen, _, _ = choose(watched, specimens(TINY_PX), wish="auto", device=torch.device("cpu"))
        alive = [(engine() is not None, weights() is not None) for engine, weights in made]
    finally:
        gc.enable()
    assert len(made) == 2
    assert sorted(alive) == [(False, False), (True, True)]
    assert chosen in [engine() for engine, _ in made]


def test_closeness_sees_a_changed_embedding(clip_folder: Path) -> None:
    engine = maker(clip_folder)(torch.float32)
    rows = [row for row in engine.embed(list(specimens(TINY_PX))) if not isinstance(row, Exception)]
    frame = frame_of(*unpack(rows))
    assert closeness(rows, rows, frame=frame) == (pytest.approx(1), pytest.approx(0, abs=1e-6))
    cosine, difference = closeness(list(np.roll(np.array(rows, dtype=object), 4)), rows, frame=frame)
    assert cosine < 0.9999
    assert difference > 0.005
