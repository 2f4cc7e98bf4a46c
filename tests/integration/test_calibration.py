"""Three characters calibrated on some drawings, and held to it on drawings that the calibration has not seen.

With the small CLIP, from the command line, as a person would: references are added, two folders are named, and the
recommended thresholds are applied. The characters differ in who they are; the scenes are drawn from the same words.
"""

import random
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import sandbox
from sandbox.characters import LULU, Likeness, Species, invent
from sandbox.clip.captions import scene
from sandbox.drawing import paint, portrait
from tests.integration.command_line import CommandLine, stand

SMALL_CLIP = Path(sandbox.__file__).parent / "clip"
SIZE = 192
EACH = 60
CAST: Mapping[str, Likeness] = MappingProxyType(
    {
        "lulu-pig": LULU,
        "momo-cat": invent(random.Random("momo"), species=Species.CAT),
        "bruno-bear": invent(random.Random("bruno"), species=Species.BEAR),
    }
)


@pytest.fixture
def likeness(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    home: Path,
    database_url: str,
    redis_url: str,
) -> CommandLine:
    given = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "CLIP_MODEL": str(SMALL_CLIP),
        "LIKENESS_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
    }
    stand(monkeypatch, home.parent, given)
    return CommandLine(capsys)


def drawings(folder: Path, name: str, *, count: int, seed: int) -> list[Path]:
    """The character in `count` scenes of the seed's own, each with another pose."""
    rng = random.Random(f"{name}/{seed}")
    folder.mkdir(parents=True)
    paths = [folder / f"{name}-{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        drawn = paint(scene(rng), CAST[name], seed=1000 * seed + number, variation=number % 4, size=(SIZE, SIZE))
        drawn.save(path)
    return paths


def references(folder: Path, name: str) -> list[Path]:
    """Two portraits, and two scenes in the manner of the results."""
    scenes = drawings(folder, name, count=2, seed=1)
    portraits = [folder / f"{name}-portrait-{seed}.png" for seed in (1, 2)]
    for seed, path in enumerate(portraits, start=1):
        portrait(CAST[name], seed=seed, size=SIZE).save(path)
    return [*portraits, *scenes]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_characters_keep_their_promise_on_drawings_they_were_not_calibrated_on(
    likeness: CommandLine, tmp_path: Path
) -> None:
    for name in CAST:
        likeness.document("character", "add", name, *references(tmp_path / "references" / name, name))
        drawings(tmp_path / "train" / name, name, count=EACH, seed=2)
        drawings(tmp_path / "held-out" / name, name, count=EACH, seed=3)
    for name in CAST:
        others = tmp_path / "others" / name
        others.mkdir(parents=True)
        for other in CAST:
            if other != name:
                for drawing in (tmp_path / "train" / other).glob(f"{other}-*.png"):
                    (others / drawing.name).hardlink_to(drawing)
        train = tmp_path / "train" / name
        (train / "page.png").write_bytes(b"<html>")
        said = likeness.document("calibrate", name, "--positives", train, "--negatives", others, "--apply")
        assert said["left_out"] == [f"{train / 'page.png'}: {said['left_out'][0].partition(': ')[2]}"]
        assert (said["core"]["positives"], said["core"]["negatives"]) == (EACH, 2 * EACH)
        assert said["core"]["recommended"]["false_reject"] <= 0.05
    for name in CAST:
        shown = [tmp_path / "held-out" / other for other in (name, *(one for one in CAST if one != name))]
        checked = likeness.document("validate", *shown, "--character", name, code=1)
        assert checked["thresholds"]["origin"].startswith("calibrated (")
        own, others = checked["images"][:EACH], checked["images"][EACH:]
        assert (len(own), len(others)) == (EACH, 2 * EACH)
        accepted = sum(one["passed"] for one in own) / len(own)
        let_in = sum(one["core"]["passed"] for one in others) / len(others)
        print(f"{name}: {accepted:.1%} of its own, {let_in:.1%} of the others")
        assert accepted >= 0.95
        assert let_in <= 0.05
