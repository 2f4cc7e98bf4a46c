"""One table of what people write into prompt files, and what is right for each: rows, a warning, or a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: A row of a case: its prompt, or its prompt with everything else that it says.
Wanted = str | tuple[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One file, and what comes of it.

    Args:
        rows: None where the file is refused.
        warns: a part of each warning of the dry run, in order.
        refused: a part of the sentence.
        options: of the command line.
        beside: other files that the options name.
    """

    says: str
    content: str | bytes
    rows: Sequence[Wanted] | None = None
    warns: Sequence[str] = ()
    refused: str | None = None
    name: str = "p.csv"
    options: Sequence[str] = ()
    beside: Mapping[str, str] = field(default_factory=dict)


def _read(says: str, content: str, *rows: Wanted, warns: Sequence[str] = (), **more: Any) -> Case:
    return Case(says=says, content=content, rows=rows, warns=warns, **more)


def _refused(says: str, content: str, refused: str, **more: Any) -> Case:
    return Case(says=says, content=content, refused=refused, **more)


def _line(says: str, prompt: str, *warns: str, becomes: str | None = None, **more: Any) -> Case:
    """A prompt of a text file, between two others."""
    rows = ["a cow", becomes or prompt, "a hen"] if becomes != "" else ["a cow", "a hen"]
    return Case(says=says, content=f"a cow\n{prompt}\na hen\n", rows=rows, warns=warns, name="p.txt", **more)


