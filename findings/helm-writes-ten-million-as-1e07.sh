#!/usr/bin/env bash
# Helm 4.2 renders budgetCents: 10000000 as 1e+07.
#
# Expected: {{ .Values.budgetCents | quote }} gives the digits that stand in values.yaml.
# Seen: every number of the values passes through a float: from a million on it is written with an exponent, a tag made of a date
#       becomes 2.026113e+07, a commit such as 12345e6 becomes 1.2345e+10, seeds lose their last digits. 999999 stays, so the
#       small values of a test pass.
# So: numbers of values.yaml that end in text stand in quotes there, or the template says int64.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check helm-python-sdk==0.2.2
mkdir -p "$d/chart/templates"
cat > "$d/chart/Chart.yaml" <<'YAML'
apiVersion: v2
name: chart
version: 0.1.0
YAML
cat > "$d/chart/values.yaml" <<'YAML'
small: 999999
million: 1000000
budgetCents: 10000000
tag: 20261130
commit: 12345e6
seed: 12345678901234567
YAML
cat > "$d/chart/templates/settings.yaml" <<'YAML'
small: {{ .Values.small | quote }}
million: {{ .Values.million | quote }}
budgetCents: {{ .Values.budgetCents | quote }}
asInt64: {{ .Values.budgetCents | int64 | quote }}
tag: {{ .Values.tag | quote }}
commit: {{ .Values.commit | quote }}
seed: {{ .Values.seed | quote }}
YAML
"$d/venv/bin/python" - "$d/chart" <<'PY'
import importlib.metadata
import sys

import helm_python

with helm_python.Chart.load(sys.argv[1]) as chart:
    [rendered] = chart.render({}, name="release", namespace="default").values()
seen = rendered.split("\n")
print("helm-python-sdk", importlib.metadata.version("helm-python-sdk"), "made from Helm 4.2.3")
print("expected: the digits of values.yaml\nseen:")
print(rendered)
recorded = [
    'small: "999999"',
    'million: "1e+06"',
    'budgetCents: "1e+07"',
    'asInt64: "10000000"',
    'tag: "2.026113e+07"',
    'commit: "1.2345e+10"',
    'seed: "1.2345678901234568e+16"',
    "",
]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
