"""The table of prompts through the real command line: the sandbox's own record says what was asked and paid."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from db.schema import attempts
from db.session import Database
from domain.ids import AttemptId
from domain.states import AttemptState
from providers.catalogue import load
from tests.conftest import Sent
from tests.support.books import Books
from tests.support.command_line import CommandLine
from tests.support.commands import wait_for
from tests.support.prompt_cases import CASES, Case
from tests.support.steps import StepRunner, runner_of

#: Braces are a prompt file's placeholders before they are Midjourney's permutations, and here they are let through.
PASSING = ("--provider", "sandbox", "--lenient", "template")
PROVIDERS = {"ttapi": "sandbox", "replicate": "replicate", "openai": "openai"}


@pytest.fixture
def runner(database: Database, sandbox_url: str, sent: Sent, home: Path) -> Iterator[StepRunner]:
    with runner_of(database, url=sandbox_url, sent=sent, home=home) as opened:
        yield opened


@pytest.fixture
def given(sandbox_url: str) -> Mapping[str, str]:
    """A lane for each wire; a dry run asks none of them."""
    return {
        "SANDBOX_BASE_URL": sandbox_url,
        "REPLICATE_API_TOKEN": "r8_prompts",
        "REPLICATE_BASE_URL": f"{sandbox_url}/replicate",
        "OPENAI_API_KEY": "sk-prompts",
        "OPENAI_BASE_URL": f"{sandbox_url}/openai",
    }


def provider(case: Case) -> str:
    return PROVIDERS[load().get(case.model).provider]


def written(path: Path, cases: Sequence[Case]) -> Path:
    """A file with a row for each case."""
    rows = [
        {"prompt": one.prompt, "model": one.model, "provider": provider(one), **one.settings, "index": str(number)}
        for number, one in enumerate(cases)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def without_our_seed(text: str, case: Case) -> str:
    return text if "--seed" in str(case.sent) else re.sub(r" --seed \d+", "", text)


def in_state(runner: StepRunner, state: AttemptState) -> list[AttemptId]:
    with runner.resources.database.transaction() as connection:
        return [AttemptId(row.id) for row in connection.execute(select(attempts.c.id).where(attempts.c.state == state))]


def submit_all(runner: StepRunner) -> None:
    """Every attempt that is admitted, whoever published it, until each has been made."""

    def nothing_is_left() -> bool:
        runner.admit()
        for attempt_id in in_state(runner, AttemptState.ADMITTED):
            assert runner.submit(attempt_id) is None
        runner.due()
        runner.sweep()
        return not in_state(runner, AttemptState.ADMITTED) and not in_state(runner, AttemptState.GENERATING)

    wait_for(nothing_is_left, what="every job of the batch")


def test_what_is_sent_is_one_paid_job_each_of_what_was_meant(
    likeness: CommandLine, books: Books, runner: StepRunner, tmp_path: Path
) -> None:
    cases = [
        case
        for case in CASES
        if provider(case) == "sandbox" and case.sent is not None
        # Nobody has a picture at the addresses of the table; what they become is told by the unit tests.
        if "https://" not in case.prompt and not case.settings.get("cref_urls")
    ]
    assert len(cases) >= 45
    said = likeness.document("enqueue", written(tmp_path / "cases.jsonl", cases), *PASSING)
    assert said["new"] == len(cases)
    submit_all(runner)
    jobs = runner.caller.bill()
    assert len(jobs) == len(cases), "one job each, and no prompt made several"
    asked = sorted(str(job["prompt"]) for job in jobs)
    # Those with a seed of their own first: without its seed, one of them is like a case that has none.
    for case in sorted(cases, key=lambda one: "--seed" not in str(one.sent)):
        match = next((one for one in asked if without_our_seed(one, case) == case.sent), None)
        assert match is not None, f"nobody asked for {case.sent!r}; was asked: {asked}"
        asked.remove(match)


def test_every_warning_of_the_table_is_told_before_anything_is_spent(likeness: CommandLine, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.sent is not None]
    call = ("enqueue", written(tmp_path / "cases.jsonl", cases), *PASSING, "--dry-run", "--no-look")
    warnings = likeness.document(*call)["warnings"]
    for case in cases:
        for part in case.warned:
            assert any(part in one for one in warnings), f"{part!r} is not among {warnings}"


def test_every_refusal_of_the_table_is_one_sentence_with_its_line(likeness: CommandLine, tmp_path: Path) -> None:
    for case in (one for one in CASES if one.sent is None):
        path = written(tmp_path / "case.jsonl", [case])
        call = ("enqueue", path, *PASSING, "--dry-run", "--no-look")
        error = likeness.document(*call, code=2)["error"]["message"]
        assert case.refused in error, case
        assert "line 1" in error, case
