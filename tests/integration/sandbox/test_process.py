"""The sandbox as a process: it survives its own death with jobs and bill, and never outlives its parent."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import pytest

from sandbox.process import NotStarted, SandboxProcess, running
from tests.support.sandbox_client import Caller, Listener, until


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    created = SandboxProcess(tmp_path / "data", latency_s=1.0, size_px=64)
    yield created
    created.kill()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended stays a zombie where nobody collects orphans; it is gone for our purpose.
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def resumed(process: SandboxProcess, caller: Caller) -> Caller:
    """The same customer at the sandbox's new address."""
    again = Caller(process.start())
    again.key = caller.key
    again.http.headers["TT-API-KEY"] = caller.key
    caller.close()
    return again


def test_jobs_and_bill_survive_the_death_of_the_sandbox(process: SandboxProcess, listener: Listener) -> None:
    caller = Caller(process.start())
    job_ids = [caller.accepted(f"pig {number} --v 7", hookUrl=listener.url) for number in range(6)]
    before = caller.bill()
    process.kill()
    caller = resumed(process, caller)
    assert [line["job_id"] for line in before] == [line["job_id"] for line in caller.bill()] == job_ids
    for job_id in job_ids:
        assert caller.ended(job_id)["status"] == "SUCCESS"
    until(lambda: {body["jobId"] for body in listener.received} == set(job_ids), what="every callback")
    assert [line["charged_usd"] for line in caller.bill()] == ["0.02"] * 6
    caller.close()


def test_no_accepted_job_is_missing_from_the_bill_whenever_the_sandbox_dies(tmp_path: Path) -> None:
    process = SandboxProcess(tmp_path, size_px=64, concurrency=1000)
    url = process.start()
    answered: list[str] = []

    def submit_until_it_dies() -> None:
        caller = Caller(url)
        caller.key = "shared"
        caller.http.headers["TT-API-KEY"] = "shared"
        try:
            while True:
                answered.append(caller.accepted("a naked pig"))
        except httpx2.TransportError:
            caller.close()

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(submit_until_it_dies)
        until(lambda: len(answered) >= 40, what="forty accepted jobs")
        process.kill()
    caller = Caller(process.start())
    billed = [line["job_id"] for line in caller.http.get("/_sandbox/bill").json()["jobs"]]
    caller.close()
    process.stop()
    assert len(set(billed)) == len(billed)
    assert set(answered) <= set(billed)
    # A job may have been accepted while its reply was on the way, one per connection at most.
    assert len(billed) - len(answered) <= 4


def test_a_job_drawn_before_the_death_keeps_its_pictures(process: SandboxProcess) -> None:
    caller = Caller(process.start())
    job_id = caller.accepted()
    picture = caller.http.get(caller.ended(job_id)["data"]["images"][2]).content
    process.kill()
    caller = resumed(process, caller)
    assert caller.http.get(caller.fetch(job_id)["data"]["images"][2]).content == picture
    caller.close()


def test_a_stuck_job_is_stuck_after_the_death_too(process: SandboxProcess) -> None:
    caller = Caller(process.start())
    caller.arm({"where": "submit", "what": "stuck", "count": 1})
    stuck = caller.accepted(mode="turbo")
    process.kill()
    caller = resumed(process, caller)
    assert caller.ended(caller.accepted(mode="turbo"))["status"] == "SUCCESS"
    assert caller.fetch(stuck)["status"] in {"PENDING_QUEUE", "ON_QUEUE"}
    caller.clear()
    assert caller.ended(stuck)["status"] == "SUCCESS"
    caller.close()


def test_the_drawing_processes_end_with_the_sandbox(process: SandboxProcess) -> None:
    caller = Caller(process.start())
    caller.ended(caller.accepted(mode="turbo"))
    artists = caller.http.get("/_sandbox/health").json()["artists"]
    caller.close()
    assert artists
    assert all(alive(pid) for pid in artists)
    process.kill()
    until(lambda: not any(alive(pid) for pid in artists), what="the end of the artists")


def test_a_drawing_process_that_dies_is_replaced(process: SandboxProcess) -> None:
    caller = Caller(process.start())
    caller.ended(caller.accepted(mode="turbo"))
    for pid in caller.http.get("/_sandbox/health").json()["artists"]:
        os.kill(pid, signal.SIGKILL)
    assert caller.ended(caller.accepted(mode="turbo"))["status"] == "SUCCESS"
    caller.close()


def test_the_sandbox_ends_when_its_parent_dies(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sandbox.process import SandboxProcess\n"
        "process = SandboxProcess(Path(sys.argv[1])); process.start(); print(process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.communicate()
    until(lambda: not alive(pid), what="the end of the sandbox")


def test_two_sandboxes_never_share_a_data_folder(tmp_path: Path) -> None:
    with (
        running(tmp_path),
        pytest.raises(NotStarted, match=r"another sandbox uses .*; stop it, or name another --data"),
    ):
        SandboxProcess(tmp_path).start()
    with running(tmp_path):
        pass


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with running(tmp_path / "first") as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(NotStarted, match=rf"127\.0\.0\.1:{port} cannot be listened on .*in use.*another --port"):
            SandboxProcess(tmp_path / "second", port=port).start()


def test_hundreds_of_connections_are_served_at_once(tmp_path: Path) -> None:
    with running(tmp_path, size_px=64) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        connections = [HTTPConnection(host, int(port), timeout=60) for _ in range(300)]
        for _ in range(2):  # the second round is on the connections kept alive
            for connection in connections:
                connection.request("GET", "/ttapi/midjourney/v1/info", headers={"TT-API-KEY": "k"})
            replies = [connection.getresponse() for connection in connections]
            assert [reply.status for reply in replies] == [200] * len(connections)
            assert all(reply.read() for reply in replies)
        for connection in connections:
            connection.close()
