"""The `io-sync` role: submissions that last as long as the work. Run as `python -m worker.sync`.

One thread per call, as many as the lanes' accounts allow; told to stop, it waits for the calls that are in the air,
since what they bring is paid and can be had once only.
"""

from domain.errors import ServiceMissing
from runtime.lanes import synchronous_lanes
from runtime.process_metrics import measuring
from runtime.resources import open_resources
from runtime.settings import read_settings
from tasks import names
from tasks.bodies import register_submits
from worker.start import consume, main_of, say_what_ends, share_lane_limits


def io_sync() -> None:
    settings = read_settings()
    threads = sum(plan.concurrency for plan in synchronous_lanes(settings))
    if not threads:
        raise ServiceMissing("there is no synchronous lane; set OPENAI_API_KEY, or stop this worker")
    with (
        measuring(settings.worker_metrics) as measures,
        open_resources(settings, application="likeness io-sync", threads=threads, measures=measures) as (
            resources,
            app,
        ),
    ):
        share_lane_limits(app, resources)
        say_what_ends(resources)
        lanes = register_submits(app, resources, synchronous=True)
        longest = max(resources.lanes[lane].submit_total_s for lane in lanes)
        app.conf.worker_soft_shutdown_timeout = longest + 10
        consume(app, role="io-sync", queues=list(map(names.submit_queue, lanes)), threads=threads, home=settings.home)


if __name__ == "__main__":
    main_of(io_sync)
