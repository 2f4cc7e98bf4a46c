"""From a picture, a specification or words to the row of a generation, with the real small CLIP."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from db.schema import generations
from domain.errors import BadInput
from domain.ids import GenerationId
from pipeline.intake.commit import commit
from pipeline.intake.plan import prepare as plan
from pipeline.intake.single import Single, order_of
from pipeline.preparing import input_pictures
from pipeline.preparing.prepare import prepare
from pipeline.process.scorer_on_demand import ScorerOnDemand
from pipeline.views import generations as views
from pipeline.views.stages import stages_of
from runtime.settings import Settings
from sandbox.drawing.picture import draw
from tests.support.commands import ROOT
from tests.support.steps import StepRunner
from validation.base import Scorer
from validation.clip import ClipScorer

CLIP = str(ROOT / "sandbox" / "clip")
SPEC = {
    "records": [
        {
            "garmentType": "evening gown",
            "fabric": {"type": "silk satin"},
            "colors": {"primary": "burgundy"},
            "style": {"aesthetic": "elegant"},
        }
    ]
}


@pytest.fixture(scope="module")
def scorer() -> Iterator[ClipScorer]:
    with ClipScorer.load(CLIP, device="cpu", threads=1) as loaded:
        yield loaded


@pytest.fixture
def runner_with_scorer(runner: StepRunner, scorer: ClipScorer) -> StepRunner:
    return replace(runner, resources=replace(runner.resources, scorer=scorer, scoring_model=CLIP))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    drawn = draw("a fox in a red dress on a sunny beach", references=[], weight=0, seed=3, variation=0, size=(400, 500))
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0)}
    path = tmp_path / "photo.jpg"
    drawn.convert("RGB").save(path, exif=exif)
    assert b"Camera" in path.read_bytes()
    return path


def made(runner: StepRunner, single: Single) -> Any:
    """The row after its preparation, wherever its stages had to run."""
    order, _ = order_of(runner.resources, single, user_id="me")
    commit(runner.resources, plan(runner.resources, order))
    (row,) = runner.books.rows(generations)
    prepare(runner.resources, GenerationId(row.id))
    (row,) = runner.books.rows(generations)
    return row


def test_a_picture_becomes_a_prompt(runner_with_scorer: StepRunner, photo: Path) -> None:
    row = made(runner_with_scorer, Single(image=photo, negative_prompt="blurry", settings={"size": "portrait"}))
    assert row.state == "admitted"
    assert "on a sunny beach" in row.prompt
    assert row.settings == {"aspect_ratio": "3:4", "negative_prompt": "blurry"}
    stages = {one["name"]: one for one in row.pipeline_data["stages"]}
    analysis, enhancement = stages["analysis"], stages["enhancement"]
    (record,) = analysis["added"]["spec"]["records"]
    assert record["scene"] == "on a sunny beach"
    assert 0 < record["confidence"]["scene"] <= 1
    assert {one["name"] for one in analysis["detail"]["colours"]}
    assert analysis["detail"]["calibrated"] is True
    assert len(enhancement["added"]["candidates"]) == 4
    told = {name: one["outcome"] for name, one in stages.items()}
    assert told == {
        "analysis": "done",
        "analysis_fallback": "off",
        "enhancement": "done",
        "persona": "off",
        "routing": "done",
        "optimise": "off",
    }
    kept = runner_with_scorer.resources.store.get(row.pipeline_data["prepare"]["image"])
    assert b"Exif" not in kept
    assert b"Camera" not in kept


def test_weights_of_its_own_read_the_picture_and_are_named(
    runner_with_scorer: StepRunner, scorer: ClipScorer, photo: Path
) -> None:
    asked = []

    def load() -> AbstractContextManager[Scorer]:
        asked.append(CLIP)
        return nullcontext(scorer)

    with ScorerOnDemand(CLIP, load) as other:
        reading = replace(runner_with_scorer.resources, analysis_scorer=other, scoring_model="somebody/large-clip")
        row = made(replace(runner_with_scorer, resources=reading), Single(image=photo))
    (analysis, *_) = row.pipeline_data["stages"]
    assert asked == [CLIP]
    assert analysis["detail"]["model"] == CLIP
    assert analysis["added"]["spec"]["records"][0]["scene"] == "on a sunny beach"


def test_the_sandboxs_own_weights_read_what_is_worn(runner_with_scorer: StepRunner, photo: Path) -> None:
    reads = Settings(CLIP_MODEL=CLIP, ANALYSIS_MODEL=None).analysis_weights
    with ScorerOnDemand(reads, lambda: ClipScorer.load(reads, device="cpu", threads=1)) as other:
        row = made(
            replace(runner_with_scorer, resources=replace(runner_with_scorer.resources, analysis_scorer=other)),
            Single(image=photo),
        )
    (record,) = row.pipeline_data["stages"][0]["added"]["spec"]["records"]
    assert (record["garmentType"], record["scene"]) == ("dress", "on a sunny beach")
    assert (record["sleeves"], record["pattern"]) == ("no sleeves", "polka dot")
    assert "details" not in record, "nobody wears a hat"
    assert "dress" in row.prompt


def test_weights_that_are_nowhere_fail_the_generation_and_say_so(runner_with_scorer: StepRunner, photo: Path) -> None:
    def load() -> AbstractContextManager[Scorer]:
        return ClipScorer.load(str(photo.parent), device="cpu")

    with ScorerOnDemand(str(photo.parent), load) as other:
        reading = replace(runner_with_scorer.resources, analysis_scorer=other)
        row = made(replace(runner_with_scorer, resources=reading), Single(image=photo))
    assert row.state == "failed"
    assert "holds no weights" in row.error_message


def test_the_same_picture_makes_the_same_prompts(runner_with_scorer: StepRunner, photo: Path) -> None:
    first = made(runner_with_scorer, Single(image=photo))
    order, _ = order_of(runner_with_scorer.resources, Single(image=photo, name="again"), user_id="me")
    commit(runner_with_scorer.resources, plan(runner_with_scorer.resources, order))
    (again,) = [row for row in runner_with_scorer.books.rows(generations) if row.id != first.id]
    prepare(runner_with_scorer.resources, GenerationId(again.id))
    (again,) = [row for row in runner_with_scorer.books.rows(generations) if row.id != first.id]
    assert (again.prompt, again.settings) == (first.prompt, first.settings)


def test_a_specification_becomes_a_prompt_with_all_its_words(runner_with_scorer: StepRunner) -> None:
    row = made(runner_with_scorer, Single(vlt=SPEC, block="by Maison Lulu"))
    assert row.prompt.startswith("a burgundy silk satin evening gown, elegant style, ")
    assert row.prompt.endswith("by Maison Lulu")


def test_words_are_kept_first_and_flags_last(runner_with_scorer: StepRunner) -> None:
    row = made(runner_with_scorer, Single(prompt="a red dress --ar 3:4", vlt=SPEC, enhance="local"))
    assert row.prompt.startswith("a red dress, a burgundy silk satin evening gown")
    assert row.prompt.endswith("--ar 3:4")
    assert row.pipeline_data["prepare"]["prompt"] == "a red dress --ar 3:4"


def test_a_flag_behind_one_long_dash_is_a_flag_to_the_stages_too(runner_with_scorer: StepRunner) -> None:
    row = made(runner_with_scorer, Single(prompt="a red dress —no hats", block="by Maison Lulu"))
    assert row.prompt == "a red dress by Maison Lulu —no hats"


@pytest.mark.parametrize(
    ("single", "prompt"),
    [
        (Single(prompt="a pig --no hats", provider="ttapi", settings={"style": "vivid"}), "a pig {} --no hats"),
        (Single(prompt="a pig --ar 16:9", provider="ttapi", settings={"style": "vivid"}), "a pig {} --ar 16:9"),
        (Single(prompt="a pig --seed 4", provider="replicate", negative_prompt="hats"), "a pig Avoid: hats. --seed 4"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_words_for_a_setting_stand_before_the_flags_of_a_prompt(
    runner_with_scorer: StepRunner, single: Single, prompt: str
) -> None:
    order, _ = order_of(runner_with_scorer.resources, single, user_id="me")
    (row,) = order.prompts
    assert row.prompt == prompt.format("Style: vivid, dramatic, hyper-real.")


def test_words_for_a_setting_make_no_prompt_of_a_placeholder(runner_with_scorer: StepRunner) -> None:
    with pytest.raises(BadInput, match="blank"):
        order_of(runner_with_scorer.resources, Single(prompt="TODO", settings={"style": "vivid"}), user_id="me")


def test_words_alone_go_straight_into_the_queue(runner_with_scorer: StepRunner) -> None:
    order, translated = order_of(runner_with_scorer.resources, Single(prompt="a red dress"), user_id="me")
    commit(runner_with_scorer.resources, plan(runner_with_scorer.resources, order))
    (row,) = runner_with_scorer.books.rows(generations)
    assert (row.state, row.prompt, row.pipeline_data, translated) == ("admitted", "a red dress", {}, ())


def test_each_stage_has_its_time_in_the_story(runner_with_scorer: StepRunner, photo: Path) -> None:
    row = made(runner_with_scorer, Single(image=photo))
    details = views.find(runner_with_scorer.resources, str(row.id), user_id="me")
    told = stages_of(details)
    assert [one["name"] for one in told] == [
        "analysis",
        "analysis_fallback",
        "enhancement",
        "persona",
        "routing",
        "optimise",
    ]
    assert all(one["took_ms"] is not None for one in told)


@pytest.mark.parametrize(
    ("single", "sentence"),
    [
        (Single(), "say what the picture should show"),
        (Single(prompt="  "), "say what the picture should show"),
        (Single(image="/nowhere/photo.jpg"), "cannot be read"),
        (Single(image=__file__), "cannot be used"),
        (Single(image="http://127.0.0.1:9/photo.jpg"), "private network"),
        (Single(image="http://[::ffff:127.0.0.1]/photo.jpg"), "private network"),
        (Single(vlt={"garmentTyp": "gown"}), "did you mean 'garmentType'"),
        (Single(vlt={"records": []}), "1 to 8 records"),
        (Single(vlt=SPEC, enhance="off"), "leave --enhance off out"),
        (Single(vlt=SPEC, enhance="loud"), "there are off, local, llm"),
        (Single(prompt="a\x07dress"), "control character"),
        (Single(prompt="a pig --no hats", negative_prompt="text"), "says --no hats and the settings say --no text"),
        (Single(prompt="a pig —no hats", negative_prompt="text"), "says --no hats and the settings say --no text"),
        (Single(prompt="a pig --ar 16:9", settings={"size": "square"}), "--ar 16:9 and the settings say --ar 1:1"),
        (Single(prompt="a pig --seed 4", settings={"seed": 5}), "--seed 4 and the settings say --seed 5"),
        (Single(prompt="a pig --seed 4", settings={"seed": 5}, vlt=SPEC), "--seed 4 and the settings say --seed 5"),
        (Single(prompt="a pig --no hats", negative_prompt="text", vlt=SPEC), "says --no and .* --no text"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_cannot_be_used_is_one_sentence_and_nothing_is_written(
    runner_with_scorer: StepRunner, single: Single, sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        plan(runner_with_scorer.resources, order_of(runner_with_scorer.resources, single, user_id="me")[0])
    assert runner_with_scorer.books.rows(generations) == []


@pytest.mark.parametrize(
    "single",
    [
        Single(prompt="a pig --ar 1:1 --seed 4 --no hats", settings={"size": "square", "seed": 4}),
        Single(prompt="a pig --no no hats", negative_prompt="hats"),
        Single(prompt="a pig --no hats", negative_prompt="hats", vlt=SPEC),
    ],
    ids=repr,
)
def test_what_is_said_twice_and_means_the_same_is_no_contradiction(
    runner_with_scorer: StepRunner, single: Single
) -> None:
    order, _ = order_of(runner_with_scorer.resources, single, user_id="me")
    assert plan(runner_with_scorer.resources, order).total == 1


def test_a_dry_run_and_a_refused_order_leave_no_picture_in_the_store(
    runner_with_scorer: StepRunner, photo: Path
) -> None:
    order, _ = order_of(runner_with_scorer.resources, Single(image=photo), user_id="me")
    planned = plan(runner_with_scorer.resources, order)
    key = input_pictures.key_of(input_pictures.read_input(photo))
    with pytest.raises(FileNotFoundError):
        runner_with_scorer.resources.store.get(key)
    commit(runner_with_scorer.resources, planned)
    assert runner_with_scorer.resources.store.get(key)


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (8000, 8000)).save(path)
    with pytest.raises(BadInput, match="at most 40,000,000 pixels"):
        input_pictures.read_input(path)


def test_a_large_picture_is_kept_smaller(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (3000, 1500), "red").save(path)
    kept = input_pictures.read_input(path)
    assert (kept.width, kept.height) == (2048, 1024)
