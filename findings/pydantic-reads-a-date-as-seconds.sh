#!/usr/bin/env bash
# pydantic 2.14 takes the deadline "20261129" for a moment in 1970.
#
# Expected: a datetime field reads ISO 8601's basic date as Python 3.11 does, 29 November 2026, or refuses the text. A field of
#           type date does refuse it.
# Seen: text made of digits only is taken for seconds since 1970: the deadline is 23 August 1970, long past; the year "2026" is
#       half an hour after the epoch. No error; strict mode reads JSON the same way.
# So: a deadline from outside is text of one stated pattern, and a moment before this century is refused.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pydantic==2.14.3
"$d/venv/bin/python" - <<'PY'
import sys
from datetime import date, datetime

import pydantic


def read(kind: type, text: str, *, strict: bool = False) -> str:
    try:
        return pydantic.TypeAdapter(kind).validate_json(f'"{text}"', strict=strict).isoformat()
    except pydantic.ValidationError:
        return "refused"


seen = {
    "datetime 20261129": read(datetime, "20261129"),
    "datetime 20261129, strict": read(datetime, "20261129", strict=True),
    "datetime 2026": read(datetime, "2026"),
    "date 20261129": read(date, "20261129"),
}
print(f"pydantic {pydantic.VERSION}, Python {sys.version.split()[0]} reads {datetime.fromisoformat('20261129').isoformat()}")
print("expected: 2026-11-29 or refused")
for field, value in seen.items():
    print(f"seen: {field} -> {value}")
recorded = {
    "datetime 20261129": "1970-08-23T12:05:29+00:00",
    "datetime 20261129, strict": "1970-08-23T12:05:29+00:00",
    "datetime 2026": "1970-01-01T00:33:46+00:00",
    "date 20261129": "refused",
}
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
