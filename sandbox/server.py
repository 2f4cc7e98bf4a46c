"""Assemble a sandbox: job store, studio, wires, the `/_sandbox` routes and the HTTP server."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from sandbox.bill import bill, log
from sandbox.callbacks import Callbacks, Manner
from sandbox.faults.armed import Faults, answer_faults, misbehave, spoil_picture
from sandbox.faults.kinds import Where
from sandbox.faults.profiles import profile
from sandbox.files import FOR_JOB, Files
from sandbox.files import ROUTE as FILES_ROUTE
from sandbox.jobs import Job, JobStore, Terms
from sandbox.pictures import ROUTE as PICTURES_ROUTE
from sandbox.pictures import Pictures, job_id_of, media_type_of
from sandbox.settings import Settings
from sandbox.studio import Studio
from sandbox.web import BadRequest, Reply, Request, Server, json_reply
from sandbox.wires.openai.routes import PREFIX as OPENAI_PREFIX
from sandbox.wires.openai.routes import OpenAI
from sandbox.wires.replicate.routes import PREFIX as REPLICATE_PREFIX
from sandbox.wires.replicate.routes import Replicate
from sandbox.wires.ttapi.routes import PREFIX, TTAPI


class DataInUse(Exception):
    """Another sandbox uses this data folder."""


class Wire(Protocol):
    """One provider's wire format, over the shared jobs."""

    provider: str
    terms: Terms
    manner: Manner

    def where(self, method: str, path: str) -> Where | None:
        """The kind of call, for faults; None for an unknown address."""

    def answer(self, request: Request) -> Reply: ...

    def forgets(self, job: Job, *, now_s: float) -> bool:
        """Whether the provider has deleted the pictures of a succeeded job."""

    def callback(self, job: Job, *, base_url: str) -> bytes: ...

    def forged_callback(self, job: Job, *, base_url: str) -> bytes: ...


