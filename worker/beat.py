"""The `beat` role: sends the ticks, and nothing else; exactly one runs. Run as `python -m worker.beat`."""

from functools import partial
from typing import Any

from pipeline.operator import heartbeat
from runtime.resources import open_resources
from runtime.settings import read_settings
from runtime.signs_of_life import SignOfLife
from tasks.tick_schedule import IdleScheduler, schedule_of
from worker.start import main_of


def beat() -> None:
    settings = read_settings()
    with open_resources(settings, application="likeness beat", threads=1) as (resources, app):
        app.conf.beat_schedule = schedule_of(resources.lanes)
        app.conf.task_send_sent_event = False
        ticker: Any = app.Beat  # whose types know neither a class of scheduler nor half a second
        sign = SignOfLife(home=settings.home, role="beat")
        scheduler = partial(IdleScheduler, look=partial(heartbeat.waiting, resources), every_round=sign.give)
        try:
            ticker(scheduler_cls=scheduler, max_interval=0.5, loglevel="WARNING", quiet=True).run()
        finally:
            sign.withdraw()


if __name__ == "__main__":
    main_of(beat)
