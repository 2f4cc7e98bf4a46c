"""How many pictures a second are checked, against the loop that everybody writes first?

Hypothesis: shared batches in the arithmetic that is measured to be close enough check at least three times as many
pictures a second as one picture at a time in float32, and the way to the device costs less than a tenth of what the
bare forward pass could do. Control: transformers' own processor and model on the same files, in the same run.
On a GPU: in bulk at least 80 % of the bare forward's pictures a second, and more than the anchors.
Weights are random: only shapes matter to the clock. Each figure is the best of `--rounds`, with their median beside it,
after one that is thrown away; the device is synchronised before the clock is read.

    plain loop     file -> transformers' processor -> float32 model, one picture at a time
    bare forward   a full batch that is on the device already, again and again
    chunk, inputs  stored model inputs -> scores, as `rescore` works
    chunk, files   original files -> scores
    tasks          stored model inputs, one per call, from 64 threads at once, as the queue works

The ceiling is a large matrix product in the scorer's arithmetic, measured in the same run; the share of it counts the
operations of the image tower's matrix products (`operations`), and nothing else that the device does.

On a machine that others use, wall time measures the others: `--clock cpu --threads 1` counts the processor seconds of
this process instead (torch in one thread, so that nothing spins while it waits).

Command: `python benchmarks/bench_scoring.py [--preset gpu] [--shape b32] [--pictures 64]`; appends one line per shape
to benchmarks/results/scoring.jsonl. What is named wins over the preset: `gpu` is ViT-L/14 on CUDA, `tiny` shows on any
machine and in a minute that the script runs.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from transformers import AutoModel, CLIPConfig, CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from domain.ids import sha256
from validation.base import ModelInput, Reference
from validation.clip import ClipScorer
from validation.pixels import decode, model_input
from validation.specimens import specimens

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scoring.jsonl"
# A text tower is only there because a CLIP has one.
TEXT = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
B32 = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 32,
}
L14 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "patch_size": 32,
}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vision": TINY, "projection": 64},
    "b32": {"vision": B32, "projection": 512},
    "l14": {"vision": L14, "projection": 768},
}
THREADS = 64
# Distinct files; more pictures are the same ones again, which nothing here remembers.
FILES = 16
# ViT-L/14 end to end, as the projects themselves report it, in pictures a second.
ANCHORS = {"clip-retrieval, A100, ViT-L/14": 312, "clip-as-service, TITAN RTX, ViT-L/14": 140}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What is measured where the command line does not say otherwise.

    Args:
        matrix: rows and columns of the product whose rate is the ceiling; too large for any cache on a GPU.
    """

    shapes: tuple[str, ...]
    pictures: int
    plain_pictures: int
    rounds: int
    max_batch: int
    matrix: int
    device: str = "auto"


PRESETS = {
    "cpu": Preset(shapes=("b32", "l14"), pictures=64, plain_pictures=8, rounds=2, max_batch=16, matrix=1024),
    "gpu": Preset(
        shapes=("l14",), pictures=4096, plain_pictures=64, rounds=5, max_batch=256, matrix=8192, device="cuda"
    ),
    "tiny": Preset(shapes=("tiny",), pictures=64, plain_pictures=4, rounds=2, max_batch=16, matrix=256),
}


def save_model(folder: str, shape: str) -> None:
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**TEXT, "max_position_embeddings": 8, "bos_token_id": 1, "eos_token_id": 2},
        vision_config=SHAPES[shape]["vision"],
        projection_dim=SHAPES[shape]["projection"],
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)


