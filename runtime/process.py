"""What every process of ours does around its work: it logs to standard error, and ends with whoever started it."""

import logging
import os
import sys
from collections.abc import Callable

from domain.errors import LikenessError, ScorerBroken
from runtime.supervisor import die_with_parent

#: What may pass by itself or with a new process, as a Postgres that restarts or a device that broke; the other exit
#: codes say that it will not.
_MAY_PASS = os.EX_TEMPFAIL
#: A line per request, migration or task says nothing that the rows do not say better.
_CHATTY = ("httpx2", "httpcore2", "alembic", "celery", "kombu", "uvicorn")


def main_of(role: Callable[[], None]) -> None:
    """Run a role as a process: it ends with its parent, and a failure to start is one sentence, not a trace."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        role()
    except LikenessError as failure:
        logging.getLogger("likeness").error("%s", failure)  # noqa: TRY400 -- the sentence says it all
        # A scorer that is broken needs another process, and is no word about whether that one can run.
        passes = failure.retryable or isinstance(failure, ScorerBroken)
        raise SystemExit(_MAY_PASS if passes else failure.exit_code) from None
