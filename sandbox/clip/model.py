"""The small CLIP: architecture, tokenizer, and its folder in transformers format."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, CLIPTokenizer

from sandbox.clip.dataset import SIDE

HOME = Path(__file__).parent
CONTEXT = 40
_VOCABULARY = 1024
_START, _END = "<|startoftext|>", "<|endoftext|>"
# The usual statistics of CLIP.
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def build_tokenizer(sentences: Iterable[str]) -> CLIPTokenizer:
    """Byte pairs learnt from the sentences, on words split as CLIP's own tokenizer splits them."""
    like = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    learner.normalizer, learner.pre_tokenizer = like.normalizer, like.pre_tokenizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Every byte also as the end of a word, which the learner alone would keep only where it has seen it.
    endings = [f"{letter}</w>" for letter in alphabet]
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY - len(endings),
        initial_alphabet=alphabet,
        special_tokens=[_START, _END],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(sentences, trainer)
    learnt = json.loads(learner.to_str())["model"]
    words = list(dict.fromkeys([_START, _END, *learnt["vocab"], *endings]))
    merges = [tuple(pair) for pair in learnt["merges"]]
    return CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=merges, model_max_length=CONTEXT
    )


def build_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A fresh model: 1.2 million parameters, 36 patches of 16 pixels, 64 dimensions."""
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 96,
            "intermediate_size": 384,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT,
            "projection_dim": 64,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 128,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": 16,
            "projection_dim": 64,
        },
        projection_dim=64,
    )
    return CLIPModel(config)


def save(model: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the folder that `CLIPModel`, `CLIPProcessor` and `CLIPTokenizer` read."""
    images = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, image_mean=MEAN, image_std=STD
    )
    model.save_pretrained(folder)
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    images.save_pretrained(folder)


def normalised(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """(N, SIDE, SIDE, 3) uint8 to (N, 3, SIDE, SIDE) float32, as the processor does it."""
    scaled = torch.tensor(pixels).permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def embed_images(model: CLIPModel, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, 64) float32, rows of unit length."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pixels), 64):
            pooled = model.vision_model(pixel_values=normalised(pixels[start : start + 64])).pooler_output
            rows.append(torch.nn.functional.normalize(model.visual_projection(pooled), dim=-1).numpy())
    return np.concatenate(rows)


def embed_texts(model: CLIPModel, tokenizer: CLIPTokenizer, sentences: list[str]) -> npt.NDArray[np.float32]:
    """(N, 64) float32, rows of unit length."""
    with torch.inference_mode():
        inputs = tokenizer(sentences, padding=True, truncation=True, max_length=CONTEXT, return_tensors="pt")
        projected = model.text_projection(model.text_model(**inputs).pooler_output)
        unit: npt.NDArray[np.float32] = torch.nn.functional.normalize(projected, dim=-1).numpy()
    return unit
