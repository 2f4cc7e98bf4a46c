"""Every failure of the tree has a status, and a title for it."""

import importlib

import pytest

from api.problems import TITLES, documented, problem, status_of
from domain.errors import LikenessError
from tests.support.source import product


def kinds() -> list[type[LikenessError]]:
    for module in product():
        if "Error" in module.text and module.path.startswith(("api/", "db/", "domain/", "pipeline/", "providers/")):
            importlib.import_module(module.name)
    found, waiting = [], [LikenessError]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting.extend(one.__subclasses__())
    return found


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_a_failure_has_a_status_with_a_title(kind: type[LikenessError]) -> None:
    failure = kind.__new__(kind)
    assert status_of(failure) in TITLES


def test_a_problem_says_what_rfc_9457_wants() -> None:
    answer = problem(404, "there is no batch 'x'", code="unknown_thing")
    assert answer.media_type == "application/problem+json"
    assert b'"type":"urn:likeness:problem:unknown_thing"' in answer.body
    assert list(documented(401)) == [401]
