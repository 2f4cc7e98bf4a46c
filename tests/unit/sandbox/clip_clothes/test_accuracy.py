"""The weights that read clothes do so on drawings made afresh for this test, and are asked for what they learnt."""

import random
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the dependency group `gpu`")

from transformers import CLIPModel, CLIPTokenizer

from domain.garments import Attribute
from pipeline.preparing.vocabulary import vocabulary_of
from sandbox.clip_clothes.drawings import NO_CLOTHES, NO_HAT, classes, phrases, render, sentences, shown
from sandbox.clip_clothes.train import HOME, accuracy
from sandbox.drawing.characters import Species
from sandbox.drawing.outfits import Garment, Hat
from sandbox.drawing.prompt_words import read_prompt


def test_what_is_worn_and_where_is_read_far_above_chance() -> None:
    model, tokenizer = CLIPModel.from_pretrained(HOME).eval(), CLIPTokenizer.from_pretrained(HOME)
    right = accuracy(model, tokenizer, render(120, seed=2026, processes=1))
    chance = {name: 1 / len(found) for name, found in classes().items()}
    assert min(right["place"], right["hat"], right["sleeves"], right["pattern"]) >= 0.8
    assert right["garment"] >= 0.6
    assert right["species"] >= chance["species"], "learnt beside, and not asked for"


def test_labels_say_what_the_painter_was_asked_for() -> None:
    worn = shown(read_prompt("a fox in a red kimono with a wizard hat in the library"), Species.FOX)
    assert worn == {
        "species": "fox",
        "place": "library",
        "garment": "kimono",
        "hat": "a wizard hat",
        "sleeves": "long sleeves",
        "pattern": "polka dot",
    }
    bare = shown(read_prompt("a fox in the library"), Species.FOX)
    assert (bare["garment"], bare["hat"], bare["sleeves"], bare["pattern"]) == (NO_CLOTHES, NO_HAT, None, None)


def test_every_garment_and_hat_that_is_painted_has_a_sentence() -> None:
    assert set(classes()["garment"]) == {*map(str, Garment), NO_CLOTHES}
    assert len(classes()["hat"]) == len(set(Hat) - {Hat.HOOD}) + 1, "a hood is no hat of a caption"


@pytest.mark.parametrize("attribute", list(classes()))
def test_sentences_of_one_step_differ_in_what_they_ask_about_alone(attribute: str) -> None:
    told = sentences(attribute, random.Random(3))
    count = len(phrases()) if attribute == "place" else len(classes()[attribute])
    assert len(told) == len(set(told)) == count


def test_the_vocabulary_asks_for_what_was_learnt() -> None:
    asked = vocabulary_of(str(HOME))
    assert asked.calibrated
    assert set(asked.attributes[Attribute.GARMENT_TYPE].sentences) == set(classes()["garment"])
    assert set(asked.details["hat"].sentences) == set(classes()["hat"])
    assert set(asked.attributes[Attribute.SLEEVES].sentences) <= set(classes()["sleeves"])
    assert set(asked.attributes[Attribute.PATTERN].sentences) <= set(classes()["pattern"])


def test_the_weights_are_small_enough_to_be_committed() -> None:
    assert Path(HOME / "model.safetensors").stat().st_size < 6_000_000
