#!/usr/bin/env bash
# The CLIP processor of transformers 5.23 makes a picture with values from 0 to 1 almost black.
#
# Expected: a float array from 0.0 to 1.0 gives the pixels of the same picture in bytes, or is refused, as Pillow
#           refuses such an array.
# Seen: it is divided by 255 once more, without a warning. The whole picture lies within 0.33 at the dark end of a range of 3.9, so
#       all pictures look alike to the model and their similarity to a reference says nothing.
# So: pictures go in as Pillow images or bytes, and a test holds the processed range of a white and of a black picture.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check transformers==5.23.0 pillow==13.0.0 numpy==2.4.6
"$d/venv/bin/python" - <<'PY'
import numpy as np
import transformers
from transformers import CLIPImageProcessorPil

picture = np.random.default_rng(7).integers(0, 256, (300, 300, 3), dtype=np.uint8)


def spread(pixels: np.ndarray, **options: bool) -> float:
    values = CLIPImageProcessorPil()(pixels, return_tensors="np", **options)["pixel_values"]
    return round(float(values.max() - values.min()), 2)


seen = [spread(picture), spread(picture / 255), spread(picture / 255, do_rescale=False)]
print(f"transformers {transformers.__version__}\nexpected: the same spread of values three times")
print(f"seen: bytes {seen[0]}, floats {seen[1]}, floats with do_rescale=False {seen[2]}")
recorded = [3.94, 0.33, 3.94]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
