"""The `gpu` role: checks pictures. The one process kind that loads weights. Run as `python -m worker.gpu`.

With `--pipe` it takes pictures from a command instead of the queue, and needs no server (`runtime.scoring`).
"""

import sys

from runtime.settings import read_settings
from validation.clip import ClipScorer
from worker.scoring import serve


def gpu() -> None:
    # Here, because a scoring process has no queue and no server, and should start quickly.
    from runtime.resources import open_embeddings, open_resources
    from tasks import names
    from tasks.bodies import register_gpu
    from worker.start import consume

    settings = read_settings()
    with (
        open_embeddings(settings, application="likeness gpu embeddings") as kept,
        ClipScorer.load(settings.clip_model, device=settings.clip_device, cache=kept) as scorer,
    ):
        kept.keep_model(scorer.model)
        with open_resources(settings, application="likeness gpu", threads=settings.gpu_threads, scorer=scorer) as (
            resources,
            app,
        ):
            register_gpu(app, resources)
            consume(app, role="gpu", queues=[names.QUEUE_GPU], threads=settings.gpu_threads)


def pipe() -> int:
    settings = read_settings()
    return serve(lambda: ClipScorer.load(settings.clip_model, device=settings.clip_device))


if __name__ == "__main__":
    if sys.argv[1:] == ["--pipe"]:
        sys.exit(pipe())
    from worker.start import main_of

    main_of(gpu)
