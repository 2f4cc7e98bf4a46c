#!/usr/bin/env bash
# safetensors 0.8 gives back other numbers than it was given, when the NumPy array was a transposed view.
#
# Expected: load(save({"references": a.T}))["references"] equals a.T, or save refuses an array that is not contiguous, as the
#           same package does for PyTorch.
# Seen: the shape of a.T with the memory order of a: every row mixes values of different rows. No warning; a table of reference
#       embeddings keeps its size, type and value range and means nothing. np.ascontiguousarray first, and it is right.
# So: arrays are made contiguous before they are saved, and read back and compared once.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$d/venv/bin/python" - <<'PY'
import numpy as np
import safetensors
from safetensors.numpy import load, save

embeddings = np.arange(6, dtype=np.float32).reshape(2, 3).T
given = embeddings.tolist()
back = load(save({"references": embeddings}))["references"].tolist()
contiguous = load(save({"references": np.ascontiguousarray(embeddings)}))["references"].tolist()
print(f"safetensors {safetensors.__version__}, numpy {np.__version__}")
print(f"expected: {given}\nseen: {back}\nseen, made contiguous: {contiguous}")
seen = [back, contiguous]
recorded = [[[0, 1], [2, 3], [4, 5]], [[0, 3], [1, 4], [2, 5]]]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
