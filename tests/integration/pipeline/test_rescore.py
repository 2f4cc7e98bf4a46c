"""Final generations judged again: what moves, what is left, and that an interruption changes nothing in the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from db.records import characters, history
from db.records.characters import NewThresholds
from db.schema import generation_assets, generations
from db.schema_checks import verdicts
from db.session import Database
from domain.errors import LikenessError
from domain.ids import CharacterId, GenerationId, sha256
from domain.verdict import Scores, Thresholds, Verdict, best_for_all, passed_by_all
from pipeline.calibration.rescore import Rescored, rescore
from pipeline.process.embedding_cache import KeptEmbeddings
from pipeline.process.leases import Leases
from pipeline.resources import Resources
from runtime.scoring import ScoringOnDemand, ScoringProcess
from storage.folder import FolderStore
from tests.conftest import Sent
from tests.support.books import Books, asset
from tests.support.finished import judge
from validation.base import Embedding
from validation.embedder import Embedded, ScoringModel, Source
from validation.similarity import Frame

#: Known by its name alone: its weights are on no machine.
MODEL = ScoringModel(
    name="nobody/flat",
    revision="r",
    preprocessing="p",
    dtype="float32",
    frame=Frame(
        core_centre=np.zeros(2, np.float32), style_centre=np.zeros(2, np.float32), style_spread=np.ones(2, np.float32)
    ),
)
#: How often the program that is killed commits, in generations.
PROGRAM = """
import sys
import pipeline.calibration.rescore as rescoring
from pathlib import Path
from tests.integration.pipeline.test_rescore import no_model, resources_of
from db.session import Database
from pipeline.process.embedding_cache import KeptEmbeddings
from runtime.scoring import ScoringOnDemand
rescoring._AT_ONCE = 4
database = Database(sys.argv[1])
def tell(count):
    print("done", flush=True)
    sys.stdin.readline()
with resources_of(database, Path(sys.argv[2])) as resources:
    scoring = ScoringOnDemand(no_model, kept=KeptEmbeddings(database), name="nobody/flat")
    rescoring.rescore(resources, scoring, each=tell)
