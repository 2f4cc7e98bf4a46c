#!/usr/bin/env bash
# matplotlib 3.11 draws "spent $4 of $10" as "spent 4of10".
#
# Expected: a label is drawn as it is written, at least while it holds no backslash; "$10" alone is.
# Seen: two dollar signs make what stands between them a formula: the signs and the spaces go, the letters turn italic. A report
#       of money says less the more amounts stand in a label. An underscore and a brace between them raise ValueError.
# So: text that is no formula is drawn with parse_math=False.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check matplotlib==3.11.2
MPLCONFIGDIR="$d" "$d/venv/bin/python" - <<'PY'
import io
import xml.etree.ElementTree as ElementTree

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
from matplotlib.figure import Figure

SVG = "{http://www.w3.org/2000/svg}"


def drawn(label: str, **options: bool) -> str:
    figure, picture = Figure(), io.StringIO()
    figure.text(0.1, 0.5, label, **options)
    try:
        figure.savefig(picture, format="svg")
    except ValueError:
        return "ValueError"
    letters = []
    for text in ElementTree.fromstring(picture.getvalue()).iter(f"{SVG}text"):
        spans = list(text.iter(f"{SVG}tspan")) or [text]
        for span in spans:
            letters += zip(map(float, (span.get("x") or "0").split()), span.text) if span is not text else [(0.0, text.text)]
    return "".join(letter for _, letter in sorted(letters, key=lambda placed: placed[0])).replace("\xa0", " ")


seen = [drawn("spent $10"), drawn("spent $4 of $10"), drawn("{$4_} of {$5"), drawn("spent $4 of $10", parse_math=False)]
print(f"matplotlib {matplotlib.__version__}\nexpected: the labels as written\nseen: {seen}")
recorded = ["spent $10", "spent 4of10", "ValueError", "spent $4 of $10"]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
