"""Holds what a price depends on, size, quality and mode, in the one spelling in which the model is told it.

How they are read out of the settings is each wire's own business (`price_options_of` in its module). Both the body of a
call and its price are made from what that gives, so that a price can't be that of another call.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import RequestRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOptions:
    """What one call asks for, spelt as the catalogue and the service spell it; None where nothing is asked.

    Args:
        size: what is sent, or what the model makes where it can't be told.
    """

    size: str | None = None
    quality: str | None = None
    mode: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Those that are asked for, by name."""
        said = {"size": self.size, "quality": self.quality, "mode": self.mode}
        return {name: value for name, value in said.items() if value is not None}


def spelt(text: str, allowed: Sequence[str]) -> str | None:
    """The one of `allowed` that `text` means, whatever its case and spaces; None where it means none of them."""
    return next((one for one in allowed if _folded(one) == _folded(text)), None)


def chosen(name: str, text: str, allowed: Sequence[str], *, by: str) -> str:
    """The same, for a word that must be one of them.

    Args:
        by: who takes it, for the sentence.

    Raises:
        RequestRefused: it is none of them; the sentence lists them.
    """
    found = spelt(text, allowed)
    if found is None:
        raise RequestRefused(f"{name} is {text!r}; {by} takes one of {', '.join(allowed)}")
    return found


def _folded(text: str) -> str:
    return "".join(text.lower().split())
