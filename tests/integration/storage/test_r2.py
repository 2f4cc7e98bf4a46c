"""A bucket over HTTP: put twice, damaged, refused, away in the middle of a batch and back again."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from cli.operations import doctor_services
from cli.operations.doctor_checks import Health
from db.records import uploads
from db.schema import generation_assets
from db.schema_checks import character_references
from db.session import Database
from domain.errors import BadInput, PictureLost, ServiceMissing
from domain.ids import AttemptId, sha256
from pipeline.attempts.upload import readdress, upload
from runtime.settings import Settings, read_settings
from storage.base import StoreAway
from storage.folder import FolderStore
from storage.mirrored import MirroredStore
from storage.r2 import R2Store
from tests.conftest import Sent
from tests.support.bucket import CDN, BucketServer, bucket_server
from tests.support.steps import StepRunner, runner_of

CONTENT = b"\x89PNG\r\n\x1a\n and so on"
KEY = f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png"


@pytest.fixture
def server() -> Iterator[BucketServer]:
    with bucket_server() as started:
        yield started


@pytest.fixture
def store(server: BucketServer) -> Iterator[R2Store]:
    with closing(R2Store(server.settings())) as opened:
        yield opened


@pytest.fixture
def mirrored(store: R2Store, tmp_path: Path) -> MirroredStore:
    return MirroredStore(FolderStore(tmp_path / "pictures"), store, pause_s=0)


@pytest.fixture
def runner(
    database: Database, sandbox_url: str, sent: Sent, home: Path, mirrored: MirroredStore
) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home, store=mirrored) as opened:
        yield opened


def test_what_was_put_is_what_is_got_and_has_a_public_address(store: R2Store) -> None:
    stored = store.put(CONTENT, ending="png")
    assert (stored.key, stored.url) == (KEY, f"{CDN}/{KEY}")
    assert stored.uploaded_at is not None
    assert store.get(KEY) == CONTENT
    assert store.path_of(KEY) is None


def test_a_picture_says_what_it_is_and_that_it_never_changes(store: R2Store, server: BucketServer) -> None:
    store.put(CONTENT, ending="png")
    with server.client() as client:
        head = client.head_object(Bucket=server.name, Key=KEY)
    assert head["ContentType"] == "image/png"
    assert "immutable" in head["CacheControl"]


def test_the_second_put_finds_the_first_and_sends_nothing_more(store: R2Store, server: BucketServer) -> None:
    store.put(CONTENT, ending="png")
    server.calls.clear()
    assert store.put(CONTENT, ending="png").key == KEY
    assert [method for method, _ in server.calls] == ["PUT", "HEAD"]
    assert server.stored_keys() == {KEY}


@pytest.mark.parametrize("left", [CONTENT[:5], CONTENT[:-1] + b"x", b""])
def test_a_damaged_picture_is_not_handed_out_and_is_repaired(store: R2Store, server: BucketServer, left: bytes) -> None:
    store.put(CONTENT, ending="png")
    server.overwrite(KEY, left)
    with pytest.raises(PictureLost, match="damaged"):
        store.get(KEY)
    store.put(CONTENT, ending="png")
    assert store.get(KEY) == CONTENT


def test_absence_is_file_not_found(store: R2Store) -> None:
    for look in (store.get, store.publish):
        with pytest.raises(FileNotFoundError):
            look(KEY)
    with pytest.raises(FileNotFoundError):
        store.get_reply(AttemptId(uuid4()))


def test_a_missing_bucket_names_the_setting(server: BucketServer) -> None:
    with closing(R2Store(server.settings(name="nobody-made-this"))) as store:
        with pytest.raises(StoreAway, match="R2_BUCKET_NAME"):
            store.put(CONTENT, ending="png")
        with pytest.raises(StoreAway, match="R2_BUCKET_NAME"):
            store.get(KEY)


def test_the_buckets_name_in_the_endpoint_is_tolerated(server: BucketServer) -> None:
    with closing(R2Store(server.settings(endpoint_url=f"{server.url}/{server.name}/"))) as store:
        store.put(CONTENT, ending="png")
    assert server.stored_keys() == {KEY}


def test_a_server_that_is_not_there_is_a_store_that_is_away(store: R2Store, server: BucketServer) -> None:
    server.stop()
    for use in (lambda: store.put(CONTENT, ending="png"), lambda: store.get(KEY), lambda: store.publish(KEY)):
        with pytest.raises(StoreAway, match="does not answer") as caught:
            use()
        assert isinstance(caught.value, ServiceMissing)
        assert isinstance(caught.value, OSError)


def test_a_reply_is_found_by_a_worker_of_another_machine_and_its_name_tells_nothing(
    store: R2Store, mirrored: MirroredStore, server: BucketServer, tmp_path: Path
) -> None:
    attempt_id = AttemptId(uuid4())
    mirrored.put_reply(attempt_id, b'{"first": true}')
    mirrored.put_reply(attempt_id, b'{"later": true}')
    elsewhere = MirroredStore(FolderStore(tmp_path / "elsewhere"), store)
    assert elsewhere.get_reply(attempt_id) == b'{"later": true}'
    (key,) = server.stored_keys()
    assert attempt_id.hex not in key


def test_a_picture_of_another_machine_is_read_from_the_bucket(
    store: R2Store, mirrored: MirroredStore, tmp_path: Path
) -> None:
    mirrored.put(CONTENT, ending="png")
    elsewhere = MirroredStore(FolderStore(tmp_path / "elsewhere"), store)
    assert elsewhere.get(KEY) == CONTENT
    assert elsewhere.publish(KEY).uploaded_at is not None


def test_a_file_damaged_on_this_machine_is_read_from_the_bucket(mirrored: MirroredStore) -> None:
    mirrored.put(CONTENT, ending="png")
    mirrored.path_of(KEY).write_bytes(b"damaged")
    assert mirrored.get(KEY) == CONTENT


def test_what_was_put_while_the_bucket_was_away_is_kept_here_and_brought_later(
    mirrored: MirroredStore, server: BucketServer
) -> None:
    server.stop()
    stored = mirrored.put(CONTENT, ending="png", prefix="references/lulu")
    assert (stored.url, stored.uploaded_at) == (None, None)
    assert mirrored.get(stored.key) == CONTENT
    with pytest.raises(StoreAway):
        mirrored.publish(stored.key)
    server.start()
    assert mirrored.publish(stored.key).url == f"{CDN}/{stored.key}"
    assert server.stored_keys() == {stored.key}


def test_pictures_are_in_the_bucket_when_they_are_collected(runner: StepRunner, server: BucketServer) -> None:
    runner.collect(runner.collecting())
    rows = runner.books.rows(generation_assets)
    assert {row.r2_key for row in rows} == server.stored_keys()
    for row in rows:
        assert row.cdn_url == f"{CDN}/{row.r2_key}"
        assert row.uploaded_at is not None
    server.calls.clear()
    assert upload(runner.resources) == 0
    assert server.calls == []


def test_a_batch_goes_on_while_the_bucket_is_away_and_everything_is_there_after_it_is_back(
    runner: StepRunner, server: BucketServer
) -> None:
    runner.enqueue("one", "two", "three")
    first, second, third = runner.sent.take("submit")
    for attempt_id in (first, second, third):
        runner.submit(attempt_id)
    for attempt_id in (first, second, third):
        runner.until_made(attempt_id)
    runner.collect(first)
    server.stop()
    for attempt_id in (second, third):
        assert runner.collect(attempt_id) is None
        assert runner.books.generation_of(attempt_id).state == "completed"
    assert upload(runner.resources) == 0
    waiting = [row for row in runner.books.rows(generation_assets) if row.uploaded_at is None]
    assert {row.attempt_id for row in waiting} == {second, third}
    assert {row.cdn_url for row in waiting} == {None}
    server.start()
    assert upload(runner.resources) == len(waiting) == 8
    rows = runner.books.rows(generation_assets)
    assert server.stored_keys() == {row.r2_key for row in rows}
    assert all(row.uploaded_at and row.cdn_url == f"{CDN}/{row.r2_key}" for row in rows)
    for row in rows:
        runner.resources.store.path_of(row.r2_key).unlink()
        assert sha256(runner.resources.store.get(row.r2_key)) == row.sha256


def test_pictures_made_before_there_was_a_bucket_are_brought_to_it(runner: StepRunner, home: Path) -> None:
    folder = FolderStore(home / "pictures")
    before = replace(runner, resources=replace(runner.resources, store=folder))
    before.collect(before.collecting())
    assert upload(before.resources) == 0
    after = MirroredStore(folder, runner.resources.store._bucket)
    assert upload(replace(runner.resources, store=after)) == 4


@pytest.mark.parametrize("before", [None, "https://old.example.com"])
def test_an_address_that_is_set_later_holds_for_what_was_stored_before(
    runner: StepRunner, server: BucketServer, home: Path, before: str | None
) -> None:
    with closing(R2Store(server.settings(cdn_url=before))) as old:
        first = replace(runner.resources, store=MirroredStore(FolderStore(home / "pictures"), old, pause_s=0))
        replace(runner, resources=first).collecting("a pig of before")
        attempt_id = runner.sent.take("collect")[0]
        replace(runner, resources=first).collect(attempt_id)
        assert readdress(first) == 0
    assert {row.cdn_url is None for row in runner.books.rows(generation_assets)} == {before is None}
    assert readdress(runner.resources) == 4
    for row in runner.books.rows(generation_assets):
        assert row.cdn_url == f"{CDN}/{row.r2_key}"
    assert readdress(runner.resources) == 0


def test_the_doctors_probe_leaves_nothing_behind(store: R2Store, server: BucketServer) -> None:
    store.probe()
    assert [method for method, _ in server.calls[-3:]] == ["PUT", "GET", "DELETE"]
    assert server.stored_keys() == set()
    with closing(R2Store(server.settings(name="elsewhere"))) as other, pytest.raises(StoreAway, match="R2_BUCKET_NAME"):
        other.probe()
    server.stop()
    with pytest.raises(StoreAway, match="does not answer"):
        store.probe()


@pytest.fixture
def settings_of_bucket(server: BucketServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    given = {
        "R2_ENDPOINT_URL": server.url,
        "R2_BUCKET_NAME": server.name,
        "R2_ACCESS_KEY_ID": "key",
        "R2_SECRET_ACCESS_KEY": "secret",
        "R2_CDN_URL": CDN,
        "LIKENESS_HOME": str(home),
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return read_settings()


def test_the_doctor_tries_the_bucket_and_says_which_setting_is_wrong(settings_of_bucket: Settings) -> None:
    good = doctor_services.bucket(settings_of_bucket)
    assert (good.health, good.advice) == (Health.OK, "")
    assert f"public below {CDN}/" in good.found
    wrong = doctor_services.bucket(settings_of_bucket.model_copy(update={"r2_bucket_name": "elsewhere"}))
    assert wrong.health is Health.MISSING
    assert "R2_BUCKET_NAME" in wrong.advice
    away = doctor_services.bucket(settings_of_bucket.model_copy(update={"r2_endpoint_url": "http://127.0.0.1:9"}))
    assert (away.health, "does not answer" in away.found + away.advice) == (Health.MISSING, True)


def test_the_doctor_warns_of_an_address_that_is_throttled(settings_of_bucket: Settings) -> None:
    testing = settings_of_bucket.model_copy(update={"r2_cdn_url": "https://pub-1a2b.r2.dev"})
    check = doctor_services.bucket(testing)
    assert (check.health, "a domain of its own" in check.advice) == (Health.NOTE, True)


def test_a_picture_of_another_machine_waits_for_it_and_holds_up_nobody(
    runner: StepRunner, server: BucketServer
) -> None:
    server.stop()
    runner.collect(runner.collecting())
    gone, *_ = runner.books.rows(generation_assets)
    runner.resources.store.path_of(gone.r2_key).unlink()
    server.start()
    assert upload(runner.resources) == 3
    (left,) = [row for row in runner.books.rows(generation_assets) if row.uploaded_at is None]
    assert left.id == gone.id
    assert upload(runner.resources) == 0


def test_two_uploaders_do_not_take_the_same_pictures(runner: StepRunner, server: BucketServer) -> None:
    server.stop()
    runner.collect(runner.collecting())
    minute = timedelta(minutes=1)
    with runner.resources.database.transaction() as one, runner.resources.database.transaction() as other:
        first = uploads.claim(one, size=3, again_after=minute)
        second = uploads.claim(other, size=3, again_after=minute)
    assert (len(first), len(second)) == (3, 1)
    assert {one.asset_id for one in first}.isdisjoint(one.asset_id for one in second)
    with runner.resources.database.transaction() as connection:
        assert uploads.claim(connection, size=3, again_after=minute) == []
        assert len(uploads.claim(connection, size=9, again_after=timedelta(0))) in {0, 4}


def test_a_reference_has_a_public_address_that_goes_into_the_prompt(runner: StepRunner, server: BucketServer) -> None:
    runner.character()
    (reference,) = runner.books.rows(character_references)
    assert reference.uploaded_at is not None
    assert reference.r2_key in server.stored_keys()
    attempt_id = runner.generating("a pig", character="lulu")
    assert f"{CDN}/{reference.r2_key}" in runner.books.attempt(attempt_id).sent_prompt


def test_a_key_that_is_none_of_ours_is_refused(store: R2Store) -> None:
    for use in (store.get, store.publish, store.path_of):
        with pytest.raises(BadInput):
            use("../outside.png")


def test_a_deleted_picture_is_in_neither_bucket_nor_folder(store: R2Store, mirrored: MirroredStore) -> None:
    key = mirrored.put(b"a picture", ending="png").key
    mirrored.delete(key)
    mirrored.delete(key)
    for one in (store, mirrored):
        with pytest.raises(FileNotFoundError):
            one.get(key)
