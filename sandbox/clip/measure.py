"""Measure the small CLIP on unseen characters: `python -m sandbox.clip.measure` prints the figures.

They hold for the sandbox's drawings only, not for photos.
"""

import csv
import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from transformers import CLIPModel, CLIPTokenizer

from sandbox.clip.captions import scene, sentence
from sandbox.clip.card import card
from sandbox.clip.dataset import small
from sandbox.clip.model import HOME, embed_images, embed_texts
from sandbox.drawing.characters import Likeness, Species, invent
from sandbox.drawing.picture import draw, paint, read_likeness

EXAMPLE = Path(__file__).parents[2] / "examples" / "lulu-pig"
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_DRAWN = (256, 256)

Rows: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Figures of one held-out set.

    Args:
        auc: the chance that two pictures of one character (in different scenes) are nearer than pictures of two.
        hard_auc: the same against other characters of its species in the same scene only.
        top1: share of sentences whose own picture is the nearest of `pictures`.
    """

    characters: int
    auc: float
    hard_auc: float
    pictures: int
    top1: float
    same: dict[str, float]
    other: dict[str, float]


def measure(model: CLIPModel, tokenizer: CLIPTokenizer, *, seed: str, per_species: int, scenes: int) -> Measured:
    """Draw a fresh held-out set from the seed and measure the model on it.

    Characters are invented from a generator that training never uses; all of a species appear in the same scenes.
    """
    pixels, owners, places = [], [], []
    for kind in Species:
        rng = random.Random(f"held-out/{seed}/{kind}")
        about = [scene(rng) for _ in range(scenes)]
        for member in range(per_species):
            likeness = invent(rng, species=kind)
            for place, said in enumerate(about):
                picture = paint(said, likeness, seed=place, variation=rng.randrange(4), size=_DRAWN)
                pixels.append(small(picture))
                owners.append(f"{kind}/{member}")
                places.append(f"{kind}/{place}")
    rows = embed_images(model, np.stack(pixels))
    owner, place_of = np.asarray(owners), np.asarray(places)
    upper = np.triu(np.ones((len(rows), len(rows)), dtype=bool), k=1)
    likeness_of = rows @ rows.T
    same = likeness_of[upper & (owner[:, None] == owner[None])]
    other = likeness_of[upper & (owner[:, None] != owner[None])]
    hard = likeness_of[upper & (owner[:, None] != owner[None]) & (place_of[:, None] == place_of[None])]
    pictures = 100
    return Measured(
        characters=len(set(owners)),
        auc=round(area(same, other), 4),
        hard_auc=round(area(same, hard), 4),
        pictures=pictures,
        top1=_retrieval(model, tokenizer, seed=seed, pictures=pictures),
        same=spread(same),
        other=spread(other),
    )


def area(above: Rows, below: Rows) -> float:
    """The chance that a value of `above` exceeds one of `below`, ties half: the area under the ROC curve."""
    ordered = np.sort(below)
    wins = np.searchsorted(ordered, above, side="left") + np.searchsorted(ordered, above, side="right")
    return float(wins.mean() / (2 * len(below)))


def spread(values: Rows) -> dict[str, float]:
    """Mean and percentiles, to three places."""
    marks = {f"p{mark}": float(np.percentile(values, mark)) for mark in (2, 10, 50, 90, 98)}
    return {name: round(value, 3) for name, value in {"mean": float(values.mean()), **marks}.items()}


def example_references(folder: Path = EXAMPLE) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "references").glob("*.png"))]


def example_prompts(folder: Path = EXAMPLE) -> list[str]:
    with (folder / "prompts.csv").open(encoding="utf-8", newline="") as opened:
        return [row["prompt"] for row in csv.DictReader(opened)]


def core_scores(model: CLIPModel, *, weight: float, seed: int) -> Rows:
    """(prompts, 4) core scores of the example batch: the highest cosine with one of the references."""
    likenesses, references = _example(model)
    pixels = [
        small(draw(prompt, references=likenesses, weight=weight, seed=seed + row, variation=variation, size=_DRAWN))
        for row, prompt in enumerate(example_prompts())
        for variation in range(4)
    ]
    scores: Rows = (embed_images(model, np.stack(pixels)) @ references.T).max(axis=1).reshape(-1, 4)
    return scores


def separation(true: Rows, false: Rows) -> float:
    """The threshold that tells two sets of scores apart best: the middle of the best gap (Youden's index)."""
    marks = np.unique(np.concatenate([true, false]))
    middles = (marks[1:] + marks[:-1]) / 2
    gain = [(true >= mark).mean() - (false >= mark).mean() for mark in middles]
    best = np.flatnonzero(np.isclose(gain, max(gain)))
    return round(float(middles[best].mean()), 3)


def calibrate(model: CLIPModel, *, seed: int) -> dict[str, Any]:
    """The core threshold of the example character, and what it makes of drawings at each weight.

    The threshold tells drawings of the character itself from what comes out at weight 0.25 and from other characters
    of its species; a drawing at weight 1 that is off model may rightly fall on the wrong side.
    """
    likenesses, references = _example(model)
    rng = random.Random(f"calibration/{seed}")
    pixels = [
        small(paint(prompt, who, seed=seed + 500 + row, variation=row % 4, size=_DRAWN))
        for row, prompt in enumerate(example_prompts())
        for who in (likenesses[0], likenesses[0], invent(rng, species=likenesses[0].species))
    ]
    scores = (embed_images(model, np.stack(pixels)) @ references.T).max(axis=1).reshape(-1, 3)
    true = scores[:, :2].ravel()
    false = np.concatenate([scores[:, 2], core_scores(model, weight=0.25, seed=seed + 900).ravel()])
    core = separation(true, false)
    by_weight = {}
    for weight in WEIGHTS:
        drawn = core_scores(model, weight=weight, seed=seed)
        accepted = {
            "pictures": float((drawn >= core).mean()),
            "best_of_four": float((drawn.max(axis=1) >= core).mean()),
        }
        by_weight[str(weight)] = spread(drawn.ravel()) | {f"accepted_{k}": round(v, 3) for k, v in accepted.items()}
    return {
        "core": core,
        "n": len(true) + len(false),
        "auc": round(area(true, false), 4),
        "itself": spread(true),
        "others": spread(false),
        "core_score_by_weight": by_weight,
    }


def figures(folder: Path = HOME) -> dict[str, Any]:
    """Everything `figures.json` says of the model in the folder, but for how it was trained."""
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)  # nosec B615
    held_out = measure(model, tokenizer, seed="figures", per_species=15, scenes=5)
    shape = {
        "parameters": f"{model.num_parameters() / 1e6:.1f} million",
        "side": model.config.vision_config.image_size,
        "patch": model.config.vision_config.patch_size,
        "context": model.config.text_config.max_position_embeddings,
        "dimensions": model.config.projection_dim,
    }
    return {"shape": shape, "held_out": asdict(held_out), "example": calibrate(model, seed=4000)}


