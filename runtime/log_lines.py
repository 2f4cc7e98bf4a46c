"""Log lines of our processes: for people, or as JSON with one object per event, for whoever collects them."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.process.bound_ids import bound_ids

LogFormat = Literal["text", "json"]


class JsonLines(logging.Formatter):
    """An event is one line, its traceback included; what the thread works on is named beside it."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **bound_ids(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def write_lines_as(wanted: LogFormat) -> None:
    """Write what is logged from here on to standard error in that format."""
    if wanted == "json":
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonLines())
        logging.getLogger().handlers[:] = [handler]
