"""Decode picture files, and resize pictures to the model's input. Pillow and NumPy, no torch.

Files are untrusted: sizes are checked before a pixel is read, and every defect raises `NotAPicture` with what was
found. `validation.preprocessing` reads how the model wants its pictures; normalisation is part of the forward pass.
"""

import io
import struct
import zlib
from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import ExifTags, Image

from domain.errors import NotAPicture
from validation.base import ModelInput
from validation.crops import central_first, crop_offsets
from validation.preprocessing import Preprocessing, read_preprocessing

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "Picture",
    "Preprocessing",
    "decode",
    "model_input",
    "pixels_in",
    "read_preprocessing",
]

MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000  # a picture of 64 megapixels takes 192 MB while it is decoded
MAX_SIDE = 65_535  # JPEG's own limit; Pillow needs gigabytes to shrink a side of 60 million pixels

# Pillow has forty decoders, all reachable by hostile bytes; only formats that services return and users have are
# allowed.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
_MEDIA_TYPES = {
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # Pillow's name for a JPEG with further views
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}
_EXTENSIONS = {"image/jpeg": ".jpg", "image/tiff": ".tif"}

# Exceptions of Pillow's decoders on damaged files.
_DECODER_ERRORS = (
    OSError,  # not identified, or truncated
    SyntaxError,  # a broken PNG
    ValueError,
    EOFError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # raised only where warnings are errors; our own limit is lower than Pillow's
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_FILTERS = {name.name.lower(): name for name in Image.Resampling}
# Support of Pillow's filters in input pixels at scale 1 (from its documentation).
_REACH = {"nearest": 0.5, "box": 0.5, "bilinear": 1.0, "hamming": 1.0, "bicubic": 2.0, "lanczos": 3.0}

# Up to this aspect ratio (at 224 pixels: 1 to 80) the whole picture is resized and then cropped, exactly as in
# transformers. Computing only the crop changes the order of Pillow's two passes, and with it a few pixels.
_RESIZED_WHOLE = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A decoded file.

    Args:
        image: the first frame, mode RGB, upright, transparency over white.
        media_type: detected from the bytes, not from the file name or the reply's header.
        size_bytes: length of the file.
    """

    image: Image.Image
    media_type: str
    size_bytes: int

    @property
    def width(self) -> int:
        """Pixels across, after rotation."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels down, after rotation."""
        return self.image.height

    @property
    def extension(self) -> str:
        """File extension with its dot."""
        return _EXTENSIONS.get(self.media_type, f".{self.media_type.removeprefix('image/')}")


def decode(content: bytes, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Picture:
    """Decode the picture in `content` completely.

    Raises:
        NotAPicture: empty, too large, not a picture, of an unsupported format, truncated or damaged.
    """
    if len(content) > max_bytes:
        raise NotAPicture(f"the file has {len(content):,} bytes; at most {max_bytes:,} are read")
    try:
        opened = Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPicture(f"the picture is larger than the {max_pixels:,} pixels that are decoded") from error
    except _DECODER_ERRORS as error:
        raise NotAPicture(_what_else(content)) from error
    with opened:
        if opened.width * opened.height > max_pixels or max(opened.size) > MAX_SIDE:
            raise NotAPicture(
                f"the picture is {opened.width} x {opened.height} pixels; "
                f"at most {max_pixels:,} pixels and {MAX_SIDE:,} a side are decoded"
            )
        kind = opened.format or "unknown"
        try:
            opened.load()
            image = _rgb(_upright(opened))
        except _DECODER_ERRORS as error:
            raise NotAPicture(f"the {kind} picture is truncated or damaged: {error}") from error
    return Picture(image=image, media_type=_MEDIA_TYPES[kind], size_bytes=len(content))


def pixels_in(content: bytes) -> int:
    """The number of pixels by the header of `content`, without decoding.

    Raises:
        NotAPicture: not a picture, or of an unsupported format.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            return opened.width * opened.height
    except _DECODER_ERRORS as error:
        raise NotAPicture(_what_else(content)) from error


def _what_else(content: bytes) -> str:
    """Describe `content` that is not a supported picture."""
    head = content[:1024].lstrip().lower()
    if not content:
        return "the file is empty"
    if head.startswith((b"<!doctype html", b"<html")):
        return "the file is an HTML page, not a picture: the address answered with a message for people"
    if b"<svg" in head:
        return "the file is an SVG drawing; convert it to PNG"
    if head.startswith((b"<?xml", b"{", b"[")):
        return "the file is a text document, not a picture: the service answered with a message instead"
    if content[4:8] == b"ftyp" and content[8:12] in {b"heic", b"heix", b"mif1", b"hevc"}:
        return "the file is a HEIC picture, which is not read here; convert it to JPEG or PNG"
    return f"the {len(content):,} bytes are no picture: known are PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF"


def _upright(image: Image.Image) -> Image.Image:
    """`image` rotated by its EXIF orientation; a damaged EXIF block is ignored."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _DECODER_ERRORS:
        return image
    # Not `ImageOps.exif_transpose`, which also rewrites the EXIF block and fails where any other tag is damaged.
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """`image` in mode RGB with transparency over white, as transformers' processors do."""
    if image.mode.startswith("I;16"):
        # Pillow's conversion clips values above 255, which turns such a picture white.
        grey = (np.asarray(image, dtype=np.uint32) + 128) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        raise ValueError("its samples have 32 bits, which is a measurement and not a picture; convert it to 8 or 16")
    if "A" in image.getbands() or "a" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    # A copy, because the opened file frees its pixels when it is closed.
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def model_input(image: Image.Image, preprocessing: Preprocessing, *, source: str | None = None) -> ModelInput:
    """`image` in the model's input size, before normalisation.

    Args:
        image: mode RGB, from `decode`.
        preprocessing: of the weights; one that resizes both sides sees the whole picture, and has no crops.
        source: digest of the original file, the cache key of the embedding.
    """
    size = preprocessing.size
    if preprocessing.shortest_edge is None:
        crops = [image.resize((size, size), _FILTERS[preprocessing.resample])]
    else:
        crops = _resized_and_cropped(image, preprocessing.shortest_edge, size=size, resample=preprocessing.resample)
    pixels = b"".join(crop.tobytes() for crop in crops)
    return ModelInput(pixels=pixels, size=size, preprocessing=preprocessing.digest, source=source)


def _resized_and_cropped(image: Image.Image, edge: int, *, size: int, resample: str) -> list[Image.Image]:
    """Resize so that the shorter side has `edge` pixels, then crop squares of `size` pixels, the central one first."""
    short = min(image.size)
    # Rounded down, as transformers' `get_resize_output_image_size` does.
    full_width, full_height = (edge if side == short else int(edge * side / short) for side in image.size)
    offsets = crop_offsets(max(full_width, full_height), size)
    across = full_width > full_height
    middle = (min(full_width, full_height) - size) // 2
    corners = [(at, middle) if across else (middle, at) for at in (offsets[n] for n in central_first(len(offsets)))]
    if full_width * full_height <= _RESIZED_WHOLE:
        whole = image.resize((full_width, full_height), _FILTERS[resample])
        return [whole.crop((left, top, left + size, top + size)) for left, top in corners]
    return [
        _cropped_alone(image, (full_width, full_height), corner=corner, size=size, resample=resample)
        for corner in corners
    ]


def _cropped_alone(
    image: Image.Image, full: tuple[int, int], *, corner: tuple[int, int], size: int, resample: str
) -> Image.Image:
    """One crop of a strip of 1 x 60,000 pixels, which would become 3 billion if it were resized whole."""
    reach = _REACH[resample]
    left, across, box_left, box_right = _window(image.width, full[0], at=corner[0], size=size, reach=reach)
    top, down, box_top, box_bottom = _window(image.height, full[1], at=corner[1], size=size, reach=reach)
    part = image.resize((across, down), _FILTERS[resample], box=(box_left, box_top, box_right, box_bottom))
    return part.crop((left, top, left + size, top + size))


def _window(source: int, full: int, *, at: int, size: int, reach: float) -> tuple[int, int, float, float]:
    """The section of one axis that must be resized to get `size` of `full` pixels from `at` on exactly.

    Returns:
        Offset of the crop within the section and length of the section, in output pixels; start and end of the
        section in input pixels.
    """
    scale = source / full
    margin = ceil(reach * max(scale, 1.0) / scale) + 1
    begin, end = max(at - margin, 0), min(at + size + margin, full)
    return at - begin, end - begin, begin * scale, min(end * scale, float(source))
