"""A short seeded run of the crash driver; `make crash` runs it as long as one likes."""

import tempfile
from pathlib import Path

import pytest

from tests.crash.driver import drive


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_minute_of_random_deaths_at_three_services_loses_nothing_and_pays_nothing_twice() -> None:
    with tempfile.TemporaryDirectory(prefix="likeness-crash-") as name:
        # Embedded PostgreSQL runs as an unprivileged user where the test runs as root, and must reach its folder.
        Path(name).chmod(0o711)
        record = drive(seed=20_261_121, minutes=1.2, folder=Path(name))
    assert record.breaches == []
    assert sum(record.kills.values()) + sum(record.stops.values()) + sum(record.points.values()) >= 5
    assert record.copies > 0
    assert record.bucket_away > 0
    assert record.linked > 0
    assert record.generations > 0
