"""What is wished of the stages before the picture, by an order or by a row that hands in more than words.

Light on purpose: a command reads its options with it before the rest of the product is imported.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from domain.errors import BadInput
from domain.ids import sha256

ANALYSES: Final = ("local", "llm", "off")
ENHANCEMENTS: Final = ("off", "local", "llm")
MOST_CANDIDATES: Final = 16
_SHOWN_CHARS: Final = 80


def stage_wishes(
    *,
    analysis: str | None = None,
    enhance: str | None = None,
    persona: str | None = None,
    block: str | None = None,
    candidates: int | None = None,
    optimise: bool = True,
) -> dict[str, Any]:
    """What was said, under the names of the stages; nothing for what is as usual.

    Raises:
        BadInput: a word that no stage knows.
    """
    if analysis is not None and analysis not in ANALYSES:
        raise BadInput(f"analysis is {analysis!r}; there are {', '.join(ANALYSES)}")
    if enhance is not None and enhance not in ENHANCEMENTS:
        raise BadInput(f"enhance is {enhance!r}; there are {', '.join(ENHANCEMENTS)}")
    if candidates is not None and not 1 <= candidates <= MOST_CANDIDATES:
        raise BadInput(f"{candidates} candidates cannot be written; ask for 1 to {MOST_CANDIDATES}")
    said = {"analysis": analysis, "enhance": enhance, "persona": persona, "block": block, "candidates": candidates}
    wishes: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    return wishes if optimise else {**wishes, "optimise": "off"}


def read_switch(word: str, *, what: str) -> bool:
    """Whether a word says on.

    Raises:
        BadInput: it says neither on nor off.
    """
    if word not in {"on", "off"}:
        raise BadInput(f"{what} is {word!r}; write on or off")
    return word == "on"


def check_written(wishes: Mapping[str, Any]) -> None:
    """Whether some stage writes a prompt where nobody gave words.

    Raises:
        BadInput: none does.
    """
    blind = wishes.get("analysis") == "off" and wishes.get("vlt") is None
    if blind or wishes.get("enhance") == "off":
        raise BadInput(
            "without words of your own, the picture must be analysed and a prompt be written: leave"
            f" {'--analysis' if blind else '--enhance'} off out, or give --prompt"
        )


def calls_words(wishes: Mapping[str, Any]) -> bool:
    """Whether a stage asks a model for words, which costs money."""
    looks = wishes.get("analysis") == "llm" and wishes.get("image") is not None
    return looks or wishes.get("enhance") == "llm"


def placeholder(inputs: Mapping[str, Any]) -> str:
    """Shown as the prompt of a row without words until a stage has written one; it is never sent."""
    if (image := inputs.get("image")) is None:
        return f"(from specification {sha256(repr(inputs.get('vlt')).encode())[:8]})"
    text = str(image)
    name = urlsplit(text).hostname if is_address(text) else Path(text).name
    printable = "".join(letter for letter in name or "" if letter.isprintable())
    return f"(from {printable[:_SHOWN_CHARS] or 'a picture'})"


def is_address(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))
