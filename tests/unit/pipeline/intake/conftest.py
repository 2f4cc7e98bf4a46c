"""Prompt files, as tests of their reading write them."""

from pathlib import Path

import pytest

from tests.support.prompt_files import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str | bytes, name: str = "prompts.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
