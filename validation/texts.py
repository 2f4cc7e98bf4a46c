"""Prompts through the text tower of the same model, so that a picture can be held against what was asked for.

Behind the door of `validation.clip`. A model without a tokenizer beside its weights reads nothing, and that is told.
"""

import logging
import string
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import transformers

from validation.engine import Engine
from validation.preprocessing import find_file, read_json

logger = logging.getLogger(__name__)

_KEPT = 1024
_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTower:
    """Thread-safe; remembers the texts of late, since the pictures of one prompt come one attempt after another.

    Args:
        tokenizer: that came with the weights.
        engine: whose model has the text tower.
        context: tokens that it reads; what is longer is cut.
        inputs: of what the tokenizer makes, the parts that the model was trained with.
        spelt: how the model was trained to see a text spelt.
    """

    def __init__(
        self, tokenizer: Any, engine: Engine, *, context: int, inputs: tuple[str, ...], spelt: Callable[[str], str]
    ) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._context = context
        self._inputs = inputs
        self._spelt = spelt
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def embed(self, text: str) -> bytes:
        """The text's vector at unit length, little-endian float32.

        Raises:
            OutOfMemory, ScorerError: as `Engine.forward`.
        """
        with self._lock:
            if text in self._kept:
                self._kept.move_to_end(text)
                return self._kept[text]
            # SigLIP reads its answer off the last place and was trained with every place filled; CLIP does not mind.
            tokens = self._tokenizer(
                [self._spelt(text)],
                padding="max_length",
                truncation=True,
                max_length=self._context,
                return_tensors="pt",
            )
            wanted = {name: tokens[name] for name in self._inputs if name in tokens}
            made = self._engine.embed_tokens(wanted)[0].numpy().astype("<f4").tobytes()
            self._kept[text] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return made


def open_texts(model: str, engine: Engine) -> TextTower | None:
    """The text tower of a loaded model; None where no tokenizer came with the weights."""
    config: Any = engine.model.config
    if all(find_file(model, name) is None for name in _FILES):
        # Where there is none, transformers makes an empty one up.
        logger.info("model %r reads no text: there is no %s", model, _FILES[0])
        return None
    siglip = str(config.model_type).startswith("siglip")
    # SigLIP's own tokenizer classes want sentencepiece or build the tokens anew; the file beside the weights has them.
    reader = (
        transformers.PreTrainedTokenizerFast
        if siglip and find_file(model, "tokenizer.json") is not None
        else transformers.AutoTokenizer
    )
    try:
        tokenizer = reader.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        logger.warning("model %r reads no text: %s", model, " ".join(str(error).split()) or type(error).__name__)
        return None
    return TextTower(
        tokenizer,
        engine,
        context=int(config.text_config.max_position_embeddings),
        # SigLIP was trained without a mask: the places that fill a text up are part of it.
        inputs=("input_ids",) if siglip else tuple(tokenizer.model_input_names),
        spelt=_spelling(model) if siglip else str,
    )


def _spelling(model: str) -> Callable[[str], str]:
    """How a SigLIP was trained to read: in lower case, and the first ones without punctuation.

    Source: `canonicalize_text` of transformers' `SiglipTokenizer`; lower case in its `Siglip2Tokenizer`.
    """
    first = (read_json(model, "tokenizer_config.json") or {}).get("tokenizer_class", "").startswith("SiglipTokenizer")

    def spelt(text: str) -> str:
        kept = text.translate(_WITHOUT_PUNCTUATION) if first else text
        return " ".join(kept.lower().split())

    return spelt
