"""The words of finishing: what may be done to an accepted picture, and what came of it.

A wish is written `upscale`, `background` or both, in the order in which they are done: larger first, since the cut-out
of a larger picture has the finer edge.
"""

import re
from enum import StrEnum
from typing import Final

from domain.errors import BadInput

#: The setting, and the column of a prompt file.
FINISH: Final = "finish"


class FinishStep(StrEnum):
    """One thing that is done to a picture."""

    UPSCALE = "upscale"  # make it larger
    BACKGROUND = "background"  # remove its background


class FinishOutcome(StrEnum):
    """What became of a wish to finish a picture."""

    FINISHED = "finished"  # the finished picture passes, and is the result
    REJECTED = "rejected"  # it no longer passes, so that the original stays the result
    FAILED = "failed"  # there is no finished picture
    OVER_BUDGET = "over_budget"  # a budget did not allow the call, so that it was not made
    CANCELED = "canceled"  # a person said so, or the picture is no longer accepted


_OTHER_WORDS: Final = {"remove_background": "background", "remove-background": "background"}


def read_finish(text: str) -> tuple[FinishStep, ...]:
    """The steps that a cell or an option names, in the order in which they are done; none for `off` or nothing.

    Raises:
        BadInput: a word that there is not.
    """
    words = [word for word in re.split(r"[\s,;+|]+", text.strip().casefold()) if word]
    if words in (["off"], ["none"], ["no"]):
        return ()
    wanted = {_OTHER_WORDS.get(word, word) for word in words}
    if unknown := sorted(wanted - set(FinishStep)):
        raise BadInput(f"finish is {text!r}; there is no {unknown[0]!r}: write {' or '.join(FinishStep)}, or both")
    return tuple(step for step in FinishStep if step in wanted)


def in_words(steps: tuple[FinishStep, ...]) -> str:
    """The one spelling of a wish, as rows keep it."""
    return " ".join(steps)
