"""What a step tells the task that called it."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Again:
    """Run the same step after `wait`; the row says so already, and Celery's retry carries it out."""

    wait: timedelta
