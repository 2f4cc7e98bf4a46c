"""The `io` role: submit, poll, collect, and the ticks. Starts without torch. Run as `python -m worker.main`."""

from pipeline.attempts.upload import readdress
from runtime.process_metrics import measuring
from runtime.resources import open_resources
from runtime.settings import read_settings
from tasks import names
from tasks.bodies import register_io
from validation.preprocessing import read_preprocessing
from worker.start import consume, main_of, share_lane_limits


def io() -> None:
    settings = read_settings()
    with (
        measuring(settings.worker_metrics) as measures,
        open_resources(settings, application="likeness io", threads=settings.io_threads, measures=measures) as (
            resources,
            app,
        ),
    ):
        share_lane_limits(app, resources)
        readdress(resources)
        register_io(app, resources, preprocessing=read_preprocessing(settings.clip_model))
        lanes = [name for name, lane in resources.lanes.items() if not lane.synchronous]
        consume(app, role="io", queues=names.io_queues(lanes), threads=settings.io_threads, home=settings.home)


if __name__ == "__main__":
    main_of(io)
