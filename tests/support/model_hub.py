"""A model hub of a test's own: what huggingface_hub asks of one, answered from a folder of repositories."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(slots=True)
class ModelHub:
    """What it has, and how it misbehaves.

    Args:
        root: OWNER/NAME folders.
        url: for HF_ENDPOINT.
        damaged: files whose content is not what their digest says.
        cut: files of which only the first half is sent.
        sent: files that were asked for in full or in part.
    """

    root: Path
    url: str = ""
    damaged: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    hub: ModelHub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def _answer(self, *, with_body: bool) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._repository("/".join(parts[2:4]), as_tree=parts[4:5] == ["tree"])
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), "/".join(parts[4:]), with_body=with_body)
        else:
            self._end(404, {})

    def _repository(self, name: str, *, as_tree: bool) -> None:
        folder = self.server.hub.root / name
        if not folder.is_dir():
            self._end(404, {"X-Error-Code": "RepoNotFound"})
            return
        files = sorted(folder.iterdir())
        whole = {"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": one.name} for one in files]}
        said = [_entry(one) for one in files] if as_tree else whole
        self._end(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    def _file(self, name: str, file: str, *, with_body: bool) -> None:
        hub, content = self.server.hub, (self.server.hub.root / name / file).read_bytes()
        digest = _digest(file, content)
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if not with_body:
            self._end(200, {**headers, "Content-Length": str(len(content))})
            return
        hub.sent.append(file)
        if file in hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked, whole = self.headers.get("Range", "bytes=0-"), len(content)
        begin = int(asked.removeprefix("bytes=").partition("-")[0])
        content = content[begin:]
        headers |= {"Content-Length": str(len(content)), "Content-Range": f"bytes {begin}-{whole - 1}/{whole}"}
        if file in hub.cut:
            content = content[: len(content) // 2]
            self.close_connection = True
        self._end(206 if begin else 200, headers, content)

    def _end(self, status: int, headers: dict[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)


def _digest(name: str, content: bytes) -> str:
    """As the hub names contents: large ones by SHA-256, small ones as git does."""
    large = name.endswith((".safetensors", ".bin"))
    return hashlib.new("sha256" if large else "sha1", content).hexdigest()


def _entry(file: Path) -> dict[str, object]:
    content = file.read_bytes()
    digest = _digest(file.name, content)
    entry: dict[str, object] = {"type": "file", "path": file.name, "size": len(content), "oid": digest[:40]}
    if len(digest) == 64:
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 132}
    return entry


@contextmanager
def model_hub(root: Path) -> Iterator[ModelHub]:
    """A hub over the OWNER/NAME folders of `root`."""
    hub = ModelHub(root)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = hub
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
