"""The digest of the weights: the files that count, and nothing else."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from domain.errors import ModelUnloadable
from validation.weights import revision, weight_files


def test_one_file_has_its_own_sha256(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "pytorch_model.bin").write_bytes(b"older weights")
    assert revision(str(tmp_path)) == hashlib.sha256(b"weights").hexdigest()


def test_old_weights_count_where_there_are_no_others(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"older weights")
    assert revision(str(tmp_path)) == hashlib.sha256(b"older weights").hexdigest()


def parts(folder: Path, *contents: bytes) -> str:
    names = [f"model-{n:05}.safetensors" for n in range(len(contents))]
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_bytes(content)
    index = {"weight_map": {f"layer.{n}": name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return str(folder)


def test_several_files_have_one_digest_that_changes_with_each(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = parts(tmp_path / "one", b"a", b"b"), parts(tmp_path / "other", b"a", b"c")
    assert len(weight_files(one)) == 2
    assert revision(one) != revision(other)


def test_a_missing_part_is_noticed(tmp_path: Path) -> None:
    model = parts(tmp_path, b"a", b"b")
    (tmp_path / "model-00001.safetensors").unlink()
    with pytest.raises(ModelUnloadable, match="incomplete"):
        revision(model)


def test_no_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnloadable, match="holds no weights"):
        revision(str(tmp_path))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"before")
    before = revision(str(tmp_path))
    weights.write_bytes(b"after!")
    os.utime(weights, ns=(1, 1))
    assert revision(str(tmp_path)) != before


def test_a_name_whose_weights_are_not_here_has_no_digest() -> None:
    assert weight_files("nobody/clip-of-nowhere") == []
    with pytest.raises(ModelUnloadable, match="likeness models fetch"):
        revision("nobody/clip-of-nowhere")
