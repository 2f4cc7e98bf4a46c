"""How large a reference is, for a bill by the megapixel. Imported at the first such bill: Pillow takes its time."""

import io

from PIL import Image, UnidentifiedImageError

PIXELS_PER_MP = 1_000_000


def started_megapixels(content: bytes) -> int:
    """Of the picture in `content`, decoded; 0 for what is none, whose job is about to fail."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return -(-picture.width * picture.height // PIXELS_PER_MP)
    except (UnidentifiedImageError, OSError, ValueError):
        return 0
