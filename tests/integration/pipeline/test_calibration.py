"""Three characters calibrated on some drawings, and held to it on drawings that the calibration has not seen.

With the small CLIP and two folders of drawings per character, as a person would name them. The characters differ in who
they are; their scenes are drawn from the same words.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

import sandbox
from cli.installation import opened
from pipeline.calibration import calibrate
from pipeline.calibration.examples import gather
from pipeline.characters import check_files, definitions
from pipeline.characters.definitions import NewCharacter
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.resources import Resources
from runtime.scoring import open_scoring
from runtime.settings import Settings
from sandbox.clip.captions import scene
from sandbox.drawing.characters import LULU, Likeness, Species, invent
from sandbox.drawing.picture import paint, portrait
from validation.embedder import Scoring

SMALL_CLIP = Path(sandbox.__file__).parent / "clip"
SIZE = 192
EACH = 60
#: A model that sees nothing but who it is finds much the same that is not.
ALIKE = 0.998
CAST: Mapping[str, Likeness] = MappingProxyType(
    {
        "lulu-pig": LULU,
        "momo-cat": invent(random.Random("momo"), species=Species.CAT),
        "bruno-bear": invent(random.Random("bruno"), species=Species.BEAR),
    }
)


@pytest.fixture
def settings(home: Path, database_url: str, redis_url: str) -> Settings:
    given = {"LIKENESS_HOME": home, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    return Settings(_env_file=None, CLIP_MODEL=str(SMALL_CLIP), LIKENESS_DEVICE="cpu", **given)


@pytest.fixture
def runner(settings: Settings) -> Iterator[tuple[Resources, Scoring]]:
    with opened(settings) as site:
        kept = KeptEmbeddings(site.resources.database)
        with open_scoring(site.settings, kept=kept) as scoring:
            yield site.resources, scoring


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
    runner: tuple[Resources, Scoring], tmp_path: Path
) -> None:
    resources, scoring = runner
    for name in CAST:
        pictures = references(tmp_path / "references" / name, name)
        new = NewCharacter(name=name, description="", references=pictures, core=0.75, style=0.6, origin="default")
        definitions.add(resources, new)
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
        examples = gather(resources, name, positives=train, negatives=others)
        found = calibrate.calibrate(examples, scoring, alike=ALIKE, today=date(2026, 11, 21))
        (left_out,) = found.left_out
        assert left_out.startswith(str(train / "page.png"))
        assert (found.core.positives, found.core.negatives) == (EACH, 2 * EACH)
        assert found.origin == f"calibrated (2026-11-21, n={3 * EACH}, core AUC {found.core.auc:.3f})"
        calibrate.apply(resources, found)
    for name in CAST:
        character = definitions.find(resources, name)
        assert character.thresholds.origin.startswith("calibrated (2026-11-21, n=180, core AUC ")
        own, others = (
            [one.verdict for one in check_files.check(resources, scoring, character, paths).pictures]
            for paths in (_held_out(tmp_path, name), _held_out(tmp_path, *(other for other in CAST if other != name)))
        )
        # Both checks together keep the character, and core alone keeps the others out.
        accepted = sum(one is not None and one.passed for one in own)
        let_in = sum(one is None or one.core_passed for one in others)
        print(f"{name}: {accepted} of {len(own)} of its own, {let_in} of {len(others)} others")
        assert (len(own), len(others)) == (EACH, 2 * EACH)
        assert accepted >= 0.95 * len(own)
        assert let_in <= 0.05 * len(others)


def _held_out(folder: Path, *whose: str) -> list[Path]:
    return [path for name in whose for path in sorted((folder / "held-out" / name).glob("*.png"))]
