"""Which squares of a picture the model looks at: the central one, and of a long picture several along its long side.

In a picture of 21:9 the central square shows 43 % of the width, and a character at the edge scores as if it were not
there. `docs/decisions/0041-long-pictures-are-seen-in-several-crops.md` has the figures.
"""

from math import ceil
from typing import Final

#: A picture whose long side is more than so many short sides is seen in several crops. The central square of 4:3 shows
#: three quarters of the width; whatever is not in it is cut by the edge of the picture too.
BEYOND_RATIO: Final = 1.4
#: Neighbours overlap by at least half, so that a character of half a crop is whole in one of them.
_STEP: Final = 0.5
#: A strip longer than 5:1 is seen in larger steps, and one beyond 9:1 not everywhere.
MOST: Final = 9


def crop_offsets(long_side: int, size: int) -> list[int]:
    """Where the crops begin along the long side, from one end to the other; the central one is the middle of the list.

    Args:
        long_side: in pixels of the resized picture, at least `size`.
        size: edge of a crop.
    """
    spare = long_side - size
    if long_side <= BEYOND_RATIO * size:
        return [spare // 2]
    wanted = ceil(spare / (_STEP * size)) + 1
    crops = min(wanted + 1 - wanted % 2, MOST)
    return [number * spare // (crops - 1) for number in range(crops)]


def central_first(crops: int) -> list[int]:
    """Numbers of the crops in the order in which they are kept: the central one stands for the picture elsewhere."""
    middle = crops // 2
    return [middle, *(number for number in range(crops) if number != middle)]
