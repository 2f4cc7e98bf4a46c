#!/usr/bin/env bash
# Pillow 13 writes another AVIF file on one core than on two.
#
# Expected: one picture, one version of Pillow and one set of options give one file, as with PNG, JPEG and WebP.
# Seen: the number of encoder threads follows the cores that the process may use, and the bytes follow the threads: the file of
#       a one-core container has another digest, another length and other pixels than that of a laptop.
# So: where a file's digest is its name or proves that it is the same picture, max_threads is set; digests of what a provider
#     sent are taken before anything is encoded anew.
# Needs taskset and two cores.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.6
cat > "$d/encode.py" <<'PY'
import hashlib
import io

import numpy as np
from PIL import Image

rows, columns = np.mgrid[0:512, 0:512] / 512
noise = np.random.default_rng(7).normal(0, 12, (512, 512, 3))
waves = np.stack([np.sin(9 * columns), np.cos(7 * rows), np.sin(20 * rows * columns)], axis=-1)
picture = Image.fromarray((waves * 100 + 128 + noise).clip(0, 255).astype(np.uint8))


def digest(kind: str, **options: int) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return hashlib.sha256(file.getvalue()).hexdigest()[:12]


print(digest("PNG"), digest("JPEG"), digest("WEBP"), digest("AVIF", max_threads=1), digest("AVIF"))
PY
"$d/venv/bin/python" -c 'import PIL; print("Pillow", PIL.__version__)'
one=$(taskset -c 0 "$d/venv/bin/python" "$d/encode.py")
two=$(taskset -c 0,1 "$d/venv/bin/python" "$d/encode.py")
echo "expected: the same five digests (PNG, JPEG, WebP, AVIF with max_threads=1, AVIF)"
printf 'seen, %s: %s\n' "one core " "$one" "two cores" "$two"
same=""
for column in 1 2 3 4 5; do
    [ "$(cut -d' ' -f$column <<<"$one")" = "$(cut -d' ' -f$column <<<"$two")" ] && same+="y" || same+="n"
done
recorded="yyyyn"
[ "$same" = "$recorded" ] || { echo "the behaviour changed"; exit 1; }
