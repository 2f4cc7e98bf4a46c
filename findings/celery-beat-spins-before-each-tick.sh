#!/usr/bin/env bash
# celery 5.7's beat wakes ten milliseconds before a task is due, and then looks again without a pause until it is.
#
# Expected: one round to wait for a task that is due each second, and one to send it.
# Seen: some eighty rounds for each, nearly all without a pause between: about ten milliseconds of CPU for a task sent. With
#       ten tasks a second whose moments differ, an idle beat computes all the time for a tenth of a core.
# So: a scheduler whose `adjust` returns what it is given; the same five tasks then leave in eleven rounds.
set -euo pipefail
d=$(mktemp -d)
trap 'rm -rf "$d"' EXIT
python3 -m venv "$d/venv"
"$d/venv/bin/pip" install -q --disable-pip-version-check celery==5.7.0 kombu==5.7.0
"$d/venv/bin/python" - <<'PY'
import time

import celery
from celery.beat import Scheduler


class Counting(Scheduler):
    """Sends nothing, so that no broker is needed; waits as `celery.beat.Service` does."""

    sent = 0

    def apply_entry(self, entry, producer=None):
        self.sent += 1

    def rounds_in(self, seconds):
        rounds, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            interval = self.tick()
            rounds += 1
            if interval and interval > 0.0:
                time.sleep(interval)
        return rounds


class NoDrift(Counting):
    def adjust(self, n, drift=0.0):
        return n


def per_sent(scheduler_class):
    app = celery.Celery(broker="memory://")
    app.conf.beat_schedule = {"each second": {"task": "t", "schedule": 1.0}}
    scheduler = scheduler_class(app, max_interval=5.0)
    rounds = scheduler.rounds_in(5.5)
    assert scheduler.sent >= 4, scheduler.sent
    return rounds / scheduler.sent


print(f"celery {celery.__version__}")
seen, mended = per_sent(Counting), per_sent(NoDrift)
print(f"expected: 2 or 3 rounds for each task sent\nseen: {seen:.0f}; {mended:.1f} with a scheduler that does not wake early")
assert seen > 10, seen
assert mended < 5, mended
PY
