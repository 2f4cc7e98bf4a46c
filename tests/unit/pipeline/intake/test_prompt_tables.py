"""What people write into prompt files becomes what is meant, or is named with its line; ordinary prompts stay."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.errors import BadInput
from pipeline.intake.findings import Findings, read_kinds
from pipeline.intake.prompt_file import read_prompts
from pipeline.intake.prompt_rows import PromptRow, rows_of
from pipeline.intake.templates import read_variables
from tests.support.ordinary_prompts import ordinary_prompts
from tests.support.prompt_tables import CASES, Case
from tests.support.source import ROOT


def told(row: PromptRow) -> dict[str, Any]:
    """Everything that a row says beside its prompt and its place."""
    words = {name: getattr(row, name) for name in ("index", "theme", "variation", "character", "provider", "model")}
    return {name: text for name, text in words.items() if text is not None} | dict(row.settings) | dict(row.extra)


def written(case: Case, folder: Path) -> Path:
    for name, content in case.beside.items():
        (folder / name).write_text(content, encoding="utf-8")
    path = folder / case.name
    path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_a_file_becomes_the_rows_that_are_meant(tmp_path: Path, case: Case) -> None:
    options = dict(zip(case.options, [*case.options[1:], ""], strict=False))
    findings = Findings(
        strict="--strict" in options, lenient=read_kinds([options["--lenient"]] if "--lenient" in options else [])
    )
    path = written(case, tmp_path)
    variables = read_variables(tmp_path / options["--vars"]) if "--vars" in options else None
    given: dict[str, Any] = {
        "approved_only": "--approved-only" in options,
        "variables": variables,
        "findings": findings,
    }
    if case.refused is not None:
        with pytest.raises(BadInput) as caught:
            read_prompts(path, **given)
        assert case.refused in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    rows = read_prompts(path, **given)
    wanted = [(row, None) if isinstance(row, str) else row for row in case.rows or ()]
    assert [row.prompt for row in rows] == [prompt for prompt, _ in wanted]
    for row, (_, rest) in zip(rows, wanted, strict=True):
        if isinstance(rest, Mapping):
            assert told(row) == dict(rest)


def test_the_example_s_prompts_are_ordinary() -> None:
    rows = read_prompts(ROOT / "examples" / "lulu-pig" / "prompts.csv")
    assert len(rows) >= 28
    assert rows.warnings == []


def test_a_thousand_ordinary_prompts_are_left_as_they_are(tmp_path: Path) -> None:
    prompts = ordinary_prompts(1_000)
    assert len(set(prompts)) == 1_000
    findings = Findings(strict=True)
    assert [row.prompt for row in rows_of(prompts, findings=findings)] == prompts
    path = tmp_path / "p.txt"
    path.write_text("\n".join(prompts), encoding="utf-8")
    assert [row.prompt for row in read_prompts(path, findings=findings)] == prompts
    assert list(findings.sentences()) == []