def files_of(number: int) -> list[bytes]:
    """JPEG files of 1024 pixels, as services return them."""
    made = []
    dice = np.random.default_rng(0)
    small = specimens(128)  # (24, 128, 128, 3)
    for at in range(number):
        pixels = np.asarray(Image.fromarray(small[at % len(small)]).resize((1024, 1024), Image.Resampling.BICUBIC))
        noisy = np.clip(pixels + dice.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def repeated(some: Sequence[Any], number: int) -> list[Any]:
    return [some[at % len(some)] for at in range(number)]


def operations(config: Any) -> int:
    """Floating-point operations of one picture in the matrix products of the image tower; two for each multiply-add."""
    vision = config.vision_config
    width, inner, layers = vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers
    patches = (vision.image_size // vision.patch_size) ** 2
    tokens = patches + 1
    embedding = 2 * patches * 3 * vision.patch_size**2 * width
    # Four projections of every token, the two products of attention, two of the layer behind it.
    layer = 8 * tokens * width**2 + 4 * tokens**2 * width + 4 * tokens * width * inner
    return embedding + layers * layer + 2 * width * config.projection_dim


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many a second."""

    best: float
    median: float


def rate(work: Callable[[], object], count: float, *, rounds: int, device: torch.device) -> Rate:
    """`count` over the seconds of `work`; the first round is thrown away."""
    seconds = []
    for _ in range(rounds + 1):
        begun = synchronised(device)
        work()
        seconds.append(synchronised(device) - begun)
    kept = seconds[1:]
    return Rate(best=_short(count / min(kept)), median=_short(count / statistics.median(kept)))


def _short(figure: float) -> float:
    return float(f"{figure:.4g}")


def ceiling(dtype: torch.dtype, *, size: int, rounds: int, device: torch.device) -> Rate:
    """Teraoperations a second of a matrix product of (size, size) matrices, random as data are."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(left)
    times = 20

    def products() -> None:
        for _ in range(times):
            torch.mm(left, right, out=out)

    return rate(products, times * 2 * size**3 / 1e12, rounds=rounds, device=device)


def plain_rate(folder: str, files: Sequence[bytes], *, rounds: int, device: torch.device) -> Rate:
    """The loop that everybody writes first; its model is gone afterwards."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).to(device).eval()
    processor = CLIPImageProcessorPil.from_pretrained(folder)

    def loop() -> list[float]:
        first, scores = None, []
        for content in files:
            inputs = processor(images=Image.open(io.BytesIO(content)), return_tensors="pt").to(device)
            with torch.no_grad():
                embedding = model.get_image_features(**inputs).pooler_output[0]
            first = embedding if first is None else first
            scores.append(torch.cosine_similarity(embedding, first, dim=0).item())
        return scores

    return rate(loop, len(files), rounds=rounds, device=device)


def measure(shape: str, preset: Preset, *, dtype: str) -> dict[str, Any]:
    files = files_of(min(FILES, preset.pictures))
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder, shape)
        begun = time.perf_counter()
        scorer = ClipScorer.load(folder, device=preset.device, dtype=dtype, max_batch=preset.max_batch)
        load_s = time.perf_counter() - begun
        at = scorer.engine.device
        if at.type == "cuda" and clock is not time.perf_counter:
            raise SystemExit("the processor's seconds say nothing about a GPU; leave --clock out")
        plain = plain_rate(folder, repeated(files, preset.plain_pictures), rounds=preset.rounds, device=at)
        top = ceiling(scorer.engine.dtype, size=preset.matrix, rounds=preset.rounds, device=at)
        memory = Memory(at)  # from here on: neither the loading nor the plain loop counts
        rates = {"plain loop": plain, **our_rates(scorer, files, preset)}
        figures = record(scorer, rates, ceiling_tflops=top)
        scorer.close()
    return {
        "shape": shape,
        "pictures": preset.pictures,
        "max_batch": preset.max_batch,
        "threads": torch.get_num_threads(),
        "load_s": round(load_s, 1),
        **figures,
        **memory.used(),
    }


class Memory:
    """The device's memory from now on, in GiB; nothing is known of a processor's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        self._weights = 0
        if self._device is not None:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
            self._weights = torch.cuda.memory_allocated(self._device)

    def used(self) -> dict[str, float | None]:
        if self._device is None:
            return {"weights_gib": None, "memory_gib": None, "reserved_gib": None}
        return {
            "weights_gib": round(self._weights / 2**30, 2),
            "memory_gib": round(torch.cuda.max_memory_allocated(self._device) / 2**30, 2),
            "reserved_gib": round(torch.cuda.max_memory_reserved(self._device) / 2**30, 2),
        }


def record(scorer: ClipScorer, rates: dict[str, Rate], *, ceiling_tflops: Rate) -> dict[str, Any]:
    """What was measured, and how the figures stand to each other: best to best."""
    best = {name: each.best for name, each in rates.items()}
    per_picture = operations(scorer.engine.model.config) / 1e12
    # The plain loop is in float32, whose ceiling is another.
    ours = {name: round(best[name] * per_picture / ceiling_tflops.best, 3) for name in best if name != "plain loop"}
    return {
        "device": scorer.precision.device,
        "dtype": scorer.precision.dtype,
        "trials": scorer.precision.as_json()["trials"],
        "pictures_per_s": best,
        "median_pictures_per_s": {name: each.median for name, each in rates.items()},
        "gflop_per_picture": _short(per_picture * 1000),
        "ceiling_tflops": {"best": ceiling_tflops.best, "median": ceiling_tflops.median},
        "share of ceiling": ours,
        "chunk over plain": round(best["chunk, inputs"] / best["plain loop"], 2),
        "files over plain": round(best["chunk, files"] / best["plain loop"], 2),
        "chunk over bare": round(best["chunk, inputs"] / best["bare forward"], 3),
        "anchors_per_s": ANCHORS,
    }


def our_rates(scorer: ClipScorer, files: Sequence[bytes], preset: Preset) -> dict[str, Rate]:
    device, pictures = scorer.engine.device, preset.pictures
    references = [Reference(sha256=sha256(files[0]), content=files[0])]
    made = [model_input(decode(content).image, scorer.recipe) for content in files]
    stored: list[ModelInput] = repeated(made, pictures)
    originals: list[bytes] = repeated(files, pictures)
    size, number = scorer.recipe.size, min(scorer.batch_limit, pictures)
    arrays = [np.frombuffer(each.pixels, np.uint8).reshape(size, size, 3) for each in stored[:number]]
    on_device = scorer.engine.prepare(arrays).to(device)
    times = max(1, pictures // number)
    decoders = max(1, (os.cpu_count() or 2) - 1)

    def bare() -> None:
        for _ in range(times):
            scorer.engine.forward(on_device)

    def tasks() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda picture: scorer.score([picture], references), stored))

    works: dict[str, tuple[Callable[[], object], int]] = {
        "bare forward": (bare, times * number),
        "chunk, inputs": (lambda: scorer.score_chunk(stored, references), pictures),
        "chunk, files": (lambda: scorer.score_chunk(originals, references, decoders=decoders), pictures),
        "tasks": (tasks, pictures),
    }
    return {name: rate(work, count, rounds=preset.rounds, device=device) for name, (work, count) in works.items()}


def read_options() -> tuple[argparse.Namespace, Preset]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--shape", choices=SHAPES, action="append")
    for name in ("pictures", "plain-pictures", "rounds", "max-batch", "matrix"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--device")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    names = ("pictures", "plain_pictures", "rounds", "max_batch", "matrix", "device")
    named: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.shape:
        named["shapes"] = tuple(options.shape)
    return options, replace(PRESETS[options.preset], **named)


def main() -> None:
    options, preset = read_options()
    global clock  # noqa: PLW0603 - one script, one clock
    clock = CLOCKS[options.clock]
    if options.threads:
        torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for shape in preset.shapes:
        figures = measure(shape, preset, dtype=options.dtype)
        line = {
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "commit": commit.stdout.strip(),
            "clock": options.clock,
            "load": round(os.getloadavg()[0], 1),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            **figures,
        }
        print(json.dumps(line, indent=2))
        with options.results.open("a", encoding="utf-8") as results:
            results.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