class Sandbox:
    """A running sandbox. Locks the data folder and resumes the jobs in it."""

    def __init__(self, settings: Settings) -> None:
        """Raises `DataInUse`, and `OSError` where the port is taken."""
        settings.data.mkdir(parents=True, exist_ok=True)
        self._lock_file = _take(settings.data / "lock")
        self._server = Server(settings.host, settings.port)
        self.base_url = settings.public_url or f"http://{settings.host}:{self._server.server_port}"
        self.store = JobStore(settings.data / "jobs.sqlite")
        self.faults = Faults()
        self._files = Files(settings.data / "files")
        self._pictures = Pictures(settings.data / "pictures")
        self._callbacks = Callbacks(self.store, self.faults)
        common: Any = {"accepted": self._accepted, "read": self._pictures.read, "keep": self._files.keep}
        self._wires: dict[str, Wire] = {
            PREFIX: TTAPI(settings, self.store, self.faults, accepted=self._accepted),
            REPLICATE_PREFIX: Replicate(settings, self.store, self.faults, **common, stop=self._stop),
            OPENAI_PREFIX: OpenAI(settings, self.store, self.faults, **common),
        }
        self._by_provider = {wire.provider: wire for wire in self._wires.values()}
        self._studio = Studio(
            self.store,
            self._pictures,
            references=self._files,
            terms={provider: wire.terms for provider, wire in self._by_provider.items()},
            artists=settings.artists,
            ended=self._ended,
        )
        self._server.app = self

    def start(self) -> None:
        """Serve in a thread and resume unfinished jobs; returns at once."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="server", daemon=True).start()
        for job in self.store.unfinished():
            self._studio.commission(job)
        for job in self.store.owed_callbacks():
            self._ended(job)

    def close(self) -> None:
        """End in order; unfinished jobs resume at the next start."""
        self._server.shutdown()
        self._server.server_close()
        self._studio.close()
        self._callbacks.close()
        self.store.close()
        self._lock_file.close()

    def drops_unread(self, method: str, path: str) -> bool:
        wire = self._wire_of(path)
        if wire is None or wire.where(method, path) != "submit":
            return False
        fault = self.faults.choose_unread(wire.provider)
        if fault is None:
            return False
        self.store.refuse(
            provider=wire.provider,
            path=path,
            key_digest="",
            received_at_s=time.time(),
            reason=f"fault {fault.name}, unread",
        )
        return True

    def answer(self, request: Request) -> Reply:
        wire = self._wire_of(request.path)
        if wire is not None:
            return wire.answer(request)
        if request.path.startswith(PICTURES_ROUTE):
            return self._picture(request)
        try:
            return self._control(request)
        except BadRequest as error:
            return json_reply({"error": str(error)}, 400)

    def _wire_of(self, path: str) -> Wire | None:
        return next((wire for prefix, wire in self._wires.items() if path.startswith(f"{prefix}/")), None)

    def _picture(self, request: Request) -> Reply:
        name = request.path.removeprefix(PICTURES_ROUTE)
        job = self.store.get(job_id_of(name))
        content = self._pictures.read(name) if job is not None and job.state == "succeeded" else None
        if job is None or content is None or self._by_provider[job.provider].forgets(job, now_s=time.time()):
            return Reply(status=404, body=b"not found", content_type="text/plain")
        fault = self.faults.choose("picture", job.provider, prompt=job.prompt)
        kept = (("Cache-Control", "public, max-age=31536000"),)
        whole = Reply(body=content, content_type=media_type_of(name), headers=kept)
        return misbehave(
            fault,
            act=lambda: spoil_picture(fault, whole),
            refuse=lambda status: Reply(status=status, body=b"error", content_type="text/plain"),
        )

    def _control(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if path == FILES_ROUTE or path.startswith(f"{FILES_ROUTE}/"):
            return self._file(request)
        if path == "/_sandbox/faults":
            return self._switch_faults(request)
        told: dict[str, Callable[[], object]] = {
            "/_sandbox/bill": lambda: bill(self.store),
            "/_sandbox/log": lambda: log(self.store),
            "/_sandbox/happened": lambda: {"happened": self.faults.happened()},
            "/_sandbox/health": lambda: {"status": "ok", "pid": os.getpid(), "artists": self._studio.artist_pids()},
        }
        if path not in told:
            return json_reply({"error": f"no such address: {request.path}", "wires": sorted(self._wires)}, 404)
        return json_reply(told[path]())

    def _file(self, request: Request) -> Reply:
        """A file that a client uploads, or a reference that a service fetches for a job.

        Faults hit only fetches that name a job.
        """
        job = self.store.get(request.header(FOR_JOB))
        fault = None
        if request.method in {"PUT", "POST"}:
            fault = self.faults.choose("upload", "files")
        elif job is not None:
            fault = self.faults.choose("reference", job.provider, prompt=job.prompt)
        return misbehave(
            fault,
            act=lambda: self._files.answer(request),
            refuse=lambda status: json_reply({"error": f"fault {status}"}, status),
        )

    def _switch_faults(self, request: Request) -> Reply:
        document = answer_faults(self.faults, request, profile=profile)
        if request.method == "DELETE":
            for job in self.store.release_stuck():
                self._studio.commission(job)
        return json_reply(document | {"stuck": [job.job_id for job in self.store.unfinished() if job.stuck]})

    def _accepted(self, job: Job) -> None:
        wire = self._by_provider[job.provider]
        self._callbacks.accepted(
            job, forged=lambda job: wire.forged_callback(job, base_url=self.base_url), manner=wire.manner
        )
        with self._callbacks.overtaking(job):
            self._studio.commission(job)

    def _stop(self, job_id: str) -> None:
        self._studio.stop(job_id)

    def _ended(self, job: Job) -> None:
        wire = self._by_provider[job.provider]
        self._callbacks.ended(job, body=lambda job: wire.callback(job, base_url=self.base_url), manner=wire.manner)


def _take(path: Path) -> IO[str]:
    """Lock the folder while the file is open; the system releases the lock when the process dies."""
    lock_file = path.open("a")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock_file.close()
        raise DataInUse(f"another sandbox uses {str(path.parent)!r}; stop it, or name another --data") from None
    return lock_file
