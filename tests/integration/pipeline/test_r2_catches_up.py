"""References and grids are uploads like any other: kept while the bucket is away, and there when it is back."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from db.records import uploads
from db.schema import batches, generation_assets
from db.schema_checks import character_references
from db.session import Database
from domain.errors import BadInput
from pipeline.attempts.upload import upload
from pipeline.characters.definitions import NewCharacter, add
from providers.lane import HttpLane
from providers.ttapi.adapter import TTAPI
from storage.base import Stored
from storage.folder import FolderStore
from storage.mirrored import MirroredStore
from storage.r2 import R2Store
from tests.conftest import Sent
from tests.support.bucket import CDN, BucketServer, bucket_server
from tests.support.steps import StepRunner, runner_of


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with bucket_server() as started:
        yield started


@pytest.fixture
def store(server: BucketServer) -> Iterator[R2Store]:
    with closing(R2Store(server.settings())) as opened:
        yield opened


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path, store: R2Store) -> Iterator[StepRunner]:
    mirrored = MirroredStore(FolderStore(home / "pictures"), store, pause_s=0)
    with runner_of(database, url=sandbox_url, sent=sent, home=home, store=mirrored) as opened:
        yield opened


def test_a_reference_is_asked_for_where_the_bucket_is_public_today(
    runner: StepRunner, server: BucketServer, home: Path
) -> None:
    with closing(R2Store(server.settings(cdn_url="https://old.example.com"))) as old:
        first = replace(runner.resources, store=MirroredStore(FolderStore(home / "pictures"), old, pause_s=0))
        replace(runner, resources=first).character()
    (reference,) = runner.books.rows(character_references)
    attempt_id = runner.generating("a pig", character="lulu")
    sent_prompt = runner.books.attempt(attempt_id).sent_prompt
    assert f"{CDN}/{reference.r2_key}" in sent_prompt
    assert "old.example.com" not in sent_prompt


def test_references_of_a_character_that_was_added_while_the_bucket_was_away_catch_up(
    runner: StepRunner, server: BucketServer
) -> None:
    server.stop()
    runner.character("lulu")
    runner.character("zoe")
    assert [row.uploaded_at for row in runner.books.rows(character_references)] == [None, None]
    assert upload(runner.resources) == 0
    server.start()
    assert upload(runner.resources) == 1, "both show the same picture"
    rows = runner.books.rows(character_references)
    assert {row.r2_key for row in rows} == server.stored_keys()
    assert all(row.uploaded_at is not None for row in rows)
    server.calls.clear()
    assert upload(runner.resources) == 0
    assert server.calls == []


def test_a_character_whose_references_change_on_the_way_to_the_bucket_keeps_none_of_the_old_word(
    runner: StepRunner, server: BucketServer, tmp_path: Path
) -> None:
    server.stop()
    runner.character()
    with runner.resources.database.transaction() as connection:
        (claimed,) = uploads.claim(connection, size=9, again_after=timedelta(minutes=1))
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64), "pink").save(other)
    new = NewCharacter(name="lulu", description="", references=[other], core=0.75, style=0.6, origin="default")
    add(runner.resources, new)
    with runner.resources.database.transaction() as connection:
        uploads.mark_uploaded(connection, {claimed: (None, datetime.now(UTC))})
    (reference,) = runner.books.rows(character_references)
    assert (reference.uploaded_at, reference.r2_key == claimed.r2_key) == (None, False)
    server.start()
    assert upload(runner.resources) == 1
    assert server.stored_keys() == {reference.r2_key}


@pytest.fixture
def as_at_the_service(runner: StepRunner, sandbox_url: str) -> Iterator[StepRunner]:
    """A lane like the real service's: nothing can be left there, so references need public addresses."""
    wire = HttpLane("sandbox", "sandbox", adapter=TTAPI(), base_url=f"{sandbox_url}/ttapi", key=runner.caller.key)
    with wire:
        assert not wire.takes_files
        yield replace(runner, resources=replace(runner.resources, lanes={"sandbox": wire}))


def test_a_batch_with_a_character_waits_for_the_bucket_and_goes_on_when_it_is_back(
    as_at_the_service: StepRunner, server: BucketServer
) -> None:
    runner = as_at_the_service
    server.stop()
    runner.character()
    (reference,) = runner.books.rows(character_references)
    attempt_id = runner.admitted("a pig", character="lulu")
    assert runner.submit(attempt_id) is None
    assert runner.books.generation_of(attempt_id).state == "queued"
    assert runner.charged() == []
    server.start()
    runner.due()
    (again,) = runner.admit()
    assert runner.submit(again) is None
    attempt = runner.books.attempt(again)
    assert (attempt.state, server.stored_keys()) == ("generating", {reference.r2_key})
    assert f"{CDN}/{reference.r2_key}" in attempt.sent_prompt


def test_without_a_public_address_a_character_is_refused_before_anything_is_written(
    as_at_the_service: StepRunner, server: BucketServer, home: Path
) -> None:
    runner = as_at_the_service
    runner.character()
    with closing(R2Store(server.settings(cdn_url=None))) as private:
        for store in (FolderStore(home / "pictures"), private):
            alone = replace(runner, resources=replace(runner.resources, store=store))
            with pytest.raises(BadInput, match=r"'lulu' have no address.*pass --cref-urls, or set R2_CDN_URL"):
                alone.enqueue("a pig", character="lulu")
            alone.enqueue("a pig", name="without", character="lulu", settings={"references": False})
    assert [row.name for row in runner.books.rows(batches)] == ["without"]


# --- Grids ----------------------------------------------------------------------------------------------------------


def test_a_grid_catches_up_with_the_pictures_that_were_cut_from_it(runner: StepRunner, server: BucketServer) -> None:
    runner.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = runner.collecting("a pig")
    server.stop()
    runner.collect(attempt_id)
    server.start()
    assert upload(runner.resources) == 4
    rows = runner.books.rows(generation_assets)
    assert server.stored_keys() == {row.r2_key for row in rows} | {row.metadata["grid_key"] for row in rows}


class _AwayAtFirst(MirroredStore):
    """The bucket misses the first file, and has come back for the second."""

    missed = False

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        if self.missed:
            return super().put(content, ending=ending, prefix=prefix)
        self.missed = True
        return self._folder.put(content, ending=ending, prefix=prefix)


def test_a_grid_that_waits_alone_is_brought_too(
    runner: StepRunner, server: BucketServer, store: R2Store, home: Path
) -> None:
    runner.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = runner.collecting("a pig")
    away = _AwayAtFirst(FolderStore(home / "pictures"), store, pause_s=0)
    replace(runner, resources=replace(runner.resources, store=away)).collect(attempt_id)
    rows = runner.books.rows(generation_assets)
    assert server.stored_keys() == {row.r2_key for row in rows}
    assert {row.cdn_url for row in rows} == {f"{CDN}/{row.r2_key}" for row in rows}
    assert upload(replace(runner.resources, store=away)) == 4
    assert server.stored_keys() == {row.r2_key for row in rows} | {row.metadata["grid_key"] for row in rows}