def write_figures(folder: Path, *, recipe: dict[str, Any], seconds: float) -> None:
    """Measure the model in the folder and write `figures.json` and the model card beside it."""
    document = {"recipe": recipe, "trained_s": round(seconds), "machine": "2 cores, shared"} | figures(folder)
    (folder / "figures.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card(document), encoding="utf-8")


def _example(model: CLIPModel) -> tuple[list[Likeness], Rows]:
    from io import BytesIO

    from PIL import Image

    files = example_references()
    pixels = np.stack([small(Image.open(BytesIO(file)).convert("RGB")) for file in files])
    return [read_likeness(file) for file in files], embed_images(model, pixels)


def _retrieval(model: CLIPModel, tokenizer: CLIPTokenizer, *, seed: str, pictures: int) -> float:
    rng = random.Random(f"retrieval/{seed}")
    pixels, sentences = [], []
    for number in range(pictures):
        likeness, about = invent(rng), scene(rng)
        pixels.append(small(paint(about, likeness, seed=number, variation=number % 4, size=_DRAWN)))
        sentences.append(sentence(likeness, about, rng))
    match = embed_texts(model, tokenizer, sentences) @ embed_images(model, np.stack(pixels)).T
    return float((match.argmax(axis=1) == np.arange(pictures)).mean())


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
