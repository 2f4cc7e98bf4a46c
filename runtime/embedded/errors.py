"""The one failure of the embedded servers, with what a person needs to go on."""

from pathlib import Path

from domain.errors import ServiceMissing

_FREE_SPACE = "Free some space on that disk and start again; nothing was lost."
_ADVICE = (
    ("No space left on device", _FREE_SPACE),
    ("Check free disk space", _FREE_SPACE),
    ("Permission denied", "Run it as the user who owns that folder, or set LIKENESS_HOME to a folder of your own."),
    ("Operation not permitted", "This machine forbids it; set DATABASE_URL and REDIS_URL to servers of your own."),
    (
        "Bad file format reading the append only file",
        "Move that file away: Postgres holds the books, the queue refills.",
    ),
    ("Can't handle RDB format", "Move the append-only folder away: Postgres holds the books, the queue refills."),
    ("Cannot allocate memory", "Free some memory, or set DATABASE_URL and REDIS_URL to servers elsewhere."),
)
_DEFAULT_ADVICE = "Look into the log, or set DATABASE_URL and REDIS_URL to servers of your own."


class ServersUnavailable(ServiceMissing):
    """The embedded servers could not be started, or are not to be had.

    Args:
        what: one sentence without the next step.
        advice: the next step; where None, it is found by what the log's tail says.
        log: the log file the tail was taken from.
        log_tail: the server's last words.
    """

    def __init__(self, what: str, *, advice: str | None = None, log: Path | None = None, log_tail: str = "") -> None:
        self.what = what
        self.advice = advice or advice_for(f"{what}\n{log_tail}")
        self.log = log
        self.log_tail = log_tail
        lines = [f"{what}. {self.advice}"]
        if log is not None and log_tail:
            lines += [f"The last lines of {log}:", log_tail]
        super().__init__("\n".join(lines))


def advice_for(words: str) -> str:
    """The next step for a failure that said `words`."""
    return next((advice for sign, advice in _ADVICE if sign in words), _DEFAULT_ADVICE)
