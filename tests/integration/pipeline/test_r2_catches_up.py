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
from tests.support.steps import Bench, bench_of


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with bucket_server() as started:
        yield started


@pytest.fixture
def store(server: BucketServer) -> Iterator[R2Store]:
    with closing(R2Store(server.settings())) as opened:
        yield opened


@pytest.fixture
def bench(database: Database, sandbox_url: str, sent: Sent, home: Path, store: R2Store) -> Iterator[Bench]:
    mirrored = MirroredStore(FolderStore(home / "pictures"), store, pause_s=0)
    with bench_of(database, url=sandbox_url, sent=sent, home=home, store=mirrored) as opened:
        yield opened


def test_a_reference_is_asked_for_where_the_bucket_is_public_today(
    bench: Bench, server: BucketServer, home: Path
) -> None:
    with closing(R2Store(server.settings(cdn_url="https://old.example.com"))) as old:
        first = replace(bench.resources, store=MirroredStore(FolderStore(home / "pictures"), old, pause_s=0))
        replace(bench, resources=first).character()
    (reference,) = bench.books.rows(character_references)
    attempt_id = bench.generating("a pig", character="lulu")
    sent_prompt = bench.books.attempt(attempt_id).sent_prompt
    assert f"{CDN}/{reference.r2_key}" in sent_prompt
    assert "old.example.com" not in sent_prompt


def test_references_of_a_character_that_was_added_while_the_bucket_was_away_catch_up(
    bench: Bench, server: BucketServer
) -> None:
    server.stop()
    bench.character("lulu")
    bench.character("zoe")
    assert [row.uploaded_at for row in bench.books.rows(character_references)] == [None, None]
    assert upload(bench.resources) == 0
    server.start()
    assert upload(bench.resources) == 1, "both show the same picture"
    rows = bench.books.rows(character_references)
    assert {row.r2_key for row in rows} == server.stored_keys()
    assert all(row.uploaded_at is not None for row in rows)
    server.calls.clear()
    assert upload(bench.resources) == 0
    assert server.calls == []


def test_a_character_whose_references_change_on_the_way_to_the_bucket_keeps_none_of_the_old_word(
    bench: Bench, server: BucketServer, tmp_path: Path
) -> None:
    server.stop()
    bench.character()
    with bench.resources.database.transaction() as connection:
        (claimed,) = uploads.claim(connection, size=9, again_after=timedelta(minutes=1))
    other = tmp_path / "other.png"
    Image.new("RGB", (64, 64), "pink").save(other)
    new = NewCharacter(name="lulu", description="", references=[other], core=0.75, style=0.6, origin="default")
    add(bench.resources, new)
    with bench.resources.database.transaction() as connection:
        uploads.mark_uploaded(connection, {claimed: (None, datetime.now(UTC))})
    (reference,) = bench.books.rows(character_references)
    assert (reference.uploaded_at, reference.r2_key == claimed.r2_key) == (None, False)
    server.start()
    assert upload(bench.resources) == 1
    assert server.stored_keys() == {reference.r2_key}


@pytest.fixture
def as_at_the_service(bench: Bench, sandbox_url: str) -> Iterator[Bench]:
    """A lane like the real service's: nothing can be left there, so references need public addresses."""
    wire = HttpLane("sandbox", "sandbox", adapter=TTAPI(), base_url=f"{sandbox_url}/ttapi", key=bench.caller.key)
    with wire:
        assert not wire.takes_files
        yield replace(bench, resources=replace(bench.resources, lanes={"sandbox": wire}))


def test_a_batch_with_a_character_waits_for_the_bucket_and_goes_on_when_it_is_back(
    as_at_the_service: Bench, server: BucketServer
) -> None:
    bench = as_at_the_service
    server.stop()
    bench.character()
    (reference,) = bench.books.rows(character_references)
    attempt_id = bench.admitted("a pig", character="lulu")
    assert bench.submit(attempt_id) is None
    assert bench.books.generation_of(attempt_id).state == "queued"
    assert bench.charged() == []
    server.start()
    bench.due()
    (again,) = bench.admit()
    assert bench.submit(again) is None
    attempt = bench.books.attempt(again)
    assert (attempt.state, server.stored_keys()) == ("generating", {reference.r2_key})
    assert f"{CDN}/{reference.r2_key}" in attempt.sent_prompt


def test_without_a_public_address_a_character_is_refused_before_anything_is_written(
    as_at_the_service: Bench, server: BucketServer, home: Path
) -> None:
    bench = as_at_the_service
    bench.character()
    with closing(R2Store(server.settings(cdn_url=None))) as private:
        for store in (FolderStore(home / "pictures"), private):
            alone = replace(bench, resources=replace(bench.resources, store=store))
            with pytest.raises(BadInput, match=r"'lulu' have no address.*pass --cref-urls, or set R2_CDN_URL"):
                alone.enqueue("a pig", character="lulu")
            alone.enqueue("a pig", name="without", character="lulu", settings={"references": False})
    assert [row.name for row in bench.books.rows(batches)] == ["without"]


# --- Grids ----------------------------------------------------------------------------------------------------------


def test_a_grid_catches_up_with_the_pictures_that_were_cut_from_it(bench: Bench, server: BucketServer) -> None:
    bench.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = bench.collecting("a pig")
    server.stop()
    bench.collect(attempt_id)
    server.start()
    assert upload(bench.resources) == 4
    rows = bench.books.rows(generation_assets)
    assert server.stored_keys() == {row.r2_key for row in rows} | {row.metadata["grid_key"] for row in rows}


class _AwayAtFirst(MirroredStore):
    """The bucket misses the first file, and has come back for the second."""

    missed = False

    def put(self, content: bytes, *, ending: str, prefix: str = "pictures") -> Stored:
        if self.missed:
            return super().put(content, ending=ending, prefix=prefix)
        self.missed = True
        return self._folder.put(content, ending=ending, prefix=prefix)


def test_a_grid_that_waits_alone_is_brought_too(bench: Bench, server: BucketServer, store: R2Store, home: Path) -> None:
    bench.caller.arm({"where": "fetch", "what": "no_images"})
    attempt_id = bench.collecting("a pig")
    away = _AwayAtFirst(FolderStore(home / "pictures"), store, pause_s=0)
    replace(bench, resources=replace(bench.resources, store=away)).collect(attempt_id)
    rows = bench.books.rows(generation_assets)
    assert server.stored_keys() == {row.r2_key for row in rows}
    assert {row.cdn_url for row in rows} == {f"{CDN}/{row.r2_key}" for row in rows}
    assert upload(replace(bench.resources, store=away)) == 4
    assert server.stored_keys() == {row.r2_key for row in rows} | {row.metadata["grid_key"] for row in rows}
