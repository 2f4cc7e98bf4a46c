"""Embed prompts with the model's text tower, so that pictures can be compared with their prompts.

Internal to `validation.clip`. A model without a tokenizer embeds no text, which is logged.
"""

import logging
import string
from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import transformers

from domain.combining import Combiner
from validation.engine import Engine
from validation.preprocessing import find_file, read_json

logger = logging.getLogger(__name__)

_KEPT = 1024
_AT_ONCE = 32
_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


class TextTower:
    """Thread-safe; caches recent texts, because pictures of one prompt come in several attempts.

    Args:
        tokenizer: of the weights.
        engine: has the text tower.
        context: number of tokens; longer texts are cut.
        inputs: the tokenizer outputs that the model was trained with.
        filled: whether the model wants its whole context filled up with padding; else padding changes nothing.
        spelt: normalises a text as in training.
    """

    def __init__(
        self,
        tokenizer: Any,
        engine: Engine,
        *,
        context: int,
        inputs: tuple[str, ...],
        filled: bool,
        spelt: Callable[[str], str],
    ) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._context = context
        self._inputs = inputs
        self._padding = "max_length" if filled else "longest"
        self._spelt = spelt
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()
        #: A tokenizer is told how to pad at each call, which two threads must not do at once.
        self._reading = Lock()
        self._together = Combiner(self._embed, most=_AT_ONCE)

    def embed(self, text: str) -> bytes:
        """The text's vector at unit length, little-endian float32; texts of a moment go through the tower together.

        Raises:
            OutOfMemory, ScorerError: as `Engine.forward`.
        """
        with self._lock:
            if text in self._kept:
                self._kept.move_to_end(text)
                return self._kept[text]
        # A group that failed with one text tells only the thread that led it; the others go alone.
        return self._together.do(text) or self._embed([text])[0]

    def _embed(self, texts: Sequence[str]) -> list[bytes]:
        with self._reading:
            tokens = self._tokenizer(
                [self._spelt(text) for text in texts],
                padding=self._padding,
                truncation=True,
                max_length=self._context,
                return_tensors="pt",
            )
        wanted = {name: tokens[name] for name in self._inputs if name in tokens}
        made = [row.astype("<f4").tobytes() for row in self._engine.embed_tokens(wanted).numpy()]
        with self._lock:
            self._kept.update(zip(texts, made, strict=True))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def open_texts(model: str, engine: Engine) -> TextTower | None:
    """The text tower of a loaded model; None where there is no tokenizer."""
    config: Any = engine.model.config
    if all(find_file(model, name) is None for name in _FILES):
        # Without the file transformers would make an empty tokenizer.
        logger.info("model %r reads no text: there is no %s", model, _FILES[0])
        return None
    siglip = str(config.model_type).startswith("siglip")
    # SigLIP's tokenizer classes need sentencepiece or rebuild the tokens; the file beside the weights has them.
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
        # SigLIP was trained without a mask, so padding is part of the text.
        inputs=("input_ids",) if siglip else tuple(tokenizer.model_input_names),
        # SigLIP uses the last position. CLIP uses that of the text's end, and no token of it sees a later one.
        filled=config.model_type != "clip" or tokenizer.padding_side != "right",
        spelt=_spelling(model) if siglip else str,
    )


def _spelling(model: str) -> Callable[[str], str]:
    """The text normalisation of SigLIP: lower case, and in the first version without punctuation.

    Source: `canonicalize_text` of transformers' `SiglipTokenizer`; lower case in its `Siglip2Tokenizer`.
    """
    first = (read_json(model, "tokenizer_config.json") or {}).get("tokenizer_class", "").startswith("SiglipTokenizer")

    def spelt(text: str) -> str:
        kept = text.translate(_WITHOUT_PUNCTUATION) if first else text
        return " ".join(kept.lower().split())

    return spelt
