#!/usr/bin/env bash
# pydantic-settings 2.16 takes one keyword by the field's name, ignores the next, and repaired, reads a folder from $HOME.
#
# Expected: two fields of settings, each with an alias for its environment variable: a keyword by the field's name is taken
#           or refused, alike for both. With populate_by_name, it is taken, and the environment is read by the alias alone.
# Seen: where the alias is the name in capitals (DATABASE_URL), the keyword is taken; where it has a prefix (APP_HOME), it is
#       dropped without a word, since other variables of a .env must be ignored. A plain BaseModel drops both. With
#       populate_by_name both are taken, and the field `home` is filled from the variable HOME, which no alias names.
# So: settings check the keywords of their own constructor and pass them on by alias; populate_by_name stays off.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pydantic==2.14.3 pydantic-settings==2.16.3
cd "$d"
env -u DATABASE_URL -u APP_HOME HOME=/somewhere "$d/venv/bin/python" - <<'PY'
import pydantic
import pydantic_settings
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Strict(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore")
    home: str = Field("here", validation_alias="APP_HOME")
    database_url: str = Field("none", validation_alias="DATABASE_URL")


class ByName(Strict):
    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)


class Plain(pydantic.BaseModel):
    database_url: str = Field("none", validation_alias="DATABASE_URL")


seen = {
    "keyword home": Strict(home="/given").home,
    "keyword database_url": Strict(database_url="given").database_url,
    "keyword database_url of a BaseModel": Plain(database_url="given").database_url,
    "populate_by_name, keyword home": ByName(home="/given").home,
    "populate_by_name, nothing given": ByName().home,
}
print(f"pydantic-settings {pydantic_settings.__version__}, pydantic {pydantic.VERSION}")
print("expected: /given and given, or two errors; nothing given: here")
for asked, value in seen.items():
    print(f"seen: {asked} -> {value}")
recorded = {
    "keyword home": "here",
    "keyword database_url": "given",
    "keyword database_url of a BaseModel": "none",
    "populate_by_name, keyword home": "/given",
    "populate_by_name, nothing given": "/somewhere",
}
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
