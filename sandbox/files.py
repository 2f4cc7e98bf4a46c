"""Upload endpoint: stores files under their digest and serves them, mostly references."""

import hashlib
import os
import threading
from pathlib import Path

from sandbox.web import BadRequest, Reply, Request, json_reply

ROUTE = "/_sandbox/files"
# Query parameter in which a service names the job that it fetches a file for.
FOR_JOB = "x-sandbox-job"
TYPES = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"GIF8", "gif", "image/gif"),
    (b"RIFF", "webp", "image/webp"),
    (b"II*\x00", "tif", "image/tiff"),
    (b"MM\x00*", "tif", "image/tiff"),
)


def kind_of(content: bytes) -> str:
    """The ending of the kind of file that this is, by its first bytes; `bin` for any other."""
    return next((ending for magic, ending, _ in TYPES if content.startswith(magic)), "bin")


class Files:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        for unfinished in folder.glob("*.part"):
            unfinished.unlink(missing_ok=True)

    def keep(self, content: bytes) -> Path:
        """The file of this content, written unless it exists."""
        path = self._folder / f"{hashlib.sha256(content).hexdigest()}.{kind_of(content)}"
        if not path.exists():
            unfinished = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
            unfinished.write_bytes(content)
            unfinished.replace(path)
        return path

    def answer(self, request: Request) -> Reply:
        """PUT or POST stores the body and returns its address; GET returns it. Raises `BadRequest`."""
        if request.method in {"PUT", "POST"}:
            if not request.body:
                raise BadRequest("the body is the file, and it is empty")
            return json_reply({"url": f"{request.base_url}{ROUTE}/{self.keep(request.body).name}"})
        path = self._folder / Path(request.path).name
        if not path.is_file():
            return json_reply({"error": f"no file {path.name!r}"}, 404)
        types = {f".{ending}": media_type for _, ending, media_type in TYPES}
        return Reply(body=path.read_bytes(), content_type=types.get(path.suffix, "application/octet-stream"))
