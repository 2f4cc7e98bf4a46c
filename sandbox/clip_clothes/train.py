"""Teach the small CLIP clothes: `python -m sandbox.clip_clothes.train` (about half an hour on two cores).

It starts from the weights that check pictures, which see a figure and forgot what it wears. For each attribute a
picture is matched with one sentence for each class of it, which is CLIP's own loss with sentences that differ in one
word. Whole captions would teach the place, which fills the picture, and clothes hardly at all. Two helps leave no trace
in the weights: the patches where an attribute shows are matched as the whole picture is, and vectors of their own stand
beside the sentences until these can be told apart.
"""

import argparse
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

from sandbox.clip.model import CONTEXT, embed_images, embed_texts, normalised, save
from sandbox.clip.model import HOME as LIKENESS
from sandbox.clip.train import schedule, varied
from sandbox.clip_clothes.drawings import Drawings, classes, render, sentences

HOME: Final = Path(__file__).parent
#: Garments are the hardest to learn, and what the weights are for.
_WEIGHTS: Final = {"garment": 3.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that decides the weights, apart from the machine's rounding.

    Args:
        rounds: steps of each; a round has drawings of its own, and its rate rises and falls anew.
    """

    rounds: tuple[int, ...] = (1600, 3000)
    drawings: int = 8000
    batch: int = 64
    warmup: int = 50
    peak: float = 7e-4
    decay: float = 0.05
    threads: int = 2


class Student:
    """The model that learns, its tokenizer, and the vectors that stand beside the sentences while it does."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder).train()  # nosec B615
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)  # nosec B615
        width = self.model.config.projection_dim
        self.proxies = nn.ParameterDict({name: torch.randn(len(found), width) for name, found in classes().items()})

    def told(self, asked: Mapping[str, Sequence[str]]) -> dict[str, Tensor]:
        """By attribute, (classes, D) rows of unit length."""
        flat = [sentence for said in asked.values() for sentence in said]
        inputs = self.tokenizer(flat, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        pooled = self.model.text_model(**inputs).pooler_output
        rows = functional.normalize(self.model.text_projection(pooled), dim=-1)
        return dict(zip(asked, torch.split(rows, [len(said) for said in asked.values()]), strict=True))

    def loss(self, pixels: Tensor, labels: Mapping[str, Tensor], parts: Tensor, *, dice: random.Random) -> Tensor:
        """The weighted mean cross-entropy of the attributes.

        Args:
            pixels: (N, 3, SIDE, SIDE) normalised. labels: by attribute, (N,), -1 for none.
            parts: (N, patches) the number of the attribute that a patch shows.
        """
        hidden = self.model.vision_model(pixel_values=pixels).last_hidden_state
        projected = self.model.visual_projection(self.model.vision_model.post_layernorm(hidden))
        seen = functional.normalize(projected, dim=-1)
        told = self.told({name: sentences(name, dice) for name in classes()})
        losses: list[Tensor] = []
        weights: list[float] = []
        for number, (name, right) in enumerate(labels.items()):
            where = (parts == number) & (right >= 0)[:, None]
            for words in (told[name], functional.normalize(self.proxies[name], dim=-1)):
                match = self.model.logit_scale.exp() * seen @ words.T
                losses.append(functional.cross_entropy(match[:, 0], right, ignore_index=-1))
                if where.any():
                    by_patch = right[:, None].expand(where.shape)[where]
                    losses.append(functional.cross_entropy(match[:, 1:][where], by_patch))
                weights += [_WEIGHTS.get(name, 1.0)] * (len(losses) - len(weights))
        shares = torch.tensor(weights)
        return (torch.stack(losses) * shares).sum() / shares.sum()


def train(student: Student, recipe: Recipe, drawings: Drawings, held_out: Drawings, *, steps: int, seed: int) -> None:
    """Learn from the drawings; prints every hundred steps how much of others it reads."""
    rng, dice = np.random.default_rng(seed), random.Random(seed)
    learnt = [*student.model.parameters(), *student.proxies.parameters()]
    optimiser = torch.optim.AdamW(learnt, lr=recipe.peak, weight_decay=recipe.decay, betas=(0.9, 0.98))
    began = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.peak * schedule(step, warmup=recipe.warmup, steps=steps)
        chosen = rng.choice(len(drawings.pixels), recipe.batch, replace=False)
        loss = student.loss(*_batch(drawings, chosen, rng), dice=dice)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        with torch.no_grad():
            student.model.logit_scale.clamp_(0, math.log(100))
        if step % 100 == 0 or step == steps - 1:
            right = accuracy(student.model, student.tokenizer, held_out)
            print(f"step {step}: loss {loss.item():.3f}, {right}, {time.monotonic() - began:.0f} s", flush=True)


def _batch(
    drawings: Drawings, chosen: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    labels = {name: torch.from_numpy(found[chosen]) for name, found in drawings.labels.items()}
    parts = torch.from_numpy(drawings.parts[chosen]).flatten(1)
    return normalised(varied(drawings.pixels[chosen], rng)), labels, parts


def accuracy(model: CLIPModel, tokenizer: CLIPTokenizer, drawings: Drawings) -> dict[str, float]:
    """By attribute, how often the nearest sentence is the right one."""
    seen, dice = embed_images(model, drawings.pixels), random.Random(0)
    shares = {}
    for name, labels in drawings.labels.items():
        nearest = (seen @ embed_texts(model, tokenizer, sentences(name, dice)).T).argmax(axis=1)
        shares[name] = round(float((nearest == labels)[labels >= 0].mean()), 2)
    return shares


def main() -> None:
    """Draw the pictures, train, and save the model beside this file."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.clip_clothes.train", description=main.__doc__)
    parser.add_argument("--out", type=Path, default=HOME, help="the model's folder")
    parser.add_argument("--from-round", type=int, default=1, help="go on with what earlier rounds left in that folder")
    asked = parser.parse_args()
    recipe = Recipe()
    torch.set_num_threads(recipe.threads)
    held_out = render(300, seed=0, processes=recipe.threads)
    for number, steps in enumerate(recipe.rounds, 1):
        if number < asked.from_round:
            continue
        torch.manual_seed(number)
        student = Student(LIKENESS if number == 1 else asked.out)
        drawings = render(recipe.drawings, seed=number, processes=recipe.threads)
        train(student, recipe, drawings, held_out, steps=steps, seed=number)
        save(student.model.eval(), student.tokenizer, asked.out)


if __name__ == "__main__":
    main()
