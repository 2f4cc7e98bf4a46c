"""The `gpu` role: checks pictures. The one process kind that loads weights. Run as `python -m worker.gpu`."""

from runtime.resources import open_embeddings, open_resources
from runtime.settings import read_settings
from tasks import names
from tasks.bodies import register_gpu
from validation.clip import ClipScorer
from worker.start import consume, main_of


def gpu() -> None:
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


if __name__ == "__main__":
    main_of(gpu)
