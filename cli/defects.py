"""What becomes of a failure that nobody foresaw: a reference for the caller, the trace in a log of this machine.

A trace names statements of SQL and paths; whoever reads standard error or a document of `--json` may not be meant to.
"""

import secrets
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from domain.errors import LikenessError

_LOG: Final = "defects.log"


def recorded(failure: BaseException) -> str:
    """Write the trace into the log and say under which reference it stands there; nothing of it is in the sentence."""
    reference = secrets.token_hex(4)
    kind = type(failure).__name__
    entry = "".join(traceback.format_exception(failure))
    try:
        log = _log()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            log.chmod(0o600)
            file.write(f"--- {reference} {datetime.now(UTC).isoformat(timespec='seconds')}\n{entry}\n")
    except OSError as unwritten:
        return (
            f"an unexpected failure ({kind} {_origin(failure)}); its trace could not be written: {unwritten.strerror};"
            " make LIKENESS_HOME writable and do it again"
        )
    return f"an unexpected failure ({kind}), reference {reference}: {log} holds its trace; please report it"


def _log() -> Path:
    """In the home's folder of logs, whatever else of the settings is wrong."""
    from runtime.settings import read_settings

    try:
        home = read_settings().home
    except LikenessError:
        home = Path(".likeness")
    return home / "logs" / _LOG


def _origin(failure: BaseException) -> str:
    """The file and line where it was raised."""
    frames = traceback.extract_tb(failure.__traceback__)
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
