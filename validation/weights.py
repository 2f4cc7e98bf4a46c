"""Find the weight files of a model in a folder or the hub's cache, and compute their digest. No torch, no network."""

import hashlib
from functools import lru_cache
from pathlib import Path

from domain.errors import ModelUnloadable
from validation.preprocessing import find_file, read_json

# In the order in which transformers looks for them.
_WHOLE = ("model.safetensors", "pytorch_model.bin")


def revision(model: str) -> str:
    """Hexadecimal digest of the weights of `model`, a local folder or a name in the hub's cache.

    One file: its SHA-256, which is also what the hub shows beside it. Several: the SHA-256 over their names and
    digests. Cached per process until the files change; a gigabyte takes about a second.

    Raises:
        ModelUnloadable: there are no weights.
    """
    if not (files := weight_files(model)):
        raise ModelUnloadable(
            f"the weights of {model!r} are not on this machine; fetch them with `likeness models fetch`"
        )
    digests = {file.name: _digest_of(file) for file in files}
    if len(digests) == 1:
        return next(iter(digests.values()))
    listing = "\n".join(f"{name} {digest}" for name, digest in sorted(digests.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def weight_files(model: str) -> list[Path]:
    """The files from which transformers reads the weights of `model`; empty if the hub's cache lacks any of them.

    Raises:
        ModelUnloadable: a path to nothing, or a folder without weights or with only some of them.
    """
    for name in _WHOLE:
        if (whole := find_file(model, name)) is not None:
            return [whole]
        if (index := read_json(model, f"{name}.index.json")) is not None:
            found = [find_file(model, part) for part in sorted(set(index.get("weight_map", {}).values()))]
            there = [file for file in found if file is not None]
            if there and len(there) == len(found):
                return there
            if Path(model).expanduser().is_dir():
                raise ModelUnloadable(f"the weights in {model!r} are incomplete: {name}.index.json names missing files")
    if Path(model).expanduser().is_dir():
        raise ModelUnloadable(f"{model!r} holds no weights: there is neither {_WHOLE[0]} nor {_WHOLE[1]}")
    return []


def _digest_of(file: Path) -> str:
    at = file.resolve()
    found = at.stat()
    return _digest(at, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=64)
def _digest(file: Path, _mtime_ns: int, _size_bytes: int) -> str:
    """SHA-256 of `file`; the other arguments are part of the cache key, so that a changed file is read again."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
