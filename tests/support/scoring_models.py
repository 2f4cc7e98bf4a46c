"""Models with random weights, made on the fly in the ordinary transformers format: no download, no fixture file."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

TINY_PX = 64
_TINY_VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "image_size": TINY_PX,
    "patch_size": 8,
}
_TINY_TEXT = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 8,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def save_tiny_clip(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    CLIPModel(CLIPConfig(text_config=_TINY_TEXT, vision_config=_TINY_VISION, projection_dim=48)).save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": TINY_PX}, crop_size={"height": TINY_PX, "width": TINY_PX}
    ).save_pretrained(folder)
    return folder


def save_tiny_siglip(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    SiglipModel(SiglipConfig(text_config=_TINY_TEXT, vision_config=_TINY_VISION)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": TINY_PX, "width": TINY_PX}).save_pretrained(folder)
    return folder


def save_clip_b32(folder: Path) -> Path:
    """The shape of ViT-B/32 behind a text tower that is only there because a CLIP has one."""
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=_TINY_TEXT)).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder
