"""Embeddings in Postgres: made once, never mixed, and comparable without the model that made them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from db.session import Database
from domain.ids import sha256
from pipeline.process.embedding_cache import KeptEmbeddings
from tests.support.scoring_models import save_tiny_clip
from tests.support.scoring_pictures import saved, scene
from validation.base import Embedding, ModelInput, Reference, Scored
from validation.clip import ClipScorer
from validation.pixels import decode, model_input
from validation.similarity import compare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def kept(database: Database) -> KeptEmbeddings:
    return KeptEmbeddings(database)


@pytest.fixture
def scorer(folder: Path, kept: KeptEmbeddings) -> Iterator[ClipScorer]:
    with ClipScorer.load(str(folder), device="cpu", cache=kept) as loaded:
        kept.keep_model(loaded.model)
        yield loaded


class Passes:
    """Counts the pictures that pass through the image tower."""

    def __init__(self, scorer: ClipScorer) -> None:
        self.pictures = 0
        tower = scorer.engine.model.get_submodule("vision_model")
        tower.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _module: torch.nn.Module, _args: object, kwargs: dict[str, torch.Tensor]) -> None:
        self.pictures += len(kwargs["pixel_values"])


def _reference(number: int) -> Reference:
    content = saved(scene(number, (80, 72)), "PNG")
    return Reference(sha256=sha256(content), content=content)


def _input(scorer: ClipScorer, number: int) -> ModelInput:
    made = _reference(number)
    return model_input(decode(made.content).image, scorer.recipe, source=made.sha256)


def _scored(scorer: ClipScorer) -> list[Scored]:
    return scorer.score([_input(scorer, number) for number in range(4)], [_reference(8), _reference(9)])


def test_the_second_look_embeds_nothing_not_even_the_references(
    scorer: ClipScorer, folder: Path, kept: KeptEmbeddings
) -> None:
    passes = Passes(scorer)
    first = _scored(scorer)
    assert passes.pictures == 6
    with ClipScorer.load(str(folder), device="cpu", cache=kept) as another:
        passes = Passes(another)
        assert _scored(another) == first
        assert passes.pictures == 0


def test_embeddings_of_two_fingerprints_never_mix(
    scorer: ClipScorer, folder: Path, kept: KeptEmbeddings, tmp_path: Path
) -> None:
    _scored(scorer)
    for other, dtype in ((save_tiny_clip(tmp_path, seed=1), "float32"), (folder, "bfloat16")):
        with ClipScorer.load(str(other), device="cpu", dtype=dtype, cache=kept) as stranger:
            passes = Passes(stranger)
            _scored(stranger)
            assert passes.pictures == 6, f"nothing is taken over from another model ({dtype})"


def test_verdicts_can_be_computed_from_what_is_kept_without_the_model(
    scorer: ClipScorer, folder: Path, kept: KeptEmbeddings
) -> None:
    expected = _scored(scorer)
    (model,) = kept.models(str(folder))
    assert model.arithmetic == scorer.model.arithmetic != {}
    assert model.fingerprint == scorer.fingerprint
    sources = [_reference(number).sha256 for number in (0, 1, 2, 3, 8, 9)]
    found = kept.get_many(sources, model=model.fingerprint)
    pictures, references = [found[one] for one in sources[:4]], [found[one] for one in sources[4:]]
    compared = compare(pictures, references, frame=model.frame)
    for (scores, detail), told in zip(compared, expected, strict=True):
        assert (scores, detail) == (told.scores, told.detail)
        assert model.origin(sources[4:]) == told.origin


def test_weights_that_are_gone_are_recognised_by_their_name_and_others_are_not(
    scorer: ClipScorer, folder: Path, kept: KeptEmbeddings, tmp_path: Path
) -> None:
    assert [model.revision for model in kept.models(str(folder))] == [scorer.identity.revision]
    assert kept.models(str(save_tiny_clip(tmp_path / "other", seed=1))) == []
    assert kept.models("nobody/nowhere") == []


def test_what_is_kept_stays_as_it_was_first_written(kept: KeptEmbeddings) -> None:
    first = {str(number): Embedding(core=b"first", style=b"") for number in range(1200)}
    kept.put_many(first, model="m")
    kept.put_many({"0": Embedding(core=b"second", style=b""), "new": Embedding(core=b"new", style=b"")}, model="m")
    found = kept.get_many([*first, "new", "unknown"], model="m")
    assert len(found) == 1201
    assert (found["0"].core, found["new"].core) == (b"first", b"new")
    assert kept.get_many(["0"], model="other") == {}


def test_a_database_that_is_away_costs_a_forward_pass_and_no_verdict(folder: Path) -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/none", pool_size=1)
    with ClipScorer.load(str(folder), device="cpu", cache=KeptEmbeddings(away)) as alone:
        assert len(_scored(alone)) == 4
    away.close()
