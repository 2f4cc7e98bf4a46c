"""Expand files, folders and glob patterns into a list of picture files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from domain.errors import BadInput
from domain.ids import sha256
from reports.provenance import original_of
from validation.embedder import Source

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"})


def picture_files(named: Sequence[str | Path]) -> list[Path]:
    """The files that `named` stands for, without repetitions, in order.

    Args:
        named: files of any extension; folders, for every picture below them, by name; patterns such as
            `out/**/*.png`, for shells that do not expand them.

    Raises:
        BadInput: one matches nothing.
    """
    found: dict[Path, None] = {}
    for one in named:
        paths = list(_files(Path(one)))
        if not paths:
            raise BadInput(f"{str(one)!r} names no picture; give files, folders or patterns such as 'out/*.png'")
        found |= dict.fromkeys(paths)
    return list(found)


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(one for one in path.rglob("*") if _is_picture(one))
    elif path.exists() or not any(sign in str(path) for sign in "*?["):
        if path.exists():
            yield path
    else:
        below = Path(path.anchor)
        pattern = str(path.relative_to(below)) if path.anchor else str(path)
        yield from sorted(one for one in below.glob(pattern) if _is_picture(one))


def _is_picture(path: Path) -> bool:
    """By its name; macOS puts a `._` file beside each picture on a foreign disk, which is none."""
    return path.suffix.lower() in _ENDINGS and not path.name.startswith("._") and path.is_file()


def file_source(path: Path) -> Source:
    """The picture at `path`; read now for its digest, and again only if it must be embedded.

    An exported picture is the one that is stored, whatever record its file has got.

    Raises:
        BadInput: it cannot be read.
    """

    def read() -> bytes:
        return original_of(path.read_bytes())

    try:
        return Source(sha256=sha256(read()), read=read)
    except OSError as error:
        raise BadInput(f"picture {str(path)!r} cannot be read: {error.strerror or error}") from None
