#!/usr/bin/env bash
# Pillow 13 resizes a palette PNG by the nearest pixel, whatever filter it is asked for.
#
# Expected: resize(..., BICUBIC) and thumbnail, whose filter is BICUBIC, smooth a PNG with 256 colours as they smooth the same
#           pixels in RGB, or refuse.
# Seen: the same result as with NEAREST, bit for bit: at an eighth of the size, 63 of 64 pixels are never looked at. The
#       mean error is above 8 of 255. PNG optimisers write palettes, so a thumbnail, a hash or a score differs between two
#       files that look the same.
# So: convert("RGB") comes before every resize.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
"$d/venv/bin/python" - <<'PY'
import io

import numpy as np
import PIL
from PIL import Image

rows, columns = np.mgrid[0:512, 0:512] / 512
noise = np.random.default_rng(7).normal(0, 12, (512, 512, 3))
waves = np.stack([np.sin(9 * columns), np.cos(7 * rows), np.sin(20 * rows * columns)], axis=-1)
file = io.BytesIO()
Image.fromarray((waves * 100 + 128 + noise).clip(0, 255).astype(np.uint8)).quantize(256).save(file, "PNG")


def opened() -> Image.Image:
    return Image.open(io.BytesIO(file.getvalue()))


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB"), dtype=int)


SMALL = (64, 64)
smooth = pixels(opened().convert("RGB").resize(SMALL, Image.Resampling.BICUBIC))
nearest = pixels(opened().convert("RGB").resize(SMALL, Image.Resampling.NEAREST))
bicubic = pixels(opened().resize(SMALL, Image.Resampling.BICUBIC))
thumbnail = opened()
thumbnail.thumbnail(SMALL)
error = abs(bicubic - smooth).mean()
seen = [bool((bicubic == nearest).all()), bool((pixels(thumbnail) == nearest).all()), bool(error > 8)]
print(f"Pillow {PIL.__version__}\nexpected: mean error 0")
print(f"seen: mean error {error:.1f} of 255; resize is NEAREST: {seen[0]}, thumbnail is NEAREST: {seen[1]}")
recorded = [True, True, True]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
