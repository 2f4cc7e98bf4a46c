"""A picture in a workbook goes along as its row's reference, is stored with the commit, and is known again."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openpyxl
import pytest
from openpyxl.drawing.image import Image as SheetImage
from PIL import Image

from db.session import Database
from domain.errors import BadInput
from domain.ids import sha256
from domain.stored_pictures import stored_address, stored_picture
from pipeline.intake.commit import commit
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan, prepare
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import rows_of
from pipeline.preparing import input_pictures
from providers.registry import open_lane
from tests.conftest import Sent
from tests.support.books import USER
from tests.support.steps import StepRunner, runner_of, sandbox_at


@pytest.fixture(scope="module")
def sandbox_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sandbox_at(tmp_path_factory.mktemp("sandbox")) as url:
        yield url


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


def workbook(folder: Path, column: str) -> Path:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["prompt", column])
    sheet.append(["a pig", None])
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "pink").save(file, "PNG")
    sheet.add_image(SheetImage(file), "B2")
    path = folder / "prompts.xlsx"
    book.save(path)
    return path


def plan_of(runner: StepRunner, path: Path, **order: Any) -> Plan:
    prompts = read_prompts(path)
    order = {"provider": "sandbox", **order}
    return prepare(
        runner.resources, Order(name="batch", user_id=USER, prompts=prompts, findings=prompts.findings, **order)
    )


def stored_files(home: Path) -> list[Path]:
    return [one for one in (home / "pictures").rglob("*") if one.is_file()]


@pytest.mark.parametrize("column", ["cref_urls", "oref_url", "sref", "image_urls"])
def test_the_service_is_given_an_address_that_it_can_read(
    runner: StepRunner, home: Path, tmp_path: Path, column: str
) -> None:
    plan = plan_of(runner, workbook(tmp_path, column))
    assert f"Sheet!B2: a picture goes along as {column}" in plan.warnings
    assert plan.looks.in_words() == "1 reference was looked at"
    assert stored_files(home) == [], "a dry run leaves nothing"
    commit(runner.resources, plan)
    (file,) = stored_files(home)
    (attempt_id,) = runner.sent.take("submit")
    assert runner.submit(attempt_id) is None
    attempt = runner.books.attempt(attempt_id)
    assert attempt.state == "generating"
    assert ".invalid" not in attempt.sent_prompt
    sent = next(word for word in attempt.sent_prompt.split() if word.startswith("http://127.0.0.1"))
    assert httpx2.get(sent).content == file.read_bytes()


def test_the_same_workbook_costs_nothing_however_its_pictures_are_encoded(
    runner: StepRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path, "sref")
    commit(runner.resources, plan_of(runner, path))
    again = plan_of(runner, path)
    assert (again.known, again.expected_usd) == (1, 0)
    monkeypatch.setattr(input_pictures, "_QUALITY", 40)
    otherwise = plan_of(runner, path)
    assert (otherwise.known, len(otherwise.changed), otherwise.expected_usd) == (1, 0, 0)
    assert commit(runner.resources, otherwise).new == 0


def test_a_picture_needs_a_service_that_takes_files_or_a_bucket(runner: StepRunner, tmp_path: Path) -> None:
    path = workbook(tmp_path, "cref_urls")
    with open_lane("ttapi", "ttapi", base_url="http://127.0.0.1:9", key="none") as lane:
        runner.resources = replace(runner.resources, lanes={"ttapi": lane})
        with pytest.raises(BadInput, match=r"line 2: .* has no address that 'ttapi' could read; set R2_CDN_URL"):
            plan_of(runner, path, provider="ttapi")


def test_an_address_from_another_installation_is_refused(runner: StepRunner) -> None:
    digest = sha256(b"elsewhere")
    address = stored_address(f"inputs/{digest[:2]}/{digest}.jpg", origin=digest)
    assert stored_picture(address) is not None
    rows = list(rows_of([{"prompt": "a pig", "cref_urls": address}]))
    with pytest.raises(BadInput, match=r"line 1: the picture 'inputs/.*is not in the store of this installation"):
        prepare(runner.resources, Order(name="batch", user_id=USER, provider="sandbox", prompts=rows))
