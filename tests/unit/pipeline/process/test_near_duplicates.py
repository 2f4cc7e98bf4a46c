"""Which of many pictures are too alike: the same answer as from a look at every pair, in a fraction of the time."""

from uuid import UUID

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.ids import AssetId
from pipeline.process import near_duplicate_search
from pipeline.process.near_duplicate_search import Seen, too_alike


def pictures(vectors: NDArray[np.float32], *, each: int, seed: int) -> Seen:
    """Pictures with these vectors, `each` of a generation, whose ids are of any order."""
    numbers = np.random.default_rng(seed).permutation(len(vectors))
    return Seen(
        vectors=vectors,
        assets=[AssetId(UUID(int=int(number))) for number in numbers],
        generations=[at // each for at in range(len(vectors))],
    )


def every_pair(seen: Seen, first: int, *, least: float) -> dict[AssetId, tuple[AssetId, float]]:
    found: dict[AssetId, tuple[AssetId, float]] = {}
    for row in range(first, len(seen.assets)):
        for column in range(len(seen.assets)):
            score = min(float(seen.vectors[row] @ seen.vectors[column]), 1.0)
            if score < least or seen.generations[row] == seen.generations[column]:
                continue
            earlier, later = sorted((seen.assets[row], seen.assets[column]))
            if later not in found or score > found[later][1]:
                found[later] = (earlier, score)
    return found


@pytest.mark.parametrize("rows", [1, 7, 256])
@pytest.mark.parametrize("first", [0, 40, 119])
def test_the_nearest_earlier_picture_is_found_as_by_a_look_at_every_pair(
    rows: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(near_duplicate_search, "_ROWS", rows)
    draw = np.random.default_rng(first)
    vectors = draw.normal(size=(120, 6)) * 0.2 + 1
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    seen = pictures(vectors, each=4, seed=first)
    expected = every_pair(seen, first, least=0.98)
    found = too_alike(seen, first, least=0.98)
    assert len(expected) > 10
    assert {later: earlier for later, (earlier, _) in found.items()} == {
        later: earlier for later, (earlier, _) in expected.items()
    }
    assert all(found[later][1] == pytest.approx(score, abs=1e-6) for later, (_, score) in expected.items())


def test_of_pictures_that_are_all_the_same_every_later_one_is_flagged() -> None:
    seen = pictures(np.full((1000, 4), 0.5, np.float32), each=4, seed=1)
    found = too_alike(seen, 0, least=0.98)
    oldest = min(seen.assets)
    alone = {oldest, *(one for one in seen.assets if _no_earlier(seen, one))}
    assert set(found) == set(seen.assets) - alone, "every one but those that have nothing before them"
    assert all(earlier < later and score == 1 for later, (earlier, score) in found.items())


def _no_earlier(seen: Seen, one: AssetId) -> bool:
    generation = dict(zip(seen.assets, seen.generations, strict=True))
    return all(generation[other] == generation[one] for other in seen.assets if other < one)
