"""Common main function of our processes: log to standard error, end with the parent, exit with a meaningful status."""

import logging
import os
import sys
from collections.abc import Callable

from domain.errors import LikenessError, ScorerBroken
from runtime.log_lines import write_lines_as
from runtime.settings import read_settings
from runtime.supervisor import die_with_parent

#: For failures that may pass, such as a restarting Postgres or a broken device; other exit codes mean that a restart
#: will
#: fail the same way.
_MAY_PASS = os.EX_TEMPFAIL
#: Loggers that would write a line per request, migration or task.
_CHATTY = ("httpx2", "httpcore2", "alembic", "celery", "kombu", "uvicorn")


def main_of(role: Callable[[], None]) -> None:
    """Run a role as a process; a failure to start is logged as one sentence, without a traceback."""
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        write_lines_as(read_settings().log_format)
        role()
    except LikenessError as failure:
        logging.getLogger("likeness").error("%s", failure)  # noqa: TRY400 -- the sentence says it all
        # Another process may succeed where this one's scorer is broken.
        passes = failure.retryable or isinstance(failure, ScorerBroken)
        raise SystemExit(_MAY_PASS if passes else failure.exit_code) from None
