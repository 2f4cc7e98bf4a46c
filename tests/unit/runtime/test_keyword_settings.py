"""Settings made by hand: a keyword is taken by either of its names, or refused."""

from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Settings


def test_a_keyword_goes_by_the_field_or_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKENESS_USER", "environment")
    by_field, by_variable = (
        Settings(home=Path("/given"), user="me"),
        Settings(LIKENESS_HOME="/given", LIKENESS_USER="me"),
    )
    assert (by_field.home, by_field.user) == (by_variable.home, by_variable.user) == (Path("/given"), "me")
    # HOME and USER of the environment are nobody's settings.
    monkeypatch.delenv("LIKENESS_USER")
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("USER", "somebody")
    assert (Settings().home, Settings().user) == (Path(".likeness"), "local")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hom": "/given"}, "no setting 'hom'; did you mean 'home'"),
        ({"LIKENESS_HOM": "/given"}, "no setting 'LIKENESS_HOM'"),
        ({"home": "/a", "LIKENESS_HOME": "/b"}, "LIKENESS_HOME is given twice"),
    ],
)
def test_a_keyword_that_is_no_setting_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        Settings(**given)
