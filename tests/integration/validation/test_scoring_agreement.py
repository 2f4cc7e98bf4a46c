"""Our fast path and transformers' own path, from the same file, arrive at the same embedding."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from transformers import AutoModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from tests.support.scoring_models import save_clip_b32, save_tiny_clip, save_tiny_siglip
from tests.support.scoring_pictures import deep, saved, scene, varied
from validation.clip import ClipScorer
from validation.pixels import decode, model_input
from validation.preprocessing import Preprocessing, read_preprocessing
from validation.similarity import unpack


def their_pixels(content: bytes, processor: Any) -> NDArray[np.float32]:
    """(1, 3, S, S), as transformers makes them from the file."""
    with Image.open(io.BytesIO(content)) as opened:
        pixels: NDArray[np.float32] = processor(images=ImageOps.exif_transpose(opened), return_tensors="np")[
            "pixel_values"
        ]
    return pixels


def our_pixels(content: bytes, preprocessing: Preprocessing) -> NDArray[np.float64]:
    """(1, 3, S, S), as the forward pass sees them; of a long picture, the central crop as transformers do."""
    made = model_input(decode(content).image, preprocessing)
    array = np.frombuffer(made.pixels, np.uint8).reshape(-1, made.size, made.size, 3)[:1]
    normal = (array * preprocessing.rescale - preprocessing.mean) / preprocessing.std
    return normal.transpose(0, 3, 1, 2)


def cosines_with_transformers(folder: Path, processor: Any, files: list[bytes]) -> NDArray[np.float64]:
    model = AutoModel.from_pretrained(folder).eval()
    with ClipScorer.load(str(folder), device="cpu", dtype="float32") as scorer, torch.inference_mode():
        ours = scorer.embed([model_input(decode(content).image, scorer.recipe) for content in files])
        cores, _ = unpack([row for row in ours if not isinstance(row, Exception)])
        theirs = [
            model.get_image_features(pixel_values=torch.from_numpy(their_pixels(content, processor))).pooler_output[0]
            for content in files
        ]
    assert len(cores) == len(files)
    other = torch.nn.functional.normalize(torch.stack(theirs), dim=-1).numpy()
    cosines: NDArray[np.float64] = (cores.astype(np.float64) * other).sum(axis=1)
    return cosines


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def siglip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_siglip(tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [content for _, content in varied(48)]


def test_forty_eight_varied_files_embed_as_transformers_embeds_them_with_clip(
    clip_folder: Path, files: list[bytes]
) -> None:
    cosines = cosines_with_transformers(clip_folder, CLIPImageProcessorPil.from_pretrained(clip_folder), files)
    assert cosines.min() >= 0.999


def test_varied_files_embed_as_transformers_embeds_them_with_siglip(siglip_folder: Path, files: list[bytes]) -> None:
    cosines = cosines_with_transformers(siglip_folder, SiglipImageProcessorPil.from_pretrained(siglip_folder), files)
    assert cosines.min() >= 0.999


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_varied_files_embed_as_transformers_embeds_them_with_the_shape_of_b32(tmp_path: Path) -> None:
    folder = save_clip_b32(tmp_path)
    files = [content for _, content in varied(200)]
    cosines = cosines_with_transformers(folder, CLIPImageProcessorPil.from_pretrained(folder), files)
    assert cosines.min() >= 0.999


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_pixels_are_those_of_transformers_to_a_level_of_255(
    kind: str, files: list[bytes], request: pytest.FixtureRequest
) -> None:
    """Random weights call many pictures alike, so the embeddings alone would prove little."""
    folder: Path = request.getfixturevalue(f"{kind}_folder")
    processor = (CLIPImageProcessorPil if kind == "clip" else SiglipImageProcessorPil).from_pretrained(folder)
    preprocessing = read_preprocessing(str(folder))
    level = 1 / 255 / min(preprocessing.std)
    for at, content in enumerate(files):
        difference = np.abs(our_pixels(content, preprocessing) - their_pixels(content, processor))
        assert difference.max() <= 1.01 * level, at


def test_a_strip_too_long_to_be_resized_whole_still_agrees(clip_folder: Path) -> None:
    preprocessing, processor = read_preprocessing(str(clip_folder)), CLIPImageProcessorPil.from_pretrained(clip_folder)
    strips = [saved(scene(1, size), "PNG") for size in ((1, 2000), (2000, 1), (2, 2501), (9000, 5))]
    for strip in strips:
        difference = np.abs(our_pixels(strip, preprocessing) - their_pixels(strip, processor))
        assert difference.mean() * max(preprocessing.std) * 255 < 1
    assert cosines_with_transformers(clip_folder, processor, strips).min() >= 0.999


def test_a_careless_resize_would_have_been_noticed(clip_folder: Path) -> None:
    """The control: without antialiasing the same comparison fails by far."""
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    preprocessing = read_preprocessing(str(clip_folder))
    content = saved(scene(3, (1000, 667)), "PNG")
    careless = saved(decode(content).image.resize((96, 64), Image.Resampling.NEAREST), "PNG")
    difference = np.abs(our_pixels(careless, preprocessing) - their_pixels(content, processor))
    assert difference.max() * max(preprocessing.std) * 255 > 10


def test_sixteen_bit_grey_is_scaled_where_pillow_alone_would_turn_it_white(clip_folder: Path) -> None:
    """The one file on which we differ from transformers on purpose: its path clips every sample above 255."""
    grey = scene(5, (300, 200)).convert("L")
    samples = np.asarray(grey, dtype=np.uint16) * 257
    sixteen = saved(Image.fromarray(samples), "PNG")
    processor = CLIPImageProcessorPil.from_pretrained(clip_folder)
    assert np.ptp(their_pixels(sixteen, processor)[0, 0]) == 0  # one even red channel: white
    assert decode(sixteen).image.tobytes() == grey.convert("RGB").tobytes()


def test_sixteen_bit_colour_keeps_its_upper_byte() -> None:
    image = scene(6, (40, 30))
    assert np.abs(np.asarray(decode(deep(image, colour_type=2)).image, int) - np.asarray(image, int)).max() <= 1
