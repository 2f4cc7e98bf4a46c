"""The local store: whole or absent, verified when read, and never outside its folder."""

import os
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadInput, PictureLost
from domain.ids import AttemptId, sha256
from storage.folder import FolderStore

CONTENT = b"\x89PNG\r\n\x1a\n and so on"
KEY = f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_what_was_put_is_what_is_got(store: FolderStore) -> None:
    stored = store.put(CONTENT, ending="png")
    assert stored.key == KEY
    assert stored.url is None
    assert store.get(stored.key) == CONTENT
    assert store.path_of(stored.key).read_bytes() == CONTENT


def test_the_same_content_twice_is_one_file(store: FolderStore, tmp_path: Path) -> None:
    assert store.put(CONTENT, ending="png") == store.put(CONTENT, ending="png")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_a_prefix_keeps_kinds_apart(store: FolderStore) -> None:
    stored = store.put(CONTENT, ending="jpg", prefix="references/lulu-pig")
    assert stored.key.startswith("references/lulu-pig/")
    assert store.get(stored.key) == CONTENT


def test_absence_is_file_not_found(store: FolderStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.get(KEY)


def test_a_damaged_file_is_not_handed_out(store: FolderStore) -> None:
    store.put(CONTENT, ending="png")
    store.path_of(KEY).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(PictureLost, match="damaged"):
        store.get(KEY)


@pytest.mark.parametrize("left", [CONTENT[:5], CONTENT[:-1] + b"x", b""])
def test_putting_the_content_again_repairs_a_damaged_file(store: FolderStore, left: bytes) -> None:
    store.put(CONTENT, ending="png")
    store.path_of(KEY).write_bytes(left)
    store.put(CONTENT, ending="png")
    assert store.get(KEY) == CONTENT


@pytest.mark.parametrize(
    "key",
    [
        "../outside.png",
        "/etc/passwd",
        "pictures/../../etc/passwd",
        f"../pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png",
        f"pictures/../{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png",
        f"pictures/00/{sha256(CONTENT)}.png",
        f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png\n",
        f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}.png\x00",
        f"pictures/{sha256(CONTENT)[:2]}/{sha256(CONTENT)}",
        ".unfinished/anything",
        "",
    ],
)
def test_a_key_that_is_none_of_ours_is_refused(store: FolderStore, key: str) -> None:
    with pytest.raises(BadInput, match="no key"):
        store.get(key)


@given(key=st.text(max_size=120))
def test_no_text_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    store = FolderStore(tmp_path_factory.getbasetemp() / "fuzzed")
    with pytest.raises((BadInput, FileNotFoundError)):
        store.get(key)


def test_a_link_out_of_the_folder_is_not_followed(store: FolderStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / Path(KEY).name).write_bytes(CONTENT)
    folder = tmp_path / "store" / "pictures"
    folder.mkdir()
    (folder / sha256(CONTENT)[:2]).symlink_to(outside)
    with pytest.raises(BadInput, match="no key"):
        store.get(KEY)


@pytest.mark.parametrize(
    ("prefix", "ending"), [("../up", "png"), ("", "png"), ("Pictures", "png"), ("p", "../x"), ("p", "")]
)
def test_a_prefix_or_ending_that_no_key_can_hold_is_a_mistake_of_ours(
    store: FolderStore, prefix: str, ending: str
) -> None:
    with pytest.raises(ValueError, match="no key can be made"):
        store.put(CONTENT, ending=ending, prefix=prefix)


def test_content_is_on_the_disk_before_its_name_is(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        happened.append("folder" if os.path.isdir(f"/dev/fd/{descriptor}") else "file")  # noqa: PTH112 - a descriptor
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        happened.append("name")
        return replace(path, target)

    store.put(b"another file of this folder", ending="png")
    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    store.put(CONTENT, ending="png")
    assert happened[-3:] == ["file", "name", "folder"]


def test_a_failed_write_leaves_nothing_behind(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store.put(b"other", ending="png")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.put(CONTENT, ending="png")
    with pytest.raises(FileNotFoundError):
        store.get(KEY)
    assert list((tmp_path / "store" / ".unfinished").iterdir()) == []


def test_many_writers_of_one_content_do_no_harm(store: FolderStore) -> None:
    failures: list[BaseException] = []

    def write() -> None:
        try:
            store.put(CONTENT, ending="png")
        except BaseException as failure:
            failures.append(failure)
            raise

    writers = [threading.Thread(target=write) for _ in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert store.get(KEY) == CONTENT


def test_what_a_dead_writer_left_is_removed_after_a_day(tmp_path: Path) -> None:
    FolderStore(tmp_path)
    old, young = tmp_path / ".unfinished" / "old", tmp_path / ".unfinished" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    FolderStore(tmp_path)
    assert not old.exists()
    assert young.exists()


def test_a_reply_is_found_again_by_its_attempt(store: FolderStore, tmp_path: Path) -> None:
    first, second = AttemptId(uuid4()), AttemptId(uuid4())
    with pytest.raises(FileNotFoundError):
        store.get_reply(first)
    store.put_reply(first, b"{}")
    store.put_reply(first, b'{"later": true}')
    # As another process finds it.
    assert FolderStore(tmp_path / "store").get_reply(first) == b'{"later": true}'
    with pytest.raises(FileNotFoundError):
        store.get_reply(second)


def test_a_deleted_picture_is_gone_and_deleting_again_is_harmless(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    key = store.put(b"a picture", ending="png").key
    store.delete(key)
    store.delete(key)
    with pytest.raises(FileNotFoundError):
        store.get(key)
