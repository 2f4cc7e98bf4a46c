"""A short seeded run of the crash driver; `make crash` runs it as long as one likes."""

import tempfile
from pathlib import Path

import pytest

from tests.crash.driver import drive


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_minutes_of_random_deaths_lose_nothing_and_pay_nothing_twice() -> None:
    with tempfile.TemporaryDirectory(prefix="likeness-crash-") as name:
        # Embedded PostgreSQL runs as an unprivileged user where the test runs as root, and must reach its folder.
        Path(name).chmod(0o711)
        record = drive(seed=20_261_121, minutes=2, folder=Path(name))
    assert record.breaches == []
    assert sum(record.kills.values()) >= 10
    assert record.generations > 0
