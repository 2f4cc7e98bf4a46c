"""What people and their programs leave in a cell beside the prompt: placeholders, error marks, bullets, broken letters.

Pure: what a text is said to hold is told by whoever read it. Each check is made for what ordinary prompts do not hold,
prices, hashtags, quotations and ratios among them.
"""

import re
from typing import Final

_PLACEHOLDERS: Final = frozenset(
    {
        *("-", "--", "---", "–", "—", "?", "??", "???", "!", ".", "..", "...", "…", "x", "xx", "xxx", "/", "*"),
        *("todo", "tbd", "tba", "tbc", "fixme", "tk", "wip", "n/a", "na", "n.a.", "none", "null", "nil", "nan"),
        *("empty", "blank", "placeholder", "lorem ipsum", "same as above", "see above", "ditto", '"', "''", "“", "”"),
        *("undefined", "[object object]", "prompt here", "your prompt here", "insert prompt here"),
    }
)
_LONGEST_PLACEHOLDER: Final = 24
_TO_DO: Final = re.compile(r"(?:todo|tbd|fixme)\b\s*(?:[:\-–—(].*)?", re.IGNORECASE | re.DOTALL)
#: What Excel, LibreOffice and Google Sheets show where a formula has failed.
_ERROR_MARK: Final = re.compile(
    r"#(?:REF|NAME|VALUE|DIV/0|NULL|NUM|SPILL|CALC|ERROR|FIELD|BLOCKED|CONNECT|BUSY|UNKNOWN)[!?]|#N/A\b|^Err:\d{3}$"
    r"|^Loading\.\.\.$"
)
_BULLET: Final = re.compile(r"[-–—•*‣·▪◦●►✓☐☑]\s+(?=\S)")
_NUMBER: Final = re.compile(r"\(?(\d{1,4})[.)]\s+(?=\S)")
#: By their opening sign; a text that is quoted as a whole has none of them inside.
_QUOTES: Final = {'"': '"', "“": "”", "„": "“", "«": "»", "»": "«", "‘": "’", "'": "'", "`": "`", "「": "」"}
#: UTF-8 that was read as Windows-1252: an accent, a sign, a typographic mark, an emoji, two Cyrillic letters.
_MOJIBAKE: Final = re.compile(
    r"Ã[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]"
    r"|Â[\u0080-\u00bf]|â€[\u0080-\u00bf\u0152\u0153\u02dc\u2013-\u203a\u2122]|ðŸ..|(?:[ÐÑ][\u0080-\u203a\u20ac\u2122]){2}"
)
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_LONGEST_SHOWN: Final = 30
_COMMENTS: Final = ("# ", "## ", "### ", "//", "<!--", "/*")
_RULER: Final = re.compile(r"[#\-=*_~–—]{3,}|#")
#: Beside letters and digits, what a text of nothing but words may hold. Anything else may be a flag, an address or a
#: placeholder; so may a hyphen that is not inside a word.
_BETWEEN_WORDS: Final = str.maketrans("", "", " ,.;'’\"!?()&")
_INSIDE_A_WORD: Final = re.compile(r"(?<=\w)-(?=\w)")


def is_placeholder(text: str) -> bool:
    """Whether it says that the prompt is still to be written."""
    if len(text) <= _LONGEST_PLACEHOLDER and text.casefold() in _PLACEHOLDERS:
        return True
    return text[:1] in "tTfF" and _TO_DO.fullmatch(text) is not None


def error_mark(text: str) -> str | None:
    """The mark of a failed formula in it."""
    if "#" not in text and not text.startswith(("Err:", "Loading")):
        return None
    found = _ERROR_MARK.search(text)
    return found.group() if found else None


def broken_letters(text: str) -> str | None:
    """What is wrong with the letters of a text that was read in the wrong encoding, and what was meant."""
    if text.isascii():
        return None
    if _REPLACEMENT in text:
        at = text.index(_REPLACEMENT)
        return f"{text[max(0, at - 8) : at + 9]!r} has lost a letter"
    found = _MOJIBAKE.search(text)
    if found is None:
        return None
    word = next(one for one in text.split() if found.group().split()[0] in one)
    return f"{word[:_LONGEST_SHOWN]!r} is {_repaired(word)[:_LONGEST_SHOWN]!r} in the wrong encoding"


def _repaired(word: str) -> str:
    content = bytearray()
    for letter in word:
        try:
            content += letter.encode("cp1252")
        except UnicodeEncodeError:
            content += letter.encode("latin-1", "ignore")
    return content.decode("utf-8", "replace")


class Tidying:
    """Takes off what a list or a chat puts around its lines; numbers only where they count up."""

    def __init__(self) -> None:
        self._number = 0

    def tidied(self, text: str) -> str:
        """The prompt alone; the same text where there is nothing around it."""
        if text[0].isalpha():
            return text
        rest = text
        if found := _BULLET.match(rest):
            rest = rest[found.end() :]
        elif found := _NUMBER.match(rest):
            if int(found[1]) != self._number + 1:
                self._number = 0
                return text
            self._number += 1
            rest = rest[found.end() :]
        return _unquoted(rest).strip() or text


def _unquoted(text: str) -> str:
    closing = _QUOTES.get(text[0])
    if closing is None or len(text) < 3 or text[-1] != closing:
        return text
    inside = text[1:-1]
    return text if text[0] in inside or closing in inside else inside


def is_comment(line: str) -> bool:
    """Whether a line of a text file is meant for its reader: a comment, or a ruler between parts.

    A word right behind `#` is a hashtag, and may be the beginning of a prompt.
    """
    text = line.strip()
    return text.startswith(_COMMENTS) or _RULER.fullmatch(text) is not None


def is_words(prompt: str) -> bool:
    """Whether a text holds words alone: no flag, no address, no placeholder."""
    if "-" in prompt:
        prompt = _INSIDE_A_WORD.sub("", prompt)
    # The long vowel of Japanese is a letter, and two of them are what some keyboards give for two hyphens.
    return prompt.translate(_BETWEEN_WORDS).isalnum() and "ーー" not in prompt