TABLES = (
    _read("a blank before a quote", 'prompt,theme\n "a pig, pink", farm\n', ("a pig, pink", {"theme": "farm"})),
    _read("a blank behind every comma", "prompt, theme\na pig, farm\n", ("a pig", {"theme": "farm"})),
    _read("a blank before a number", "prompt,seed\na pig, 7\n", ("a pig", {"seed": 7})),
    _read(
        "ratios that a spreadsheet saved as times of day",
        "prompt,ar\na pig,16:09:00\na hen,04:09:00 PM\na cow,01:01:00 AM\na cat,3:02 am\na dog,09:09 PM\n",
        ("a pig", {"aspect_ratio": "16:9"}),
        ("a hen", {"aspect_ratio": "16:9"}),
        ("a cow", {"aspect_ratio": "1:1"}),
        ("a cat", {"aspect_ratio": "3:2"}),
        ("a dog", {"aspect_ratio": "21:9"}),
    ),
    _read("a blank before a status", "prompt,status\na pig, new\n", ("a pig", {"status": "new"})),
    _refused(
        "an unquoted comma that fits", "prompt,theme\na pig, pink\n", "line 2: the prompt ends at a comma, and 'pink'"
    ),
    _refused(
        "an unquoted comma before a column of one's own", "prompt,note\na pig, pink\n", "became the column 'note'"
    ),
    _read(
        "an unquoted comma that is let pass",
        "prompt,theme\na pig, pink\n",
        ("a pig", {"theme": "pink"}),
        warns=["line 2: the prompt ends at a comma"],
        options=["--lenient", "cut-cell"],
    ),
    _refused(
        "an unquoted comma too many", "prompt,theme\na pig, pink,farm\n", "line 2: this row of 'p.csv' has 3 cells"
    ),
    _refused(
        "curly quotes around a comma", "prompt,theme\n“a pig,pink”\n", "line 2: the prompt ends at a comma, and 'pink”'"
    ),
    _read("curly quotes inside a prompt", "prompt,theme\na “pink” pig,farm\n", ("a “pink” pig", {"theme": "farm"})),
    _read(
        "a second header",
        "prompt,theme\na pig,x\nPrompt,Theme\na cow,y\n",
        ("a pig", {"theme": "x"}),
        ("a cow", {"theme": "y"}),
        warns=["line 3: the header comes again"],
    ),
    _read(
        "a title above the header",
        "Our prompts,,\n,,\nindex,prompt,theme\n1,a pig,x\n",
        ("a pig", {"index": "1", "theme": "x"}),
        warns=["the header of 'p.csv' is line 3"],
    ),
    _read(
        "a title of one cell above a header with semicolons",
        "Prompts, 2026\nprompt;theme\na pig;x\n",
        ("a pig", {"theme": "x"}),
        warns=["the header of 'p.csv' is line 2"],
    ),
    _read(
        "a title above the header of a text file",
        "Our prompts\nindex\tprompt\n1\ta pig\n",
        ("a pig", {"index": "1"}),
        warns=["the header of 'p.txt' is line 2"],
        name="p.txt",
    ),
    _read("the word about the separator", "sep=;\nprompt;theme\na, pig;x\n", ("a, pig", {"theme": "x"})),
    _read("the same with a bar", "\ufeffsep=|\r\nprompt|theme\r\na pig|x\r\n", ("a pig", {"theme": "x"})),
    *(
        _read(
            f"{word} for a prompt",
            f'prompt,theme\na pig,x\n"{word}",y\n',
            ("a pig", {"theme": "x"}),
            warns=[f"line 3: {word!r} is no prompt"],
        )
        for word in ("TODO", "n/a", "-", "???", "TBD", "...", "same as above", "TODO: the cow", "NULL")
    ),
    _refused("a placeholder with --strict", "prompt\na pig\nTODO\n", "because of --strict", options=["--strict"]),
    *(
        _refused(f"the error mark {mark}", f'prompt\na pig\n"{mark}"\n', f"line 3: 'prompt' holds {mark!r}")
        for mark in ("#REF!", "#NAME?", "#N/A", "#VALUE!", "#DIV/0!", "Err:502", "#SPILL!")
    ),
    _refused("an error mark in a setting", "prompt,seed\na pig,#REF!\n", "'seed' holds '#REF!'"),
    _refused("an error mark as a theme", "prompt,theme\na pig,#N/A\n", "'theme' holds '#N/A'"),
    _read(
        "an error mark that is let pass",
        "prompt\n#REF! in neon\n",
        "#REF! in neon",
        warns=["line 2: 'prompt' holds '#REF!'"],
        options=["--lenient", "error-mark"],
    ),
    _refused(
        "an accent in the wrong encoding",
        "prompt\na pig in MÃ¼nchen\n",
        "line 2: the prompt's text 'MÃ¼nchen' is 'München'",
    ),
    _refused("an apostrophe in the wrong encoding", "prompt\na pigâ€™s tail\n", "is 'pig’s' in the wrong encoding"),
    _refused("an emoji in the wrong encoding", "prompt\na pig ðŸ\x90·\n", "in the wrong encoding"),
    _refused("a lost letter", "prompt\na pig in M\ufffdnchen\n", "has lost a letter"),
    _read(
        "several addresses in a cell",
        'prompt,cref_urls\na pig,"https://a.example/1.png, https://a.example/2,b.png;https://a.example/3.png | https://a.example/4.png\nhttps://a.example/5.png"\n',
        ("a pig", {"cref_urls": " ".join(f"https://a.example/{one}.png" for one in ("1", "2,b", "3", "4", "5"))}),
    ),
    *(
        _read(f"the column {column}", f"prompt,{column}\na pig,{value}\n", ("a pig", {name: value}))
        for column, name, value in (
            ("sref", "sref", "123"),
            ("v", "version", "6.1"),
            ("niji", "niji", "6"),
            ("aspect", "aspect_ratio", "16:9"),
            ("image_urls", "image_urls", "https://a.example/1.png"),
            ("oref", "oref_url", "https://a.example/1.png"),
        )
    ),
    _read(
        "the column iw",
        "prompt,iw,image_urls\na pig,2,https://a.example/1.png\n",
        ("a pig", {"iw": "2", "image_urls": "https://a.example/1.png"}),
    ),
    _read(
        "a switch", "prompt,raw,tile\na pig,x,no\na cow,,TRUE\n", ("a pig", {"raw": "yes"}), ("a cow", {"tile": "yes"})
    ),
    *(
        _read(
            f"the column {column}, which is too short to be believed",
            f"prompt,{column}\na pig,3\n",
            ("a pig", {column: "3"}),
            warns=[f"the column {column!r} steers nothing; if it should, {instead}"],
        )
        for column, instead in (
            ("s", "call it 'stylize'"),
            ("c", "call it 'chaos'"),
            ("p", "write --p"),
            ("n", "use --times"),
            ("times", "use --times"),
            ("count", "use --times"),
            ("quantity", "use --times"),
        )
    ),
    _read(
        "a setting of another service",
        "prompt,output_format,background\na pig,png,opaque\n",
        ("a pig", {"output_format": "png", "background": "opaque"}),
        warns=["Midjourney takes no 'background', 'output_format'"],
    ),
    _read(
        "rows that are not approved, by their status",
        "prompt,status\na,approved\nb,pending\nc,Rejected\nd,\ne,pending\n",
        ("a", {"status": "approved"}),
        warns=["4 rows of 'p.csv' are passed over, since their status is not 'approved': 'pending' (2)"],
        options=["--approved-only"],
    ),
)

