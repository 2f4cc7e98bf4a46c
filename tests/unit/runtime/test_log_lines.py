"""Log lines as JSON: one object per event, about the attempt that the thread works on."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline.process.bound_ids import bound_ids, working_on
from tests.support.commands import ROOT

_PROCESS = """
import logging
from pipeline.process.bound_ids import working_on
from runtime.process import main_of

def role():
    log = logging.getLogger("pipeline")
    log.warning("before")
    with working_on(attempt_id="a1", generation_id="g1"):
        try:
            raise ValueError("in two\\nlines")
        except ValueError:
            log.exception("during %s", "work")
    log.info("after")

main_of(role)
"""


def lines_of(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr.splitlines()


def test_an_event_is_one_object_and_names_what_it_is_about() -> None:
    before, during, after = (json.loads(line) for line in lines_of(LIKENESS_LOG="json"))
    assert (before["level"], before["logger"], before["message"]) == ("WARNING", "pipeline", "before")
    assert (during["attempt_id"], during["generation_id"], during["message"]) == ("a1", "g1", "during work")
    assert "ValueError: in two\nlines" in during["exception"]
    assert "attempt_id" not in before
    assert "attempt_id" not in after


def test_without_the_variable_lines_are_for_people() -> None:
    assert lines_of()[0] == "WARNING pipeline: before"


def test_threads_work_on_their_own_things() -> None:
    with working_on(attempt_id=1), ThreadPoolExecutor(1) as pool, working_on(lane="ttapi"):
        assert pool.submit(bound_ids).result() == {}
        found: Any = dict(bound_ids())
    assert found == {"attempt_id": "1", "lane": "ttapi"}
    assert not bound_ids()
