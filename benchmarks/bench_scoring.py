"""How many pictures a second are checked, against the loop that everybody writes first?

Hypothesis: shared batches in the arithmetic that is measured to be close enough check at least three times as many
pictures a second as one picture at a time in float32, and the way to the device costs less than a tenth of what the
bare forward pass could do. Control: transformers' own processor and model on the same files, in the same run.
Weights are random: only shapes matter to the clock. Each figure is the best of `--rounds`, after one that is thrown
away; the device is synchronised before the clock is read.

    plain loop     file -> transformers' processor -> float32 model, one picture at a time
    bare forward   a full batch that is on the device already, again and again
    chunk, inputs  stored model inputs -> scores, as `rescore` works
    chunk, files   original files -> scores
    tasks          stored model inputs, one per call, from 64 threads at once, as the queue works

On a machine that others use, wall time measures the others: `--clock cpu --threads 1` counts the processor seconds of
this process instead (torch in one thread, so that nothing spins while it waits).

Command: `python benchmarks/bench_scoring.py [--shape b32] [--pictures 64]`; appends one line per shape to
benchmarks/results/scoring.jsonl.
"""

import argparse
import io
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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
SHAPES: dict[str, dict[str, Any]] = {
    "b32": {"vision": B32, "projection": 512},
    "l14": {"vision": L14, "projection": 768},
}
THREADS = 64


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
    for at in range(number):
        pixels = np.asarray(Image.fromarray(specimens(128)[at % 24]).resize((1024, 1024), Image.Resampling.BICUBIC))
        noisy = np.clip(pixels + dice.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
clock = CLOCKS["wall"]


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock()


def rate(work: Callable[[], object], pictures: int, *, rounds: int, device: torch.device) -> float:
    """Pictures a second in the best of `rounds`; the first round is thrown away."""
    seconds = []
    for _ in range(rounds + 1):
        begun = synchronised(device)
        work()
        seconds.append(synchronised(device) - begun)
    return round(pictures / min(seconds[1:]), 2)


def plain_rate(folder: str, files: Sequence[bytes], *, rounds: int, device: torch.device) -> float:
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


def measure(
    shape: str, *, pictures: int, plain_pictures: int, rounds: int, max_batch: int, device: str
) -> dict[str, Any]:
    files = files_of(pictures)
    with tempfile.TemporaryDirectory() as folder:
        save_model(folder, shape)
        begun = time.perf_counter()
        scorer = ClipScorer.load(folder, device=device, max_batch=max_batch)
        load_s = time.perf_counter() - begun
        at = scorer.engine.device
        plain = plain_rate(folder, files[:plain_pictures], rounds=rounds, device=at)
        figures = our_rates(scorer, files, rounds=rounds)
        scorer.close()
    return {
        "shape": shape,
        "pictures": pictures,
        "max_batch": max_batch,
        "device": torch.cuda.get_device_name(at) if at.type == "cuda" else at.type,
        "threads": torch.get_num_threads(),
        "dtype": scorer.precision.dtype,
        "trials": [asdict(trial) for trial in scorer.precision.trials],
        "load_s": round(load_s, 1),
        "pictures_per_s": {"plain loop": plain, **figures},
        "chunk over plain": round(figures["chunk, inputs"] / plain, 2),
        "files over plain": round(figures["chunk, files"] / plain, 2),
        "chunk over bare": round(figures["chunk, inputs"] / figures["bare forward"], 3),
        "memory_gib": round(torch.cuda.max_memory_allocated(at) / 2**30, 2) if at.type == "cuda" else None,
    }


def our_rates(scorer: ClipScorer, files: Sequence[bytes], *, rounds: int) -> dict[str, float]:
    device = scorer.engine.device
    references = [Reference(sha256=sha256(files[0]), content=files[0])]
    inputs: list[ModelInput | bytes] = [model_input(decode(content).image, scorer.recipe) for content in files]
    stored = [each for each in inputs if isinstance(each, ModelInput)]
    size, number = scorer.recipe.size, min(scorer.batch_limit, len(files))
    arrays = [np.frombuffer(each.pixels, np.uint8).reshape(size, size, 3) for each in stored[:number]]
    on_device = scorer.engine.prepare(arrays).to(device)
    times = max(1, len(files) // number)

    def bare() -> None:
        for _ in range(times):
            scorer.engine.forward(on_device)

    def tasks() -> None:
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(lambda picture: scorer.score([picture], references), stored))

    works: dict[str, tuple[Callable[[], object], int]] = {
        "bare forward": (bare, times * number),
        "chunk, inputs": (lambda: scorer.score_chunk(inputs, references), len(files)),
        "chunk, files": (lambda: scorer.score_chunk(files, references, decoders=os.cpu_count() or 2), len(files)),
        "tasks": (tasks, len(files)),
    }
    return {name: rate(work, count, rounds=rounds, device=device) for name, (work, count) in works.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, action="append", help="default: both")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--plain-pictures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    global clock  # noqa: PLW0603 - one script, one clock
    clock = CLOCKS[options.clock]
    if options.threads:
        torch.set_num_threads(options.threads)
    transformers.utils.logging.disable_progress_bar()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    for shape in options.shape or list(SHAPES):
        figures = measure(
            shape,
            pictures=options.pictures,
            plain_pictures=options.plain_pictures,
            rounds=options.rounds,
            max_batch=options.max_batch,
            device=options.device,
        )
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
