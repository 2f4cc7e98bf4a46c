"""The small CLIP keeps what its model card says, on characters drawn afresh for this test."""

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the dependency group `gpu`")

from transformers import AutoTokenizer, CLIPModel, CLIPProcessor, CLIPTokenizer

from sandbox.clip.card import card
from sandbox.clip.dataset import small
from sandbox.clip.measure import area, core_scores, measure, separation
from sandbox.clip.model import HOME, embed_images
from sandbox.drawing.characters import LULU
from sandbox.drawing.picture import portrait

EXAMPLE = Path(__file__).parents[4] / "examples" / "lulu-pig"


@pytest.fixture(scope="module")
def model() -> CLIPModel:
    return CLIPModel.from_pretrained(HOME).eval()


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(HOME)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HOME / "figures.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def thresholds() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((EXAMPLE / "character.toml").read_text(encoding="utf-8"))["thresholds"]
    return found


def test_characters_never_seen_are_told_apart_and_sentences_find_their_pictures(
    model: CLIPModel, tokenizer: CLIPTokenizer
) -> None:
    fresh = measure(model, tokenizer, seed="test", per_species=5, scenes=4)
    assert fresh.characters == 40
    assert fresh.auc >= 0.98
    assert fresh.hard_auc >= 0.95
    assert fresh.top1 >= 0.25  # chance is 0.01


def test_the_weights_are_small_enough_to_be_committed() -> None:
    assert (HOME / "model.safetensors").stat().st_size < 6_000_000


def test_the_card_says_what_the_figures_say(figures: dict[str, Any]) -> None:
    assert (HOME / "README.md").read_text(encoding="utf-8") == card(figures)


def test_the_figures_keep_the_promised_floors(figures: dict[str, Any]) -> None:
    assert figures["held_out"]["auc"] >= 0.98
    assert figures["held_out"]["top1"] >= 0.25


def test_the_example_ships_with_the_threshold_that_was_fitted(
    figures: dict[str, Any], thresholds: dict[str, Any]
) -> None:
    fitted = figures["example"]
    assert (thresholds["core"], thresholds["n"], thresholds["auc"]) == (fitted["core"], fitted["n"], fitted["auc"])
    assert (thresholds["origin"], thresholds["model"]) == ("calibrated", "sandbox/clip")


def test_drawings_at_full_weight_mostly_pass_and_at_a_quarter_mostly_fail(
    model: CLIPModel, thresholds: dict[str, Any]
) -> None:
    best = {weight: core_scores(model, weight=weight, seed=77).max(axis=1) for weight in (0.25, 1.0)}
    assert 0.7 <= (best[1.0] >= thresholds["core"]).mean() <= 1.0
    assert (best[0.25] >= thresholds["core"]).mean() <= 0.25


def test_the_ordinary_classes_of_transformers_load_it(model: CLIPModel) -> None:
    processor = CLIPProcessor.from_pretrained(HOME)
    picture = portrait(LULU, seed=4, size=300)
    inputs = processor(
        text=["a pink pig with a teal scarf"], images=picture, return_tensors="pt", padding=True, truncation=True
    )
    output = model(**inputs)
    ours = embed_images(model, small(picture)[None])[0]
    assert float(output.image_embeds[0].detach().numpy() @ ours) > 0.999
    assert output.text_embeds.shape == output.image_embeds.shape == (1, 64)


def test_the_tokenizer_reads_what_it_was_not_taught(tokenizer: CLIPTokenizer) -> None:
    odd = "Ünïcödé 🐷 7!"
    again = AutoTokenizer.from_pretrained(HOME)
    assert again(odd)["input_ids"] == tokenizer(odd)["input_ids"]
    numbers = tokenizer(odd)["input_ids"]
    assert (numbers[0], numbers[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer.eos_token_id not in numbers[1:-1]


def test_the_area_is_the_chance_of_the_right_order_with_ties_half() -> None:
    assert area(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == 0.875


def test_the_separation_lies_in_the_middle_of_the_gap() -> None:
    assert separation(np.array([0.8, 0.9]), np.array([0.1, 0.4])) == 0.6
