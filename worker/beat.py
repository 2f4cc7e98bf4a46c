"""The `beat` role: sends the ticks, and nothing else; exactly one runs. Run as `python -m worker.beat`."""

from typing import Any

from celery.beat import Scheduler

from runtime.resources import open_resources
from runtime.settings import read_settings
from tasks.bodies import beat_schedule
from worker.start import main_of


def beat() -> None:
    settings = read_settings()
    with open_resources(settings, application="likeness beat", threads=1) as (resources, app):
        app.conf.beat_schedule = beat_schedule(resources.lanes)
        app.conf.task_send_sent_event = False
        # In memory: a tick that was missed while nobody ran is no loss, and a file could be corrupt.
        ticker: Any = app.Beat  # whose types know neither a class of scheduler nor half a second
        ticker(scheduler_cls=Scheduler, max_interval=0.5, loglevel="WARNING", quiet=True).run()


if __name__ == "__main__":
    main_of(beat)
