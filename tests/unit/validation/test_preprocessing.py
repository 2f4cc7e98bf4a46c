"""How a model wants its pictures is read from its files, in every spelling, or refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ModelUnloadable
from validation.preprocessing import CLIP_DEFAULT, parse_preprocessing, read_preprocessing

MEAN, STD = list(CLIP_DEFAULT.mean), list(CLIP_DEFAULT.std)

# As openai/clip-vit-large-patch14 publishes it: the old spelling.
OLD_CLIP = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "size": 224,
}
NEW_CLIP = {
    **OLD_CLIP,
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
}
SIGLIP = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"height": 256, "width": 256},
}


def folder_with(folder: Path, name: str, content: object) -> str:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("content", [OLD_CLIP, NEW_CLIP])
def test_old_and_new_spelling_of_clip_are_the_same(content: dict[str, Any], tmp_path: Path) -> None:
    assert read_preprocessing(folder_with(tmp_path, "preprocessor_config.json", content)) == CLIP_DEFAULT


def test_siglip_is_stretched_to_a_square(tmp_path: Path) -> None:
    found = read_preprocessing(folder_with(tmp_path, "preprocessor_config.json", SIGLIP))
    assert (found.size, found.shortest_edge, found.resample, found.mean) == (256, None, "bilinear", (0.5, 0.5, 0.5))


def test_the_nested_form_that_transformers_5_saves_is_read(tmp_path: Path) -> None:
    content = {"image_processor": NEW_CLIP, "processor_class": "CLIPProcessor"}
    assert read_preprocessing(folder_with(tmp_path, "processor_config.json", content)) == CLIP_DEFAULT


def test_a_larger_resize_before_the_crop_is_kept() -> None:
    found = parse_preprocessing({**NEW_CLIP, "size": {"shortest_edge": 256}}, where="here")
    assert (found.shortest_edge, found.size) == (256, 224)


def test_what_is_switched_off_is_left_out() -> None:
    found = parse_preprocessing({**NEW_CLIP, "do_rescale": False, "do_normalize": False}, where="here")
    assert (found.rescale, found.mean, found.std) == (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_a_clip_folder_without_the_file_is_clip_at_its_own_size(tmp_path: Path) -> None:
    config = {"model_type": "clip", "vision_config": {"image_size": 336}}
    found = read_preprocessing(folder_with(tmp_path, "config.json", config))
    assert found == replace(CLIP_DEFAULT, size=336, shortest_edge=336)


def test_openais_published_names_are_known_without_a_download() -> None:
    assert read_preprocessing("openai/clip-vit-large-patch14") == CLIP_DEFAULT
    assert read_preprocessing("openai/clip-vit-large-patch14-336").size == 336


def test_another_name_that_is_not_on_this_machine_is_refused_with_the_command_that_helps() -> None:
    with pytest.raises(ModelUnloadable, match=r"hf download nobody/siglip-of-nowhere preprocessor_config\.json"):
        read_preprocessing("nobody/siglip-of-nowhere")


@pytest.mark.parametrize("model", ["/no/such/folder", "./nowhere", "~/nowhere-at-all", "a/b/c"])
def test_a_path_to_nothing_is_called_that(model: str) -> None:
    with pytest.raises(ModelUnloadable, match="there is no folder"):
        read_preprocessing(model)


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"")
    with pytest.raises(ModelUnloadable, match="is a file"):
        read_preprocessing(str(weights))


def test_a_name_that_no_hub_could_know_is_refused() -> None:
    with pytest.raises(ModelUnloadable, match="neither a folder nor a name"):
        read_preprocessing("two words")


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnloadable, match=r"no preprocessor_config\.json"):
        read_preprocessing(folder_with(tmp_path, "config.json", {"model_type": "bert"}))


@pytest.mark.parametrize("content", ["[1, 2]", "{", ""])
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelUnloadable, match=r"preprocessor_config\.json"):
        read_preprocessing(str(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        {"size": {"height": 224, "width": 200}},
        {"crop_size": {"height": 336, "width": 336}},
        {"do_center_crop": False},
        {"do_resize": False},
        {"resample": 77},
        {"image_mean": [0.5]},
        {"max_num_patches": 256},
    ],
)
def test_what_cannot_be_followed_exactly_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelUnloadable):
        parse_preprocessing({**NEW_CLIP, **change}, where="here")


def test_the_digest_is_stable_and_changes_with_every_value() -> None:
    # Written down: stored scores carry it, so it may change only together with what it stands for.
    assert CLIP_DEFAULT.digest == "12e74ccb94983df4a0447509f9097a7abe8d07669fe6b60f24b359c70e1aa247"
    others = [
        replace(CLIP_DEFAULT, size=336),
        replace(CLIP_DEFAULT, shortest_edge=None),
        replace(CLIP_DEFAULT, resample="bilinear"),
        replace(CLIP_DEFAULT, rescale=1 / 256),
        replace(CLIP_DEFAULT, mean=(0.5, 0.5, 0.5)),
        replace(CLIP_DEFAULT, std=(0.5, 0.5, 0.5)),
    ]
    assert len({each.digest for each in [CLIP_DEFAULT, *others]}) == 7
