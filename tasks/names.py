"""Wire names and queues. They outlive functions and files: a message in flight finds its task after a deployment."""

from domain.states import AttemptState

PREPARE = "generation.prepare"
SUBMIT = "generation.submit.{lane}"
POLL = "lane.poll"
DOUBTS = "lane.doubts"
ACCOUNT = "lane.account"
COLLECT = "attempt.collect"
REBUILD_INPUTS = "attempt.rebuild_inputs"
VALIDATE = "attempt.validate"
ADMIT = "queue.admit"
RESCUE = "queue.rescue"
UPLOAD = "asset.upload"
AUDIT = "books.audit"
TRAIN = "preferences.train"

QUEUE_PREPARE = "io.prepare"
QUEUE_SUBMIT = "io.submit.{lane}"
QUEUE_POLL = "io.poll"
QUEUE_COLLECT = "io.collect"
QUEUE_TICK = "io.tick"
QUEUE_GPU = "gpu"


def submit(lane: str) -> str:
    return SUBMIT.format(lane=lane)


def submit_queue(lane: str) -> str:
    return QUEUE_SUBMIT.format(lane=lane)


def queue_of(step: AttemptState, lane: str | None) -> str:
    """The queue whose messages take an attempt out of that state."""
    if step is AttemptState.ADMITTED:
        assert lane is not None
        return submit_queue(lane)
    return {AttemptState.COLLECTING: QUEUE_COLLECT, AttemptState.VALIDATING: QUEUE_GPU}[step]


def io_queues(lanes: list[str]) -> list[str]:
    """What a worker of the `io` role consumes; synchronous lanes are not among its lanes."""
    return [QUEUE_TICK, QUEUE_POLL, QUEUE_COLLECT, QUEUE_PREPARE, *map(submit_queue, lanes)]
