"""The `gpu` role: checks pictures. The one process kind that loads weights. Run as `python -m worker.gpu`.

With `--pipe` it takes pictures from a command instead of the queue, and needs no server (`runtime.scoring`).
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace

from pipeline.process.scorer_on_demand import ScorerOnDemand
from runtime.settings import Settings, read_settings
from validation.base import Scorer
from validation.clip import ClipScorer, why_no_cuda
from worker.scoring import serve


def gpu() -> None:
    # Here, because a scoring process has no queue and no server, and should start quickly.
    from runtime.process_metrics import measuring
    from runtime.resources import open_embeddings

    settings = read_settings()
    if (why := why_no_cuda(settings.clip_device)) is not None:
        logging.getLogger("likeness").warning(
            "pictures are checked without CUDA (%s); LIKENESS_DEVICE=cpu says that this is meant", why
        )
    with (
        measuring(settings.worker_metrics) as measures,
        open_embeddings(settings, application="likeness gpu embeddings") as kept,
        ClipScorer.load(settings.clip_model, device=settings.clip_device, cache=kept) as scorer,
    ):
        kept.keep_model(scorer.model)
        scorer.warm()
        # A check reads and writes those of its pictures with its claim and its verdict.
        scorer.leave_pictures()
        scorer.watch_batches(lambda crops, waited_s, took_s: measures.batch(crops, waited_s=waited_s, took_s=took_s))
        check(settings, scorer)


def check(settings: Settings, scorer: Scorer) -> None:
    """Check pictures from the queue with `scorer` until told to stop.

    Raises:
        ScorerBroken: this process can score nothing more; what it had claimed is handed back.
    """
    from runtime.resources import open_resources
    from tasks import names
    from tasks.bodies import register_gpu
    from worker.start import Retirement, consume

    threads = settings.gpu_threads
    with (
        _analysis_scorer(settings) as reading,
        open_resources(settings, application="likeness gpu", threads=threads, scorer=scorer) as (resources, app),
    ):
        retirement = Retirement()
        register_gpu(app, replace(resources, retire=retirement, analysis_scorer=reading))
        consume(app, role="gpu", queues=[names.QUEUE_GPU], threads=threads, home=settings.home)
        retirement.settle()


@contextlib.contextmanager
def _analysis_scorer(settings: Settings) -> Iterator[ScorerOnDemand | None]:
    """Loads ANALYSIS_MODEL when the first picture is analysed; None where that is CLIP_MODEL, which is here already."""
    model = settings.analysis_weights
    if model == settings.clip_model:
        yield None
        return
    with ScorerOnDemand(model, lambda: ClipScorer.load(model, device=settings.clip_device)) as scorer:
        yield scorer


def pipe() -> int:
    settings = read_settings()
    return serve(lambda: ClipScorer.load(settings.clip_model, device=settings.clip_device))


if __name__ == "__main__":
    if sys.argv[1:] == ["--pipe"]:
        sys.exit(pipe())
    from worker.start import main_of

    main_of(gpu)
