"""Pictures and specifications in the columns of a prompt file: the same way as a single picture, row by row."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from db.schema import generations
from domain.access import LOCAL_TEAM
from domain.errors import BadInput, ServiceMissing
from domain.ids import GenerationId
from pipeline.intake.commit import commit
from pipeline.intake.order import Order
from pipeline.intake.plan import Plan
from pipeline.intake.plan import prepare as plan
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import rows_of
from pipeline.intake.stage_wishes import stage_wishes
from pipeline.preparing.prepare import prepare
from sandbox.drawing.picture import draw
from tests.support.command_line import CommandLine
from tests.support.commands import ROOT
from tests.support.steps import StepRunner
from validation.clip import ClipScorer

CLIP = str(ROOT / "sandbox" / "clip")
SPEC = {"records": [{"garmentType": "evening gown", "colors": {"primary": "burgundy"}}]}


@pytest.fixture(scope="module")
def scorer() -> Iterator[ClipScorer]:
    with ClipScorer.load(CLIP, device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture
def runner_with_scorer(runner: StepRunner, scorer: ClipScorer) -> StepRunner:
    return replace(runner, resources=replace(runner.resources, scorer=scorer, scoring_model=CLIP))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "order"
    (made / "photos").mkdir(parents=True)
    drawn = draw("a fox in a red dress on a sunny beach", references=[], weight=0, seed=3, variation=0, size=(400, 500))
    drawn.convert("RGB").save(made / "photos" / "fox.jpg")
    (made / "gown.json").write_text(json.dumps(SPEC))
    return made


def planned(runner: StepRunner, path: Path, **more: Any) -> Plan:
    rows = read_prompts(path)
    order = Order(
        name="order", user_id="me", provider="sandbox", prompts=rows, folder=path.parent, findings=rows.findings, **more
    )
    return plan(runner.resources, order)


def prepared(runner: StepRunner) -> list[Any]:
    for row in runner.books.rows(generations):
        prepare(runner.resources, GenerationId(row.id))
    return sorted(runner.books.rows(generations), key=lambda row: row.position)


def test_rows_of_a_table_with_pictures_specifications_and_words(runner_with_scorer: StepRunner, folder: Path) -> None:
    path = folder / "order.csv"
    path.write_text(
        "prompt,image,vlt\n"
        ",photos/fox.jpg,\n"
        "seen from behind,photos/fox.jpg,\n"
        ",,gown.json\n"
        f',,"{json.dumps(SPEC).replace(chr(34), chr(34) * 2)}"\n'
        "a pig,,\n"
    )
    commit(runner_with_scorer.resources, planned(runner_with_scorer, path))
    before = {row.position: (row.state, row.prompt) for row in runner_with_scorer.books.rows(generations)}
    assert before[0] == ("preparing", "(from fox.jpg)")
    assert before[4][1] == "a pig"
    rows = prepared(runner_with_scorer)
    assert {row.state for row in rows} <= {"queued", "admitted"}
    assert "on a sunny beach" in rows[0].prompt
    assert rows[1].prompt.startswith("seen from behind, ")
    assert rows[2].prompt.startswith("a burgundy evening gown")
    assert rows[3].pipeline_data["prepare"]["vlt"] == rows[2].pipeline_data["prepare"]["vlt"]
    assert "stages" not in rows[4].pipeline_data
    assert runner_with_scorer.resources.store.get(rows[0].pipeline_data["prepare"]["image"])


def test_a_file_that_is_run_again_makes_nothing_twice(runner_with_scorer: StepRunner, folder: Path) -> None:
    path = folder / "order.json"
    path.write_text(json.dumps([{"image": "photos/fox.jpg"}, {"vlt": SPEC, "theme": "Gowns"}]))
    assert commit(runner_with_scorer.resources, planned(runner_with_scorer, path)).new == 2
    again = planned(runner_with_scorer, path)
    assert (again.known, sum(one.count for one in again.new)) == (2, 0)
    Image.new("RGB", (64, 64), "blue").save(folder / "photos" / "fox.jpg")
    assert sum(one.count for one in planned(runner_with_scorer, path).new) == 1, "another picture is another wish"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (",photos/none.jpg,", "line 3.*none.jpg' cannot be read"),
        (",gown.json,", "line 3.*'gown.json' cannot be used"),
        (",http://127.0.0.1/fox.jpg,", "line 3.*private network"),
        (',,"{""garmentTyp"": ""gown""}"', "line 3.*did you mean 'garmentType'"),
        (",,none.json", "line 3.*none.json' cannot be read"),
        (",,photos/fox.jpg", "line 3.*is no JSON"),
    ],
)
def test_what_cannot_be_used_is_its_line_in_one_sentence(
    runner_with_scorer: StepRunner, folder: Path, row: str, sentence: str
) -> None:
    path = folder / "order.csv"
    path.write_text(f"prompt,image,vlt\na pig,,\n{row}\n")
    with pytest.raises(BadInput) as refused:
        planned(runner_with_scorer, path)
    assert refused.match(sentence)
    assert runner_with_scorer.books.rows(generations) == []


def test_rows_of_a_request_read_no_file_of_this_machine(runner_with_scorer: StepRunner, folder: Path) -> None:
    for row, sentence in (
        ({"image": str(folder / "photos" / "fox.jpg")}, "POST /api/generate/from-image"),
        ({"vlt": str(folder / "gown.json")}, "write its JSON itself"),
    ):
        order = Order(name="order", user_id="me", provider="sandbox", prompts=rows_of([row]), team=LOCAL_TEAM)
        with pytest.raises(BadInput, match=sentence):
            plan(runner_with_scorer.resources, order)


def test_words_of_a_model_have_a_price_before_anything_is_asked(runner_with_scorer: StepRunner, folder: Path) -> None:
    class Priced:
        model = "words"

        def most_usd(self, question: Any) -> Decimal:
            return Decimal("0.01") if question.picture is None else Decimal("0.05")

        def ask(self, question: Any, *, begin_by: float) -> Any:
            raise AssertionError("nobody asks in a plan")

    path = folder / "order.csv"
    path.write_text("prompt,image\n,photos/fox.jpg\na pig,\n")
    wishes = stage_wishes(analysis="llm", enhance="llm")
    with pytest.raises(ServiceMissing, match="no model for words is set"):
        planned(runner_with_scorer, path, preparation=wishes)
    asking = replace(runner_with_scorer, resources=replace(runner_with_scorer.resources, words=Priced()))
    found = planned(asking, path, preparation=wishes)
    assert found.words_usd == Decimal("0.07")
    assert found.at_most_usd == found.words_usd + sum(one.at_most_usd for one in found.new)
    assert planned(asking, path).words_usd == 0


def test_auto_lends_the_words_of_the_nearest_persona(
    runner_with_scorer: StepRunner, likeness: CommandLine, folder: Path
) -> None:
    likeness.document("persona", "create", "sandy", "--description", "a sunny beach by the sea, sand, surf")
    likeness.document("persona", "create", "woody", "--description", "a dark forest, trees, mushrooms")
    path = folder / "order.csv"
    path.write_text("prompt,image\na bear between trees in a forest,\n,photos/fox.jpg\n")
    likeness.document("enqueue", path, "--provider", "sandbox", "--persona", "auto", "--optimise", "off")
    words, picture = prepared(runner_with_scorer)
    for row, persona, others in ((words, "woody", "sandy"), (picture, "sandy", "woody")):
        (stage,) = [one for one in row.pipeline_data["stages"] if one["name"] == "persona"]
        assert (stage["outcome"], stage["detail"]["persona"]) == ("done", persona)
        assert stage["detail"]["scores"][persona] > stage["detail"]["scores"][others]
        assert all(word in row.prompt for word, _ in stage["detail"]["words"])
        assert row.pipeline_data["prepare"]["optimise"] == "off"
    told = likeness.document("show", "order/0")
    assert "persona" in [one["name"] for one in told["stages"]]