LINES = (
    *(_line(f"a bullet {bullet}", f"{bullet} a pig", "line 2: a bullet", becomes="a pig") for bullet in "-*•–·"),
    _read(
        "numbers that count up",
        "1. a pig\n2) a cow\n(3) a hen\n",
        *("a pig", "a cow", "a hen"),
        warns=["lines 1, 2 and 3: a bullet"],
        name="p.txt",
    ),
    _line("a number that is part of the prompt", "2. World War aeroplane"),
    _line("a number without a dot", "7 dwarfs and a pig"),
    _line("quotes around it all", "“a pig”", "line 2: a bullet", becomes="a pig"),
    _line("straight quotes around it all", '"a pig"', "line 2: a bullet", becomes="a pig"),
    _line("quotes at both ends", '"Hello" says the pig, "Goodbye"'),
    _line("a comment", "# the farm", "line 2: comment and ruler lines", becomes=""),
    _line("a comment with slashes", "// the farm", "line 2: comment and ruler lines", becomes=""),
    _line("a ruler", "-----", "line 2: comment and ruler lines", becomes=""),
    _line("a hashtag", "#sunset over a farm"),
)

TEMPLATES = (
    _refused("a choice left open", 'prompt\n"a pig {in rain|in sun}"\n', "leaves a choice open, '{in rain|in sun}'"),
    *(
        _refused(
            f"the placeholder {text}",
            f"prompt\na {text} on a farm\n",
            f"line 2: the prompt holds {text!r}, which nobody filled",
        )
        for text in ("__hat__", "{{animal}}", "$animal", "{character}", "${animal}")
    ),
    _read(
        "a placeholder that is let pass",
        "prompt\na {{animal}}\n",
        "a {{animal}}",
        warns=["line 2: the prompt holds '{{animal}}'"],
        options=["--lenient", "template"],
    ),
    _read(
        "a placeholder with a column",
        "prompt,Animal,hat\na {{animal}} in a __hat__,pig,fez\na $animal,cow,\n",
        ("a pig in a fez", {"Animal": "pig", "hat": "fez"}),
        ("a cow", {"Animal": "cow"}),
    ),
    _read(
        "a placeholder with a list",
        "prompt\na {{animal}} in a {hat}\n",
        *(
            (f"a {animal} in a {hat}", {"animal": animal, "hat": hat})
            for animal in ("pig", "cow")
            for hat in ("fez", "cap")
        ),
        options=["--vars", "vars.csv"],
        beside={"vars.csv": "animal,hat\npig,fez\ncow,cap\n"},
    ),
    _read(
        "the same from JSON",
        "index,prompt\n1,a {{Animal}}\n",
        *((f"a {animal}", {"index": "1", "animal": animal}) for animal in ("pig", "cow")),
        options=["--vars", "vars.json"],
        beside={"vars.json": '{"animal": ["pig", "cow"]}'},
    ),
    _read(
        "a choice and a wildcard, with lists",
        'prompt\n"a __animal__ {in rain|in sun}"\n',
        *(
            (f"a {animal} {weather}", {"animal": animal, "choice 1": weather})
            for animal in ("pig", "cow")
            for weather in ("in rain", "in sun")
        ),
        options=["--vars", "vars.json"],
        beside={"vars.json": '{"animal": ["pig", "cow"]}'},
    ),
    _refused(
        "a list that is missing",
        "prompt\na {{hat}}\n",
        "'{{hat}}'",
        options=["--vars", "v.json"],
        beside={"v.json": '{"a": ["b"]}'},
    ),
    _read(
        "prices, cashtags and code",
        'prompt\n"a $5 pig, $AAPL, __init__.py and A$AP"\n',
        "a $5 pig, $AAPL, __init__.py and A$AP",
    ),
)

CASES = (*TABLES, *LINES, *TEMPLATES)
