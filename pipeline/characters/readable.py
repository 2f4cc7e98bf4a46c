"""Makes of a reference file one that a service reads: another type, or fewer bytes. The stored file stays as it is."""

import io

from domain.errors import RequestRefused
from providers.contract import Lane

#: Tried in turn until the file is small enough; each halves the area about twice.
_SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)
_QUALITY = 92


def readable(content: bytes, media_type: str, lane: Lane) -> tuple[bytes, str]:
    """The file itself where the lane's service reads it, else the same picture as a PNG, or a JPEG where that is large.

    Raises:
        RequestRefused: it can't be made small enough.
    """
    if lane.reads_reference(media_type, size=len(content)):
        return content, media_type
    from validation.pixels import decode

    image = decode(content).image
    png = io.BytesIO()
    image.save(png, "PNG")
    if lane.reads_reference("image/png", size=png.tell()):
        return png.getvalue(), "image/png"
    for share in _SHARES:
        size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        jpeg = io.BytesIO()
        image.resize(size).save(jpeg, "JPEG", quality=_QUALITY)
        if lane.reads_reference("image/jpeg", size=jpeg.tell()):
            return jpeg.getvalue(), "image/jpeg"
    raise RequestRefused(f"a reference of {len(content):,} bytes is too large for {lane.provider!r}; add a smaller one")
