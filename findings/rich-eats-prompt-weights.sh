#!/usr/bin/env bash
# rich 15 shows a prompt without the parts that stand in square brackets.
#
# Expected: a cell of a table shows the text it was given, or markup is limited to names that rich knows ("[red]"); something
#           unknown stays as it is, as "[Big]" and "[0.5]" do.
# Seen: "[cat:dog:0.5]", "[small]" and "[the mat|a rug]" vanish without a warning, so two different prompts look the same in a
#       report. A prompt with "[/INST]" raises MarkupError, and the whole table is lost.
# So: text from outside goes into rich.text.Text or through rich.markup.escape.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check rich==15.0.0
"$d/venv/bin/python" - <<'PY'
import importlib.metadata
import io

from rich.console import Console
from rich.errors import MarkupError
from rich.table import Table
from rich.text import Text

PROMPTS = ["a [cat:dog:0.5] asleep", "a [small] owl", "on [the mat|a rug]", "a [Big] dog", "a [0.5] dog", "[/INST] hi"]


def shown(prompt: str | Text) -> str:
    table = Table(box=None, show_header=False, padding=0)
    table.add_row(prompt)
    console = Console(file=io.StringIO(), width=80)
    try:
        console.print(table)
    except MarkupError:
        return "MarkupError"
    return console.file.getvalue().strip()


seen = [shown(prompt) for prompt in PROMPTS]
print(f"rich {importlib.metadata.version('rich')}\nexpected: each prompt as it is")
for prompt, cell in zip(PROMPTS, seen, strict=True):
    print(f"seen: {prompt!r} -> {cell!r}")
assert [shown(Text(prompt)) for prompt in PROMPTS] == PROMPTS
recorded = ["a  asleep", "a  owl", "on", "a [Big] dog", "a [0.5] dog", "MarkupError"]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
