"""Prompts through the text tower of the same model, so that a picture can be held against what was asked for.

Behind the door of `validation.clip`. A model without a tokenizer beside its weights reads nothing, and that is told.
"""

import logging
from collections import OrderedDict
from threading import Lock
from typing import Any

import transformers

from validation.engine import Engine
from validation.preprocessing import find_file

logger = logging.getLogger(__name__)

_KEPT = 1024
_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")


class TextTower:
    """Thread-safe; remembers the texts of late, since the pictures of one prompt come one attempt after another.

    Args:
        tokenizer: that came with the weights.
        engine: whose model has the text tower.
        context: tokens that it reads; what is longer is cut.
    """

    def __init__(self, tokenizer: Any, engine: Engine, *, context: int) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._context = context
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
                [text], padding="max_length", truncation=True, max_length=self._context, return_tensors="pt"
            )
            wanted = {name: tokens[name] for name in self._tokenizer.model_input_names if name in tokens}
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
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        logger.info("model %r reads no text: %s", model, next(iter(str(error).splitlines()), type(error).__name__))
        return None
    return TextTower(tokenizer, engine, context=int(config.text_config.max_position_embeddings))
