"""Supervision of worker processes, with small real processes in their place."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.embedded.locks import wait_until
from runtime.supervisor import Child, ChildEvent, ChildReport, Supervisor

ROOT = Path(__file__).resolve().parents[3]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
WAITS = "import signal; print('ready'); signal.pause()"
DEADLINE_S = 30.0


class Witness:
    """Everything the children said and everything reported of them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.reports: list[ChildReport] = []
        self._lock = threading.Lock()

    def line(self, name: str, text: str) -> None:
        with self._lock:
            self.lines.append((name, text))

    def report(self, report: ChildReport) -> None:
        with self._lock:
            self.reports.append(report)

    def happenings(self, name: str) -> list[ChildEvent]:
        return [report.happening for report in self.reports if report.name == name]

    def heard(self, name: str, text: str, times: int = 1) -> None:
        eventually(lambda: self.lines.count((name, text)) >= times, lambda: f"{name} never said {text!r}: {self.lines}")


@pytest.fixture
def witness() -> Witness:
    return Witness()


def eventually(condition: Callable[[], bool], complaint: Callable[[], str] = lambda: "never came true") -> None:
    assert wait_until(condition, timeout_s=DEADLINE_S), complaint()


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def python(name: str, code: str, **changes: object) -> Child:
    settings = {"grace_s": 5.0, **changes}
    return Child(name=name, argv=(sys.executable, "-c", code), env=ENV, **settings)  # type: ignore[arg-type]  # any field


@contextmanager
def family(witness: Witness, **settings: object) -> Iterator[Supervisor]:
    quick = {"first_pause_s": 0.01, **settings}
    with Supervisor(witness.line, witness.report, **quick) as children:  # type: ignore[arg-type]  # any setting
        yield children


def test_every_line_of_a_child_arrives_with_its_name(witness: Witness, tmp_path: Path) -> None:
    code = "import sys; print('one'); print('zwölf', file=sys.stderr); sys.stdout.write('no end')"
    log = tmp_path / "child.log"
    with family(witness) as children:
        children.start(python("io", code, restarts=False, log=log))
        eventually(lambda: ChildEvent.ENDED in witness.happenings("io"))
    assert sorted(witness.lines) == [("io", "no end"), ("io", "one"), ("io", "zwölf")]
    assert sorted(log.read_text("utf-8").split("\n"))[-3:] == ["no end", "one", "zwölf"]
    assert children.given_up() == ("io",)


def test_a_child_that_died_is_started_again(witness: Witness) -> None:
    with family(witness) as children:
        children.start(python("gpu", WAITS))
        witness.heard("gpu", "ready")
        first = children.pids()["gpu"]
        os.kill(first, signal.SIGKILL)
        witness.heard("gpu", "ready", times=2)
        assert children.pids()["gpu"] != first
    ended = next(report for report in witness.reports if report.happening is ChildEvent.ENDED)
    assert (ended.pid, ended.status, ended.again_in_s) == (first, -signal.SIGKILL, 0.01)
    assert witness.happenings("gpu")[-1] is ChildEvent.STOPPED
    assert children.pids() == {}


def test_a_child_that_keeps_dying_is_given_up_after_growing_pauses(witness: Witness) -> None:
    with family(witness, gives_up_after=4, longest_pause_s=0.02) as children:
        children.start(python("beat", "raise SystemExit(1)"))
        eventually(lambda: ChildEvent.GAVE_UP in witness.happenings("beat"))
        assert children.given_up() == ("beat",)
    ends = [report for report in witness.reports if report.status is not None]
    assert [report.again_in_s for report in ends] == [0.01, 0.02, 0.02, None]
    assert {report.status for report in ends} == {1}


