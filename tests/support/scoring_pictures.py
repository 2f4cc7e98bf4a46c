"""Picture files of every kind that services return and people own, made on the fly."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import count, islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZES = [(320, 240), (240, 320), (256, 256), (500, 333), (233, 377), (224, 224), (225, 223), (70, 50), (600, 150)]
ODD_SIZES = [(1, 1), (2, 3), (7, 5), (1, 40), (600, 12), (12, 600), (3, 230), (64, 64), (65, 64)]


def scene(number: int, size: tuple[int, int]) -> Image.Image:
    """An RGB picture with soft and hard edges, fine and coarse texture; another one for every number."""
    width, height = size
    dice = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / max(size), y / max(size)
    layers = []
    for _ in range(3):
        a, b, c, d = dice.uniform(2, 14, 4)
        wave = np.sin(a * x + c) * np.cos(b * y + d)
        blot = (np.hypot(x - dice.uniform(0, 1), y - dice.uniform(0, 1)) < dice.uniform(0.05, 0.4)).astype(np.float64)
        layers.append(0.5 + 0.25 * wave + 0.35 * blot * dice.uniform(-1, 1))
    pixels = np.stack(layers, axis=-1) + dice.normal(0, dice.uniform(0, 0.08), (height, width, 3))
    return Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    across = np.linspace(0, 255, image.width).astype(np.uint8)
    mask = Image.fromarray(np.broadcast_to(across, (image.height, image.width)).copy())
    image = image.copy()
    image.putalpha(mask)
    return image


def turned(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(image, "JPEG", quality=92, exif=exif.tobytes())


def png16(samples: NDArray[np.uint16], *, colour_type: int) -> bytes:
    """A PNG of 16 bits a sample, which Pillow reads but does not write: colour type 0 grey, 2 RGB, 4 grey and alpha."""
    height, width = samples.shape[:2]
    rows = samples.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\x00" + row.tobytes() for row in rows)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def deep(image: Image.Image, *, colour_type: int) -> bytes:
    samples = np.asarray(image if colour_type == 2 else image.convert("LA"), dtype=np.uint16) * 257
    return png16(samples + 31 * (samples < 60_000), colour_type=colour_type)


KINDS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda image: saved(image, "PNG"),
    "jpeg": lambda image: saved(image, "JPEG", quality=90),
    "jpeg-progressive": lambda image: saved(image, "JPEG", quality=60, progressive=True),
    "jpeg-grey": lambda image: saved(image.convert("L"), "JPEG"),
    "jpeg-cmyk": lambda image: saved(image.convert("CMYK"), "JPEG", quality=95),
    "webp": lambda image: saved(image, "WEBP", quality=80),
    "webp-alpha": lambda image: saved(with_alpha(image), "WEBP", lossless=True),
    "avif": lambda image: saved(image, "AVIF", quality=70),
    "gif": lambda image: saved(image.convert("P"), "GIF"),
    "gif-animated": lambda image: saved(
        image.convert("P"), "GIF", save_all=True, append_images=[image.rotate(90).convert("P")]
    ),
    "gif-transparent": lambda image: saved(image.convert("P"), "GIF", transparency=3),
    "bmp": lambda image: saved(image, "BMP"),
    "tiff": lambda image: saved(image, "TIFF"),
    "tiff-lzw": lambda image: saved(image, "TIFF", compression="tiff_lzw"),
    "tiff-cmyk": lambda image: saved(image.convert("CMYK"), "TIFF"),
    "png-grey": lambda image: saved(image.convert("L"), "PNG"),
    "png-bits": lambda image: saved(image.convert("1"), "PNG"),
    "png-alpha": lambda image: saved(with_alpha(image), "PNG"),
    "png-grey-alpha": lambda image: saved(with_alpha(image).convert("LA"), "PNG"),
    "png-palette": lambda image: saved(image.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "png-palette-transparent": lambda image: saved(image.convert("P"), "PNG", transparency=5),
    "png-key-colour": lambda image: saved(image, "PNG", transparency=image.getpixel((0, 0))),
    "png-16-rgb": lambda image: deep(image, colour_type=2),
    "png-16-grey-alpha": lambda image: deep(image, colour_type=4),
    **{f"exif-{n}": (lambda image, n=n: turned(image, n)) for n in range(1, 9)},
}


def varied(number: int) -> Iterator[tuple[str, bytes]]:
    """`number` named files: every kind in turn, at ever other sizes; every fourth of an odd size."""

    def all_of_them() -> Iterator[tuple[str, bytes]]:
        for at in count():
            name, make = list(KINDS.items())[at % len(KINDS)]
            sizes = ODD_SIZES if at % 4 == 3 else SIZES
            size = sizes[(at // 4) % len(sizes)]
            yield f"{at}-{name}-{size[0]}x{size[1]}", make(scene(at, size))

    return islice(all_of_them(), number)
