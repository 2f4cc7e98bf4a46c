"""The tables of cases by which reading prompts and workbooks is held: none is lost from them, and none stands twice."""

from tests.support.prompt_cases import CASES as PROMPTS
from tests.support.prompt_tables import TABLES
from tests.unit.pipeline.intake.workbooks import test_tables, test_values


def test_what_people_write_is_held_by_at_least_120_cases() -> None:
    """Prompts and whole files alike go through the real command line."""
    prompts = {(case.model, case.prompt, repr(case.settings)) for case in PROMPTS}
    files = {(case.says, case.content, *case.options) for case in TABLES}
    assert (len(prompts), len(files)) == (len(PROMPTS), len(TABLES))
    assert len(prompts) + len(files) >= 120


def test_workbooks_are_held_by_at_least_60_cases() -> None:
    said = [case.says for case in (*test_values.CASES, *test_tables.CASES)]
    assert len(said) == len(set(said))
    assert len(said) >= 60