@pytest.mark.parametrize("status", [2, 3])
def test_a_child_that_says_three_times_that_it_cannot_run_is_given_up_however_long_it_took(
    witness: Witness, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("runtime.supervisor.STEADY_AFTER_S", 0.0)
    with family(witness) as children:
        children.start(python("gpu", f"raise SystemExit({status})"))
        eventually(lambda: ChildEvent.GAVE_UP in witness.happenings("gpu"))
    ends = [report for report in witness.reports if report.status is not None]
    assert [report.again_in_s for report in ends] == [0.01, 0.02, None]


def test_a_child_that_dies_otherwise_in_between_is_not_taken_at_its_word(witness: Witness, tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    code = (
        "from pathlib import Path\n"
        f"lives = Path({str(lives)!r})\n"
        "number = len(lives.read_text()) if lives.exists() else 0\n"
        "lives.write_text('x' * (number + 1))\n"
        "raise SystemExit([3, 3, 75, 3, 3, 3][number])\n"
    )
    with family(witness) as children:
        children.start(python("gpu", code))
        eventually(lambda: ChildEvent.GAVE_UP in witness.happenings("gpu"))
    assert lives.read_text() == "x" * 6


def test_children_stop_in_the_order_asked_for(witness: Witness) -> None:
    with family(witness, stop_order=(("beat",), ("io", "gpu"), ("sandbox",))) as children:
        for name in ("sandbox", "io", "extra", "gpu", "beat"):
            children.start(python(name, WAITS))
        for name in ("sandbox", "io", "extra", "gpu", "beat"):
            witness.heard(name, "ready")
    stopped = [report.name for report in witness.reports if report.happening is ChildEvent.STOPPED]
    assert stopped[:2] == ["extra", "beat"]
    assert set(stopped[2:4]) == {"io", "gpu"}
    assert stopped[4:] == ["sandbox"]


def test_a_child_that_will_not_stop_is_killed_with_its_own_children(witness: Witness) -> None:
    code = (
        "import signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(inner.pid)\n"
        "signal.pause()\n"
    )
    with family(witness) as children:
        children.start(python("io", code, grace_s=0.2))
        eventually(lambda: bool(witness.lines))
        grandchild = int(witness.lines[0][1])
        assert is_alive(grandchild)
    assert witness.reports[-1].status == -signal.SIGKILL
    eventually(lambda: not is_alive(grandchild))


def test_what_a_crashed_child_had_started_goes_with_it(witness: Witness) -> None:
    code = (
        "import os, signal, subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(inner.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with family(witness) as children:
        children.start(python("io", code, restarts=False))
        eventually(lambda: ChildEvent.ENDED in witness.happenings("io"))
        eventually(lambda: not is_alive(int(witness.lines[0][1])))


def test_a_second_child_of_the_same_name_is_refused(witness: Witness) -> None:
    with family(witness) as children:
        children.start(python("io", WAITS))
        with pytest.raises(ValueError, match="'io' already"):
            children.start(python("io", WAITS))


def test_a_program_that_cannot_run_is_an_error_at_once(witness: Witness) -> None:
    with family(witness) as children, pytest.raises(FileNotFoundError):
        children.start(Child(name="io", argv=("/nonexistent/program",), env=ENV))


def parent_of(child_code: str) -> subprocess.Popen[str]:
    """A process of its own whose only child runs `child_code`; the child's lines come out of its output."""
    code = (
        "import signal, sys\n"
        "from runtime.supervisor import Child, Supervisor\n"
        "say = lambda name, text: print(text, flush=True)\n"
        "with Supervisor(say, lambda report: None) as children:\n"
        f"    children.start(Child(name='io', argv=(sys.executable, '-c', {child_code!r}), env={ENV!r}))\n"
        "    signal.pause()\n"
    )
    return subprocess.Popen([sys.executable, "-c", code], env=ENV, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stubborn", [False, True], ids=["obedient", "stubborn"])
def test_a_child_dies_when_its_parent_is_killed(stubborn: bool) -> None:  # noqa: FBT001  pytest fills it in
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " if stubborn else ""
    child = (
        f"import os, signal; from runtime.supervisor import die_with_parent; {ignore}"
        "die_with_parent(grace_s=0.2); print(os.getpid(), 'LIKENESS_PARENT_PIPE' in os.environ)\n"
        "while True: signal.pause()"
    )
    with parent_of(child) as parent:
        assert parent.stdout is not None
        pid, still_in_environment = parent.stdout.readline().split()
        assert still_in_environment == "False"
        parent.kill()
        parent.wait()
        eventually(lambda: not is_alive(int(pid)))


def test_a_process_started_by_hand_watches_no_parent(tmp_path: Path) -> None:
    code = (
        "import threading; from runtime.supervisor import die_with_parent; die_with_parent(); "
        "print(threading.active_count())"
    )
    with (tmp_path / "some file").open("wb") as other:
        for value in ({}, {"LIKENESS_PARENT_PIPE": "977"}, {"LIKENESS_PARENT_PIPE": str(other.fileno())}):
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**ENV, **value},
                pass_fds=(other.fileno(),),
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.strip() == "1"
