#!/usr/bin/env bash
# redis-py 8.1 loads the OpenTelemetry SDK wherever it is installed, in a process that has not asked for any telemetry.
#
# Expected: telemetry is off until somebody switches it on, and until then `import redis` costs what it costs alone.
# Seen: beside an installed opentelemetry-sdk the same import brings it along, some sixty modules more, in every process
#       that speaks to Redis: each Celery worker, each producer, each command line. Nothing in the environment asks for it,
#       no provider is set, and the telemetry of redis-py itself is off.
# So: keep the SDK out of images that do not trace (an extra or a dependency group), and do not take its being loaded for
#     a sign that something is traced.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check redis==8.1.0
cat >"$d/seen.py" <<'PY'
import os
import sys

assert not [name for name in os.environ if name.startswith("OTEL_")]
import redis

loaded = sorted(name for name in sys.modules if name.startswith("opentelemetry.sdk"))
print(f"redis-py {redis.__version__}: {len(sys.modules)} modules, {len(loaded)} of them of the SDK")
assert bool(loaded) == (sys.argv[1] == "loaded"), loaded
PY
cd "$d"
echo "without the SDK:"
"$d/venv/bin/python" seen.py absent
"$d/venv/bin/pip" install -q --disable-pip-version-check opentelemetry-sdk==1.44.0 opentelemetry-api==1.44.0
echo "expected: the same beside an installed SDK"
"$d/venv/bin/python" seen.py loaded
