"""Takes Midjourney's flags out of a prompt that goes to a model which has none, and makes settings of them.

Left among the words they would be painted, or lost, and the picture would be paid for at the model's usual size. What a
setting can say is said by it; what the model has no word for is left out, and said by the wire that leaves it out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from domain.errors import RequestRefused
from providers.midjourney.chat import signature_of, without_chat
from providers.midjourney.flags import FLAGS, KNOWN, Flag, flag_of
from providers.midjourney.prompt import understood
from providers.midjourney.spelling import WrittenFlag, taken_apart
from providers.setting_values import is_said

#: What other services call a wish, and people write behind two hyphens too.
_OF_OTHERS: Final = frozenset(
    {"size", "resolution", "quality", "format", "output_format", "background", "steps", "guidance"}
)
#: Speeds, and who sees a picture: nothing that a picture depends on.
_HARMLESS: Final = frozenset({"--relax", "--fast", "--turbo", "--stealth", "--public"})
_NOT_WANTED: Final = "--no"
_REFERENCES: Final = frozenset({"--cref", "--oref"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A prompt without its flags.

    Args:
        words: what is left; a flag that nobody knows is still among them.
        wished: what the flags say, by the name of a setting.
        not_wanted: what the picture shall not show, for a model that can be told.
        notes: sentences about what was guessed, taken off or left out.
    """

    words: str
    wished: Mapping[str, Any]
    not_wanted: str
    notes: Sequence[str]


@lru_cache(maxsize=512)
def read(prompt: str) -> Reading:
    """The words of the prompt, and its flags as settings.

    Raises:
        RequestRefused: a value that its flag does not take, or a flag whose loss would be paid for.
    """
    text, taken_off = without_chat(prompt)
    parts = taken_apart(text)
    words, wished, not_wanted, notes = [parts.words], dict[str, Any](), "", [*taken_off, *parts.notes]
    for written in parts.flags:
        spelling = written.spelling.lower()
        if spelling.lstrip("-") in _OF_OTHERS and not _is_midjourneys(written):
            wished[spelling.lstrip("-")] = written.value
        elif spelling in _HARMLESS:
            notes.append(f"{written.spelling} is Midjourney's, and is left out")
        elif spelling not in KNOWN:
            words.append(f"{written.spelling} {written.value}".strip())
            notes.append(f"{written.spelling!r} is no flag that is known here, and stays in the words")
        else:
            flag = flag_of(written.spelling)
            value = flag.read(flag.name, written.value)
            if flag.name == _NOT_WANTED:
                not_wanted = value
            elif flag.name in _REFERENCES:
                raise RequestRefused(
                    f"the prompt says {flag.name}, which is Midjourney's; name references by the column `cref_urls`,"
                    " --cref-urls, or a character"
                )
            else:
                wished[_setting_of(flag)] = value or True
    if not parts.words:
        raise RequestRefused("the prompt has no words before its flags; say in words what is wanted")
    return Reading(words=" ".join(words), wished=wished, not_wanted=not_wanted, notes=notes)


def with_words(prompt: str, added: str) -> str:
    """The prompt with words added to its own, before its first flag.

    Behind a flag they would belong to its value: what is wanted would be forbidden by a `--no`. Where a prompt is flags
    alone, nothing is added, so that it is refused for its want of words.

    Args:
        added: begins with a blank.
    """
    signature = signature_of(prompt)
    unsigned = prompt.removesuffix(signature)
    parts = taken_apart(unsigned)
    if not parts.flags:
        return f"{unsigned}{added}{signature}"
    return f"{parts.words}{added} {parts.behind}{signature}" if parts.words else prompt


def _is_midjourneys(written: WrittenFlag) -> bool:
    """`--quality 2` is a number to Midjourney, and a word to everybody else."""
    return written.spelling.lower() in KNOWN and written.value[:1].isdecimal()


def _setting_of(flag: Flag) -> str:
    """The name of a setting that says the same, the one that most services know."""
    if flag.name == "--ar":
        return "aspect_ratio"
    return flag.settings[0] if flag.settings else flag.name.lstrip("-")


def as_settings(
    prompt: str, settings: Mapping[str, Any], *, negative: bool
) -> tuple[str, Mapping[str, Any], Sequence[str]]:
    """The words of the prompt, the settings with its flags among them, and what is to be said about it.

    Args:
        negative: whether the model can be told what is not wanted.

    Raises:
        RequestRefused: as `read`, or the flags and the settings contradict each other.
    """
    reading = read(prompt)
    wished, notes = dict(reading.wished), list(reading.notes)
    if reading.not_wanted and negative:
        wished["negative_prompt"] = reading.not_wanted
    elif reading.not_wanted:
        notes.append(
            f"the model takes no negative prompt: '--no {reading.not_wanted}' is left out;"
            " say in the prompt what is wanted instead"
        )
    for name, value in wished.items():
        for spelling in _spellings(name):
            said = settings.get(spelling)
            if is_said(said) and not _agree(name, said, value):
                raise RequestRefused(
                    f"the prompt says {name} {value} and the settings say {spelling} {said}; take one of them out"
                )
    return reading.words, {**settings, **wished} if wished else settings, notes


def _spellings(name: str) -> Sequence[str]:
    flag = next((one for one in FLAGS if name in one.settings), None)
    return flag.settings if flag is not None else (name,)


def _agree(name: str, said: object, value: object) -> bool:
    flag = next((one for one in FLAGS if name in one.settings), None)
    try:
        return str(said) == str(value) if flag is None else flag.read(name, said) == ("" if value is True else value)
    except RequestRefused:
        return False


def overruled(prompt: str, settings: Mapping[str, Any]) -> list[str]:
    """Names of a batch's settings to which a row's own prompt gives another value: the row wins."""
    if "-" not in prompt and prompt.isascii():
        return []
    try:
        flags = understood(prompt).flags
    except RequestRefused:
        return []
    return [
        name
        for flag in FLAGS
        if flag.name in flags
        for name in flag.settings
        if is_said(settings.get(name)) and settings[name] is not False and not _says(flag, name, settings[name], flags)
    ]


def _says(flag: Flag, name: str, said: object, flags: Mapping[str, str]) -> bool:
    try:
        return flag.read(name, said) == flags[flag.name]
    except RequestRefused:
        return False
