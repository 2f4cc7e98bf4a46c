"""Train the small CLIP: `python -m sandbox.clip.train` (about 15 minutes on two cores).

Two losses per batch: pictures of one character attract each other and repel similar ones in the same scenes, and
pictures attract their captions. Ends with the measurements of `measure.py`.
"""

import argparse
import math
import random
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from sandbox.clip.captions import scene, sentence
from sandbox.clip.dataset import MEMBERS, SCENES, SIDE, Pictures, render, reopen
from sandbox.clip.measure import write_figures
from sandbox.clip.model import CONTEXT, HOME, build_model, build_tokenizer, normalised, save
from sandbox.drawing.characters import invent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, apart from the machine's rounding.

    Args:
        families: of look-alikes to learn from; per_batch: of them in one step, each member in two scenes.
        warmth: temperature of the character loss. sentences_share: weight of the sentence loss beside it.
    """

    seed: int = 1
    families: int = 800
    per_batch: int = 16
    steps: int = 2500
    warmup: int = 100
    peak: float = 1.5e-3
    decay: float = 0.05
    warmth: float = 0.12
    sentences_share: float = 0.5
    threads: int = 2


def train(recipe: Recipe, pictures: Pictures) -> tuple[CLIPModel, CLIPTokenizer]:
    """Learn from the pictures; prints a line every fifty steps."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    rng = np.random.default_rng(recipe.seed)
    tokenizer = build_tokenizer(_corpus(recipe.seed))
    model = build_model(tokenizer).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.peak, weight_decay=recipe.decay, betas=(0.9, 0.98))
    began = time.monotonic()
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.peak * schedule(step, warmup=recipe.warmup, steps=recipe.steps)
        images, sentences = _batch(pictures, rng, families=recipe.per_batch)
        with torch.autocast("cpu", torch.bfloat16):
            seen = model.visual_projection(model.vision_model(pixel_values=images).pooler_output)
        own = functional.normalize(seen.float(), dim=-1)
        same = _character_loss(own, warmth=recipe.warmth)
        said = _sentence_loss(model, tokenizer, own, sentences)
        optimiser.zero_grad()
        torch.autograd.backward(same + recipe.sentences_share * said)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if step % 50 == 0 or step == recipe.steps - 1:
            losses = f"character {same.item():.3f} sentence {said.item():.3f}"
            print(f"step {step}: {losses}, {time.monotonic() - began:.0f} s", flush=True)
    return model.eval(), tokenizer


def schedule(step: int, *, warmup: int, steps: int) -> float:
    """The share of the peak rate at a step: it rises evenly, then falls as half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _corpus(seed: int) -> list[str]:
    rng = random.Random(f"corpus/{seed}")
    return [sentence(invent(rng), scene(rng), rng) for _ in range(6000)]


def _batch(pictures: Pictures, rng: np.random.Generator, *, families: int) -> tuple[Tensor, list[str]]:
    """Every member of some families in the same two scenes, and some of the sentences.

    Returns:
        Pictures (2 * families * MEMBERS, 3, SIDE, SIDE), by scene, family and member, shifted and tinted a little; and
        the sentences of the first members in the first scene, then of the last members in the second.
    """
    chosen = rng.choice(len(pictures.pixels), families, replace=False)
    views = np.stack([rng.choice(SCENES, 2, replace=False) for _ in range(families)], axis=1)
    drawn = np.concatenate(
        [pictures.pixels[family, :, view] for row in views for family, view in zip(chosen, row, strict=True)]
    )
    said = [
        pictures.sentences[family][member][view]
        for member, row in ((0, views[0]), (MEMBERS - 1, views[1]))
        for family, view in zip(chosen, row, strict=True)
    ]
    return normalised(varied(drawn, rng)), said


def varied(drawn: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """(N, SIDE, SIDE, 3) the same, each shifted and tinted a little."""
    padded = np.pad(drawn, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
    varied = np.empty_like(drawn)
    for index, (left, top) in enumerate(rng.integers(0, 9, (len(drawn), 2))):
        tint = rng.uniform(0.96, 1.04, 3)
        cut = padded[index, top : top + SIDE, left : left + SIDE]
        varied[index] = np.clip(cut * tint, 0, 255)
    return varied


def _character_loss(own: Tensor, *, warmth: float) -> Tensor:
    """Each picture must find the other one of its character among all of the batch (NT-Xent).

    Args:
        own: (2 N, D) of unit length; row i and row N + i show the same character.

    Source: Chen et al. 2020, "A Simple Framework for Contrastive Learning", equation 1.
    """
    count = len(own) // 2
    likeness = own @ own.T / warmth
    likeness = likeness.masked_fill(torch.eye(2 * count, dtype=torch.bool), float("-inf"))
    partner = torch.arange(2 * count).roll(count)
    return functional.cross_entropy(likeness, partner)


def _sentence_loss(model: CLIPModel, tokenizer: CLIPTokenizer, own: Tensor, sentences: list[str]) -> Tensor:
    """The symmetric loss of CLIP over the pictures that `sentences` belong to.

    Source: Radford et al. 2021, figure 3.
    """
    inputs = tokenizer(sentences, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
    said = functional.normalize(model.text_projection(model.text_model(**inputs).pooler_output), dim=-1)
    families = len(sentences) // 2
    views = own.view(2, families, MEMBERS, -1)
    seen = torch.cat([views[0, :, 0], views[1, :, MEMBERS - 1]])
    match = model.logit_scale.exp() * seen @ said.T
    right = torch.arange(len(sentences))
    return (functional.cross_entropy(match, right) + functional.cross_entropy(match.T, right)) / 2


def main() -> None:
    """Draw the pictures, train, save the model beside this file and measure it on characters it has never seen."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.clip.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=HOME, help="the model's folder")
    parser.add_argument("--pictures", type=Path, help="a .npy file: used again if it is there, else written")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    asked = parser.parse_args()
    recipe = Recipe(steps=asked.steps)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.pictures or Path(folder) / "pictures.npy"
        if path.exists():
            pictures = reopen(path)
        else:
            pictures = render(path, families=recipe.families, seed=recipe.seed, processes=recipe.threads)
        model, tokenizer = train(recipe, pictures)
    save(model, tokenizer, asked.out)
    write_figures(asked.out, recipe=asdict(recipe), seconds=time.monotonic() - began)


if __name__ == "__main__":
    main()
