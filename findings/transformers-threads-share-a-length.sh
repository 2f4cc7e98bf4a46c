#!/usr/bin/env bash
# Two threads that share a tokenizer of transformers 5.23 get each other's prompt length.
#
# Expected: tokenizer(text, truncation=True, max_length=77) gives 77 tokens whatever other threads ask for; or an error.
# Seen: the length is set on the shared tokenizer first and used afterwards. While another thread asks for 32, some answers of
#       the 77-token thread have 32 tokens, so the end of the prompt, where the style words stand, is cut without a word; and
#       the other way round, some have too many. A tokenizer of its own for each thread, and all lengths are right.
# So: one tokenizer a thread, or a lock around it; or one that has its length set once and is never asked for another.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check transformers==5.23.0 tokenizers==0.23.3
"$d/venv/bin/python" - <<'PY'
import copy
import threading
import time

import tokenizers
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "cat": 2}, unk_token="[UNK]"))
words.pre_tokenizer = pre_tokenizers.Whitespace()
shared = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
PROMPT = "a cat " * 50


def wrong_lengths(*, own: bool, seconds: float) -> int:
    wrong: list[int] = []
    end = time.monotonic() + seconds

    def work(tokenizer: transformers.PreTrainedTokenizerFast, length: int) -> None:
        while time.monotonic() < end and not wrong:
            tokens = len(tokenizer(PROMPT, truncation=True, max_length=length)["input_ids"])
            if tokens != length:
                wrong.append(tokens)

    threads = [
        threading.Thread(target=work, args=(copy.deepcopy(shared) if own else shared, length)) for length in (77, 32) * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(wrong)


seen = [wrong_lengths(own=False, seconds=60) > 0, wrong_lengths(own=True, seconds=5) > 0]
print(f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")
print(f"expected: no wrong length\nseen: wrong lengths from one tokenizer for all: {seen[0]}, from one each: {seen[1]}")
recorded = [True, False]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
