"""Prompt files as tests write them, and the one sentence with which an unusable one is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import BadInput
from pipeline.intake.prompt_file import read_prompts

#: Writes content under a name into a folder of the test's own; returns the path.
Write = Callable[..., Path]


def refusal(path: Path, **options: object) -> BadInput:
    """The refusal of a file that must be refused, in one line."""
    with pytest.raises(BadInput) as caught:
        read_prompts(path, **options)  # type: ignore[arg-type]  # tests give any option by name
    assert "\n" not in str(caught.value)
    return caught.value