"""


def no_model() -> ScoringProcess:
    raise AssertionError("nothing needs the model here")


def embedding(core: float, *, style: float = 0.9) -> Embedding:
    """One whose cosines with the reference are these."""
    return Embedding(core=_flat(core), style=_flat(style))


def _flat(cosine: float) -> bytes:
    return np.array([cosine, sqrt(1 - cosine**2)], dtype="<f4").tobytes()


class resources_of:  # noqa: N801 -- used as a function, here and in the program that is killed
    """The resources of a command without lanes."""

    def __init__(self, database: Database, home: Path) -> None:
        self._leases = Leases(database, seconds=30)
        store = FolderStore(home / "pictures")
        self._made = Resources(
            database=database, lanes={}, store=store, dispatch=Sent(), leases=self._leases, jitter=lambda: 0.0
        )

    def __enter__(self) -> Resources:
        return self._made

    def __exit__(self, *_: object) -> None:
        self._leases.close()


@dataclass(slots=True)
class Archive:
    """Judged generations whose embeddings are kept."""

    resources: Resources
    books: Books
    kept: KeptEmbeddings
    lulu: CharacterId

    def rescore(self, **wanted: object) -> Rescored:
        scoring = ScoringOnDemand(no_model, kept=self.kept, name=MODEL.name)
        return rescore(self.resources, scoring, **wanted)  # type: ignore[arg-type]  # a test names what it wants

    def judged(self, cores: Sequence[Sequence[float]], *, model: ScoringModel = MODEL) -> list[GenerationId]:
        """A generation with its pictures for each row of core scores."""
        self.books.batch(len(cores), character=self.lulu)
        made = []
        for admitted, row in zip(self.books.admit(places={"sandbox": 1000}), cores, strict=True):
            attempt_id = admitted.attempt_id
            assets = [asset(position) for position in range(len(row))]
            self.books.accept(attempt_id, self.books.claim(attempt_id))
            self.books.make(attempt_id, self.books.polled(attempt_id))
            self.books.collect(attempt_id, self.books.claim_collection(attempt_id), *assets)
            judge(self.books, attempt_id, self.lulu, *row)
            shas = [str(one.sha256) for one in assets]
            self.kept.put_many(
                {sha: embedding(core) for sha, core in zip(shas, row, strict=True)}, model=model.fingerprint
            )
            made.append(GenerationId(admitted.generation_id))
        return made

    def thresholds(self, core: float, *, character: CharacterId | None = None) -> None:
        with self.books.database.transaction() as connection:
            new = NewThresholds(core=core, style=0.6, origin=f"set to {core}")
            characters.set_thresholds(connection, character or self.lulu, new)

    def states(self) -> list[str]:
        rows = sorted(self.books.rows(generations), key=lambda row: row.id)
        return [row.state for row in rows]

    def best(self) -> list[int]:
        """The position of the best picture of each generation that has one, in the order of the generations."""
        rows = sorted(self.books.rows(generation_assets), key=lambda row: (row.generation_id, row.position))
        return [row.position for row in rows if row.best]

    def story(self) -> tuple[list[str], list[UUID], set[tuple[UUID, int, bool]]]:
        """Everything a rescore may change."""
        best = sorted(row.id for row in self.books.rows(generation_assets) if row.best)
        told = {(row.asset_id, row.threshold_version, row.passed) for row in self.books.rows(verdicts)}
        return self.states(), best, told


@pytest.fixture
def archive(books: Books, home: Path) -> Iterator[Archive]:
    books.lane(concurrency=1000)
    lulu = books.character()
    kept = KeptEmbeddings(books.database)
    for model in (MODEL, replace(MODEL, dtype="bfloat16")):
        kept.keep_model(model)
        kept.put_many({sha256(b"lulu"): embedding(1.0)}, model=model.fingerprint)
    with resources_of(books.database, home) as resources:
        yield Archive(resources=resources, books=books, kept=kept, lulu=lulu)


def test_other_thresholds_move_what_they_must_and_say_so(archive: Archive) -> None:
    accepted, rejected, hopeless = archive.judged([[0.9], [0.5, 0.7, 0.6], [0.1]])
    assert archive.states() == ["completed", "rejected", "rejected"]
    archive.thresholds(0.65)
    done = archive.rescore()
    assert (done.looked, done.unchanged, done.verdicts) == (3, 0, 5)
    assert (done.accepted, done.rejected, done.left) == ([rejected], [], [])
    assert archive.states() == ["completed", "completed", "rejected"]
    assert archive.best() == [0, 1, 0]
    with archive.books.database.transaction() as connection:
        (line,) = history.of_many(connection, [accepted, rejected, hopeless])
    assert (line.generation_id, line.from_state, line.to_state) == (rejected, "rejected", "completed")
    assert (line.actor, line.detail) == ("rescore", {"model": MODEL.name})
    assert line.reason == "'lulu' by thresholds of version 2 (core 0.650, style 0.600; set to 0.65)"
    row = archive.books.generation(rejected)
    assert (row.status, row.completed_at is not None, row.error_code) == ("completed", True, None)
    told = {verdict.core_raw for verdict in archive.books.rows(verdicts)}
    assert None not in told, "every reading is stored"


def test_what_was_accepted_may_be_rejected_and_come_back(archive: Archive) -> None:
    archive.judged([[0.8]])
    before = archive.story()
    archive.thresholds(0.95)
    assert len(archive.rescore().rejected) == 1
    assert archive.states() == ["rejected"]
    archive.thresholds(0.75)
    assert len(archive.rescore().accepted) == 1
    assert archive.story()[:2] == before[:2]


def test_a_second_rescore_finds_nothing_to_do(archive: Archive) -> None:
    archive.judged([[0.9], [0.2]])
    assert archive.rescore().verdicts == 2, "the first verdicts had no readings"
    done = archive.rescore()
    assert (done.looked, done.unchanged, done.verdicts) == (2, 2, 0)


def test_a_dry_run_moves_nothing(archive: Archive) -> None:
    (generation,) = archive.judged([[0.7]])
    archive.thresholds(0.5)
    before = archive.story()
    assert archive.rescore(dry_run=True).accepted == [generation]
    assert archive.story() == before


def test_only_the_batch_and_the_character_that_were_named_are_judged(archive: Archive) -> None:
    first, second = archive.judged([[0.7]]), archive.judged([[0.7]])
    archive.thresholds(0.5)
    assert archive.rescore(character_id=archive.books.character("somebody else")).looked == 0
    batch = archive.books.generation(second[0]).batch_id
    assert archive.rescore(batch_id=batch, character_id=archive.lulu).accepted == second
    assert archive.rescore().accepted == first


def test_what_somebody_works_on_is_left(archive: Archive) -> None:
    (taken_up,) = archive.judged([[0.7]])
    archive.judged([[0.7]])
    archive.thresholds(0.5)

    class Meanwhile(ScoringOnDemand):
        """A person sends the first one back while its scores are computed."""

        def known(self, sources: Sequence[Source]) -> Embedded | None:
            archive.books.sql(
                "UPDATE generations SET state = 'queued', completed_at = NULL WHERE id = :id", id=taken_up
            )
            return super().known(sources)

    done = rescore(archive.resources, Meanwhile(no_model, kept=archive.kept, name=MODEL.name))
    assert [one.generation_id for one in done.left] == [taken_up]
    assert archive.states() == ["queued", "completed"]
    assert archive.rescore().looked == 1, "what waits in the queue is not looked at"


def test_pictures_of_workers_with_other_arithmetic_are_judged_each_by_its_own(archive: Archive) -> None:
    archive.judged([[0.7]])
    archive.judged([[0.7]], model=replace(MODEL, dtype="bfloat16"))
    archive.thresholds(0.5)
    assert len(archive.rescore().accepted) == 2
    assert {row.origin["dtype"] for row in archive.books.rows(verdicts)} == {"float32", "bfloat16"}


class Elsewhere:
    """Another model: everything is embedded anew from the originals, and all of it looks like the reference."""

    name = "nobody/other"

    def known(self, sources: Sequence[Source]) -> Embedded | None:
        return None

    def embedded(self, sources: Sequence[Source], **_: object) -> Embedded:
        outcomes: dict[str, Embedding | LikenessError] = {}
        for source in sources:
            try:
                source.read()
                outcomes[source.sha256] = embedding(0.99)
            except LikenessError as failure:
                outcomes[source.sha256] = failure
        return Embedded(model=replace(MODEL, name=self.name, revision="other"), outcomes=outcomes)


def test_another_model_judges_from_the_originals_and_names_those_that_are_gone(archive: Archive) -> None:
    here, gone = archive.judged([[0.2], [0.2]])
    store = archive.resources.store
    key = store.put(b"original", ending="png").key
    reference = store.put(b"reference", ending="png", prefix="references").key
    archive.books.sql("UPDATE generation_assets SET r2_key = :key WHERE generation_id = :id", key=key, id=here)
    archive.books.sql("UPDATE character_references SET r2_key = :key", key=reference)
    done = rescore(archive.resources, Elsewhere())
    assert done.accepted == [here]
    (left,) = done.left
    assert left.generation_id == gone
    assert "pictures/" in left.why
    assert archive.states() == ["completed", "rejected"]
    assert {row.origin["model"] for row in archive.books.rows(verdicts)} == {"small", "nobody/other"}


def test_a_picture_of_several_characters_passes_when_it_is_all_of_them(archive: Archive) -> None:
    zoe = archive.books.character("zoe", core=0.5)
    both, one = archive.judged([[0.9, 0.8], [0.9]])
    archive.books.sql("UPDATE generations SET further_character_ids = ARRAY[:zoe]::uuid[]", zoe=zoe)
    # As far from Zoe as 0.6 is from Lulu: the cosine of 0.9 with it is 0.89, that of 0.1 is 0.86.
    archive.kept.put_many({sha256(b"zoe"): embedding(0.6)}, model=MODEL.fingerprint)
    archive.thresholds(0.75)
    archive.thresholds(0.95, character=zoe)
    done = archive.rescore()
    assert done.verdicts == 6
    assert archive.states() == ["completed", "rejected"], "0.8 is near enough to both, 0.9 is not"
    bests = {row.generation_id: row.position for row in archive.books.rows(generation_assets) if row.best}
    assert bests == {both: 1, one: 0}


def test_the_best_of_several_characters_is_the_one_whose_worst_is_best() -> None:
    def verdict(core: float) -> Verdict:
        return Verdict(
            scores=Scores(core=core, style=1.0), thresholds=Thresholds(version=1, core=0.5, style=0.0, origin="x")
        )

    pictures = [[verdict(0.99), verdict(0.4)], [verdict(0.6), verdict(0.6)], [verdict(0.9), verdict(0.55)]]
    assert best_for_all(pictures) == 1
    assert [passed_by_all(one) for one in pictures] == [False, True, True]
    assert best_for_all([[verdict(0.6)], [verdict(0.7)]]) == 1
    assert not passed_by_all([])


def test_killed_in_the_middle_and_run_again_it_comes_to_the_same_end(
    archive: Archive, home: Path, database_url: str
) -> None:
    archive.judged([[0.4 + number / 50, 0.5] for number in range(12)])
    archive.thresholds(0.55)
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PROGRAM, database_url, str(home)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        process.send_signal(signal.SIGKILL)
    states: Mapping[str, int] = {state: archive.states().count(state) for state in ("completed", "rejected")}
    assert states == {"completed": 0, "rejected": 12}, "the first four are judged, and none of them passes"
    first = archive.rescore()
    assert (first.looked, first.unchanged) == (12, 4)
    assert archive.states() == ["rejected"] * 8 + ["completed"] * 4
    assert len({row.threshold_version for row in archive.books.rows(verdicts)}) == 1
    after = archive.story()
    assert archive.rescore().unchanged == 12
    assert archive.story() == after
