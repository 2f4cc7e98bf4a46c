"""Picture sizes and default seeds, for all wires."""

import hashlib


def size_of(aspect: tuple[int, int], side_px: int) -> tuple[int, int]:
    """Width and height of one picture: the area of a square of that side, in steps of 8 pixels."""
    root = (aspect[0] / aspect[1]) ** 0.5
    return max(8, round(side_px * root / 8) * 8), max(8, round(side_px / root / 8) * 8)


def own_seed(job_id: str) -> int:
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4])
