"""Size of a reference for billing by the megapixel. Imported on first use, because Pillow is slow to import."""

import io

from PIL import Image, UnidentifiedImageError

PIXELS_PER_MP = 1_000_000


def started_megapixels(content: bytes) -> int:
    """Started megapixels of the picture in `content`; 0 if it is not a picture, in which case the job fails."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            return -(-picture.width * picture.height // PIXELS_PER_MP)
    except (UnidentifiedImageError, OSError, ValueError):
        return 0
