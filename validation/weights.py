"""Find the weight files of a model in a folder or the hub's cache, download them, and compute their digest. No torch.

A download is compared with the digests that the hub states. What was cut short is kept for the next call, and what is
damaged is thrown away, so that the same call again is enough.
"""

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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


_BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights on this machine.

    Args:
        model: what CLIP_MODEL has to be to use them.
        digest: as in every score's origin (`validation.weights.revision`).
        files: where they lie.
        downloaded: False where they had been there.
    """

    model: str
    digest: str
    files: Sequence[Path]
    downloaded: bool


def download(model: str, *, into: Path | None = None, expected: str | None = None) -> Weights:
    """Have the weights of `model` on this machine.

    Args:
        model: a name on the hub; a local folder is only checked.
        into: a folder of its own instead of the hub's cache.
        expected: the digest they must have.

    Raises:
        ModelUnloadable: no such model, no hub, no space, or another digest; the message says what to do.
    """
    local = Path(model).expanduser().is_dir()
    target = model if local or into is None else str(into)
    wanting = not local and not (_weights_in(into) if into is not None else weight_files(model))
    if wanting:
        with _failures(model):
            _download(model, into)
    there = weight_files(target)
    if not there:
        raise ModelUnloadable(f"the hub has no weights of {model!r} that can be read here")
    digest = revision(target)
    if expected is not None and digest != expected.lower():
        raise ModelUnloadable(
            f"the weights of {model!r} have the digest {digest} and not {expected}: this is another revision, or not"
            " what was meant; nothing uses them until CLIP_MODEL says so"
        )
    return Weights(model=target, digest=digest, files=there, downloaded=wanting)


def _weights_in(folder: Path) -> list[Path]:
    return [*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")]


def _download(model: str, into: Path | None) -> None:
    from huggingface_hub import snapshot_download

    folder = Path()
    for weights in ("*.safetensors", "pytorch_model*.bin"):
        # Many repositories have both formats, which would double the download. The newest revision is meant; which one
        # it was is told by the digest that every score carries.
        patterns = [*_BESIDE_WEIGHTS, weights]
        folder = Path(str(snapshot_download(model, local_dir=into, allow_patterns=patterns)))  # nosec B615
        if _weights_in(folder):
            break
    for file in _weights_in(folder):
        stated, found = _stated_digest(model, file.name), _sha256(file)
        if stated is not None and stated != found:
            file.resolve().unlink()
            file.unlink(missing_ok=True)
            raise ModelUnloadable(
                f"{file.name} of {model!r} came damaged: its SHA-256 is {found}, and the hub states {stated}; it was"
                " thrown away, so fetch it again"
            )


def _stated_digest(model: str, name: str) -> str | None:
    """The SHA-256 that the hub states for a large file; None for a small one."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    etag = get_hf_file_metadata(hf_hub_url(model, name)).etag or ""
    return etag if _SHA256.fullmatch(etag) else None


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _failures(model: str) -> Iterator[None]:
    from httpx2 import HTTPError
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise ModelUnloadable(f"{model!r} asks for an agreement: accept it on the hub, then `hf auth login`") from error
    except RepositoryNotFoundError as error:
        raise ModelUnloadable(f"the hub knows no model {model!r}; check the spelling of CLIP_MODEL") from error
    except ModelUnloadable:
        raise
    except (HTTPError, OSError) as error:
        if getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise ModelUnloadable(
                f"no space is left for the weights of {model!r} ({error}); free some or choose another folder, then"
                " fetch them again: what has come is kept"
            ) from error
        offline = os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}
        why = "HF_HUB_OFFLINE is set" if offline else next(iter(str(error).splitlines()), type(error).__name__)
        hub = os.environ.get("HF_ENDPOINT", "the hub")
        raise ModelUnloadable(
            f"{model!r} is not on this machine and could not be had from {hub} ({why}); `likeness models fetch` fetches"
            " it where there is a network, or set CLIP_MODEL to a local folder"
        ) from error
