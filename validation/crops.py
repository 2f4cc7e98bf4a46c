"""Which squares of a picture the model looks at: the central one, and of a long picture several along its long side.

In a picture of 21:9 the central square shows 43 % of the width, and a character at the edge scores as if it were not
there. `docs/decisions/0041-long-pictures-are-seen-in-several-crops.md` has the figures. The best of several crops has
more chances to reach a threshold by accident, so that it needs a higher one: decision 0059.
"""

from collections.abc import Sequence
from math import atanh, ceil, expm1, log1p, sqrt, tanh
from statistics import NormalDist, fmean, median
from typing import Final

#: A picture whose long side is more than so many short sides is seen in several crops. The central square of 4:3 shows
#: three quarters of the width; whatever is not in it is cut by the edge of the picture too.
BEYOND_RATIO: Final = 1.4
#: Neighbours overlap by at least half, so that a character of half a crop is whole in one of them.
_STEP: Final = 0.5
#: A strip longer than 5:1 is seen in larger steps, and one beyond 9:1 not everywhere.
MOST: Final = 9
#: Fisher's scale has no end, and a picture held against itself has a cosine of 1.
_NEARLY_ONE: Final = 1 - 1e-9


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


def cuts_by_crops(cut: float, strangers: Sequence[float], *, seen_in: int) -> dict[int, float]:
    """By number of crops, the cut at which their best accepts as many strangers as `cut` accepts.

    The scores of crops count as independent (Šidák), and the upper half of the strangers' scores as normal on Fisher's
    scale: the cut mostly lies where there are no strangers left to count.

    Args:
        strangers: scores of pictures that show somebody else, at least two.
        seen_in: how many crops these scores are the best of; with as many or fewer, `cut` holds.
    """
    scores = [_fisher(one) for one in strangers]
    centre = median(scores)
    above = [(one - centre) ** 2 for one in scores if one > centre]
    spread = sqrt(fmean(above)) if above else 0.0
    accepted = NormalDist().cdf((centre - _fisher(cut)) / spread) if spread else 0.0
    if not 0.0 < accepted < 1.0:
        return dict.fromkeys(range(3, MOST + 1, 2), cut)
    shares = {number: -expm1(log1p(-accepted) * seen_in / number) for number in range(3, MOST + 1, 2)}
    raised = {number: tanh(centre - spread * NormalDist().inv_cdf(share)) for number, share in shares.items()}
    return {number: cut if number <= seen_in else max(cut, round(one, 3)) for number, one in raised.items()}


def _fisher(cosine: float) -> float:
    return atanh(min(max(cosine, -_NEARLY_ONE), _NEARLY_ONE))
