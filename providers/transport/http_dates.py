"""Reads when a reply was written, by the clock of the service that wrote it."""

import email.utils
from datetime import UTC, datetime

from providers.contract import Reply


def served_at(reply: Reply) -> float | None:
    """Unix time in whole seconds by the reply's own `date`; None where it has none that can be read."""
    written = http_date(reply.headers.get("date", ""))
    return None if written is None else written.timestamp()


def http_date(text: str) -> datetime | None:
    """A moment as headers write it."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
