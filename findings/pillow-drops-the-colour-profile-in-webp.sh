#!/usr/bin/env bash
# Pillow 13 changes a wide-gamut picture's colours in lossless WebP, and not in PNG, AVIF or TIFF.
#
# Expected: saving an opened picture in another format without loss keeps its colours.
# Seen: the pixel values stay, but the ICC profile that says what they mean goes on to PNG, AVIF and TIFF only. In WebP and JPEG
#       it is left out, viewers take sRGB, and a Display P3 red (240, 40, 40), on an sRGB screen (255, 0, 14), is shown as
#       (240, 40, 40). With icc_profile=picture.info["icc_profile"] the red stays.
# So: the profile is passed by hand, or the picture turned into sRGB first, before a comparison too.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0
"$d/venv/bin/python" - <<'PY'
import io
import struct

import PIL
from PIL import Image, ImageCms

P3_PRIMARIES = {b"rXYZ": (0.5151, 0.2412, -0.0011), b"gXYZ": (0.2920, 0.6922, 0.0419), b"bXYZ": (0.1571, 0.0666, 0.7841)}


def display_p3() -> bytes:
    """Return littleCMS's sRGB profile with the primaries of Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (tags,) = struct.unpack_from(">I", profile, 128)
    for tag in range(tags):
        name, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * tag)
        if name in P3_PRIMARIES:
            struct.pack_into(">iii", profile, offset + 8, *(round(part * 65536) for part in P3_PRIMARIES[name]))
    return bytes(profile)


def shown(picture: Image.Image) -> tuple[int, ...]:
    if profile := picture.info.get("icc_profile"):
        picture = ImageCms.profileToProfile(picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"))
    return picture.getpixel((0, 0))


def saved(picture: Image.Image, kind: str, **options: object) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    opened = Image.open(io.BytesIO(file.getvalue()))
    opened.load()
    return opened


original = saved(Image.new("RGB", (8, 8), (240, 40, 40)), "PNG", icc_profile=display_p3())
without_loss = {"PNG": {}, "TIFF": {}, "AVIF": {"quality": 100}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100}}
print(f"Pillow {PIL.__version__}\nexpected: {shown(original)} in every format")
copies = {kind: saved(original, kind, **options) for kind, options in without_loss.items()}
for kind, copy in copies.items():
    print(f"seen: {kind} {'with' if 'icc_profile' in copy.info else 'without'} profile, shown as {shown(copy)}")
by_hand = saved(original, "WEBP", lossless=True, icc_profile=original.info["icc_profile"])
seen = [[kind for kind, copy in copies.items() if "icc_profile" in copy.info], shown(copies["WEBP"]), shown(by_hand)]
recorded = [["PNG", "TIFF", "AVIF"], (240, 40, 40), shown(original)]
raise SystemExit(0 if seen == recorded else "the behaviour changed")
PY
