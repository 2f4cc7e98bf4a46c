"""Texts through the towers of SigLIP, of both kinds, and of CLIP: as each was trained to read them."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import CLIPModel, CLIPTokenizer, PreTrainedTokenizerFast, SiglipModel

from tests.support.scoring_models import save_tiny_siglip
from validation.clip import ClipScorer
from validation.engine import Engine

CLIP = Path(__file__).parents[3] / "sandbox" / "clip"

# As the published ones: the end stands behind the text, and the context is filled up.
_PIECES = ("<pad>", "</s>", "<unk>", "▁lulu", "▁pig", "▁in", "▁the", "▁rain", ",")
_CONTEXT = 8


def save_tiny_siglip_with_tokenizer(folder: Path, *, tokenizer_class: str) -> Path:
    save_tiny_siglip(folder)
    pieces = Tokenizer(models.Unigram([(piece, -float(rank)) for rank, piece in enumerate(_PIECES)], unk_id=2))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=pieces, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", padding_side="right"
    ).save_pretrained(folder)
    described = folder / "tokenizer_config.json"
    told = json.loads(described.read_text(encoding="utf-8")) | {"tokenizer_class": tokenizer_class}
    described.write_text(json.dumps(told), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("tokenizer_class", "pieces"),
    [
        ("SiglipTokenizer", ["▁lulu", "▁pig", "▁in", "▁the", "▁rain"]),
        ("GemmaTokenizer", ["▁lulu", "▁pig", ",", "▁in", "▁the", "▁rain"]),
    ],
)
def test_a_siglip_reads_a_text_as_it_was_trained_to(tmp_path: Path, tokenizer_class: str, pieces: list[str]) -> None:
    folder = save_tiny_siglip_with_tokenizer(tmp_path, tokenizer_class=tokenizer_class)
    with ClipScorer.load(str(folder), device="cpu") as scorer:
        told = scorer.embed_text("Lulu Pig, in  the RAIN")
        long = scorer.embed_text("in the rain " * 100)
    numbers = [_PIECES.index(piece) for piece in (*pieces, "</s>")]
    numbers += [0] * (_CONTEXT - len(numbers))
    with torch.inference_mode():
        theirs = SiglipModel.from_pretrained(folder).get_text_features(input_ids=torch.tensor([numbers]))
    expected = torch.nn.functional.normalize(theirs.pooler_output, dim=-1)[0].numpy()
    assert told is not None
    assert np.frombuffer(told, dtype="<f4") == pytest.approx(expected, abs=1e-5)
    assert long is not None, "cut where the context ends"


def test_texts_of_many_threads_are_told_as_they_are_alone(tmp_path: Path) -> None:
    folder = save_tiny_siglip_with_tokenizer(tmp_path, tokenizer_class="GemmaTokenizer")
    words = ("lulu", "pig", "in", "the", "rain")
    texts = [" ".join(words[(number + step) % 5] for step in range(1 + number // 5)) for number in range(30)]
    with ClipScorer.load(str(folder), device="cpu") as scorer:
        alone = [scorer.embed_text(text) for text in texts]
    with ClipScorer.load(str(folder), device="cpu") as scorer, ThreadPoolExecutor(max_workers=16) as pool:
        together = list(pool.map(scorer.embed_text, texts))
    for one, other in zip(alone, together, strict=True):
        assert one is not None
        assert other is not None
        assert np.frombuffer(other, dtype="<f4") == pytest.approx(np.frombuffer(one, dtype="<f4"), abs=1e-5)


def test_a_clip_reads_a_text_with_no_more_padding_than_those_beside_it_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text ends at its own end and no token of it sees a later one, so that padding changes nothing."""
    texts = ["a pink pig", "a pink pig in the rain with a red hat, on a car", "a blue dog"]
    lengths: list[int] = []
    embed_tokens = Engine.embed_tokens

    def seen(engine: Engine, tokens: Mapping[str, torch.Tensor]) -> torch.Tensor:
        lengths.append(tokens["input_ids"].shape[1])
        return embed_tokens(engine, tokens)

    monkeypatch.setattr(Engine, "embed_tokens", seen)
    with ClipScorer.load(str(CLIP), device="cpu") as scorer:
        told = [scorer.embed_text(text) for text in texts]
        long = scorer.embed_text("in the rain " * 100)
    model, tokenizer = CLIPModel.from_pretrained(CLIP), CLIPTokenizer.from_pretrained(CLIP)
    context = model.config.text_config.max_position_embeddings
    assert long is not None, "cut where the context ends"
    assert max(lengths[:-1]) < lengths[-1] == context
    tokens = tokenizer(texts, padding="max_length", max_length=context, return_tensors="pt")
    with torch.inference_mode():
        theirs = torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output, dim=-1).numpy()
    for one, expected in zip(told, theirs, strict=True):
        assert one is not None
        assert np.frombuffer(one, dtype="<f4") == pytest.approx(expected, abs=1e-5)


def test_a_tokenizer_that_cannot_be_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (save_tiny_siglip(tmp_path) / "tokenizer.json").write_text("{}", encoding="utf-8")
    with ClipScorer.load(str(tmp_path), device="cpu") as scorer:
        assert scorer.embed_text("a pig") is None
    assert "reads no text" in caplog.text
