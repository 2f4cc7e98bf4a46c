"""A try that came to nothing at the provider: whether its generation has another one."""

from datetime import timedelta

from db.reads.work import Work
from domain.errors import LikenessError
from domain.retry import TryAgain, decide
from pipeline.resources import Resources


def another_try(resources: Resources, work: Work, failure: LikenessError) -> timedelta | None:
    """How long the generation waits for its next try, or None where another one cannot help or they are used up."""
    decision = decide(
        failure, tries=work.tries_since_verdict, limit=resources.timing.generation_tries, luck=resources.luck()
    )
    return decision.wait if isinstance(decision, TryAgain) else None
