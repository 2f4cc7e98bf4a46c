"""A reference is the picture behind its address: a finished batch whose links were renewed costs nothing again."""

import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from db.session import Database
from domain.errors import BadInput
from pipeline.intake.commit import commit
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan, prepare
from pipeline.intake.prompt_rows import PromptRow
from pipeline.process.reference_cache import ReferenceCache
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.steps import StepRunner, runner_of


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


class Host(ThreadingHTTPServer):
    """Gives the picture of a path, whatever its link says beside; a path that it does not know is gone."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Page)
        self.pictures: dict[str, bytes] = {"/lulu.png": png("pink"), "/zoe.png": png("teal")}
        self.asked: list[str] = []

    def link(self, name: str, *, until: int = 1) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}.png?until={until}"


class _Page(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        found = self.server.pictures.get(self.path.partition("?")[0])
        self.send_response(404 if found is None else 200)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def runner(database: Database, sent: Sent, home: Path, host: Host) -> Iterator[StepRunner]:
    with runner_of(database, url=f"http://127.0.0.1:{host.server_port}", sent=sent, home=home) as opened:
        yield opened


def _plan(runner: StepRunner, *prompts: str, settings: Mapping[str, Any], **order: Any) -> Plan:
    """As another process would make it, which remembers no address."""
    rows = [PromptRow(position=at, line=at + 2, prompt=one, settings={}, extra={}) for at, one in enumerate(prompts)]
    wanted = Order(name="batch", user_id=USER, provider="sandbox", prompts=rows, settings=settings, **order)
    return prepare(replace(runner.resources, reference_cache=ReferenceCache()), wanted)


def _settings(host: Host, *, until: int, name: str = "lulu") -> Mapping[str, Mapping[str, Any]]:
    link = host.link(name, until=until)
    return {
        "cref_urls": {"cref_urls": [link], "cref_weight": 80},
        "sref": {"sref": f"{link}::2 123"},
        "image_urls": {"image_urls": link},
        "oref_url": {"oref_url": link},
    }


@pytest.mark.parametrize("setting", ["cref_urls", "sref", "image_urls", "oref_url"])
def test_a_fresh_link_to_the_same_picture_costs_nothing_even_with_redo(
    runner: StepRunner, host: Host, setting: str
) -> None:
    runner.books.sql("UPDATE lanes SET concurrency = 1")
    commit(runner.resources, _plan(runner, "one", "two", settings=_settings(host, until=1)[setting]))
    runner.books.sql("UPDATE generations SET state = 'rejected', completed_at = now() WHERE prompt = 'two'")
    for redo in (False, True):
        plan = _plan(runner, "one", "two", "three", settings=_settings(host, until=2)[setting], redo=redo)
        assert (plan.known, len(plan.changed), sum(one.count for one in plan.new)) == (2, 0, 1)
        assert plan.warnings == []
    written = commit(runner.resources, plan)
    assert (written.new, written.known, written.changed, written.vanished) == (1, 2, 0, [])
    again = commit(runner.resources, _plan(runner, "one", "two", "three", settings=_settings(host, until=3)[setting]))
    assert (again.new, again.known) == (0, 3)


def test_a_fresh_link_in_the_prompt_itself_costs_nothing(runner: StepRunner, host: Host) -> None:
    def prompt(until: int) -> str:
        return f"{host.link('zoe', until=until)} a pig --cref {host.link('lulu', until=until)}"

    commit(runner.resources, _plan(runner, prompt(1), settings={}))
    plan = _plan(runner, prompt(2), settings={})
    assert (plan.known, plan.expected_usd) == (1, 0)
    host.pictures["/zoe.png"] = png("grey")
    assert _plan(runner, prompt(3), settings={}).known == 0, "another picture makes another prompt"


def test_another_picture_is_another_reference(runner: StepRunner, host: Host) -> None:
    commit(runner.resources, _plan(runner, "one", settings=_settings(host, until=1)["cref_urls"]))
    other = _settings(host, until=1, name="zoe")["cref_urls"]
    plan = _plan(runner, "one", settings=other)
    assert (plan.known, len(plan.changed), plan.expected_usd) == (0, 1, 0)
    assert "--redo makes them again" in plan.warnings[0]
    assert commit(runner.resources, _plan(runner, "one", settings=other, redo=True)).new == 1


def test_another_picture_under_the_old_address_is_named(runner: StepRunner, host: Host) -> None:
    settings = _settings(host, until=1)["cref_urls"]
    commit(runner.resources, _plan(runner, "one", settings=settings))
    host.pictures["/lulu.png"] = png("grey")
    plan = _plan(runner, "one", settings=settings)
    assert (plan.known, plan.expected_usd) == (1, 0)
    assert "another picture is behind" in plan.warnings[0]


def test_a_link_that_could_not_be_looked_at_pays_for_nothing_either(runner: StepRunner, host: Host) -> None:
    commit(runner.resources, _plan(runner, "one", settings=_settings(host, until=1)["cref_urls"]))
    plan = _plan(runner, "one", settings=_settings(host, until=2)["cref_urls"], look=False)
    assert (plan.known, len(plan.changed), plan.expected_usd) == (0, 1, 0)
    assert plan.looks.in_words() == "1 reference was not looked at (--no-look)"


def test_each_address_is_looked_at_once_and_before_anything_is_written(runner: StepRunner, host: Host) -> None:
    plan = _plan(runner, *map(str, range(20)), settings=_settings(host, until=1)["cref_urls"])
    assert host.asked == ["/lulu.png?until=1"]
    assert plan.looks.in_words() == "1 reference was looked at"
    assert runner.sent.take("submit") == []
    gone = {"cref_urls": [host.link("nobody")], "cref_weight": 80}
    with pytest.raises(BadInput, match=r"1 of the references .* line 2: the reference '.*nobody.*' is not sent"):
        _plan(runner, "one", settings=gone)
    assert _plan(runner, "one", settings=gone, look=False).looks.passed_over == 1


def test_a_link_of_finished_rows_may_have_run_out(runner: StepRunner, host: Host) -> None:
    settings = _settings(host, until=1)["cref_urls"]
    commit(runner.resources, _plan(runner, "one", settings=settings))
    host.pictures.clear()
    assert _plan(runner, "one", settings=settings).known == 1
    with pytest.raises(BadInput, match="can't be used"):
        _plan(runner, "one", "two", settings=settings)
