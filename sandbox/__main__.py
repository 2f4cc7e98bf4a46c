"""`python -m sandbox`: run one sandbox process.

Prints its address and serves until it is told to end.
"""

import argparse
import os
import signal
import sys
import threading
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sandbox.server import DataInUse, Sandbox
from sandbox.settings import Settings

DEFAULTS = Settings(data=Path())
LAST_PORT = 65535


def read_arguments(arguments: list[str]) -> tuple[Settings, bool]:
    """The settings, and whether to end with standard input."""
    given = vars(_parser().parse_args(arguments))
    ends = bool(given.pop("exit_with_stdin"))
    return Settings(**given), ends


def _parser() -> argparse.ArgumentParser:
    """Every option has the name of its setting."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A stand-in for the paid image services.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the bill, the pictures and the files")
    parser.add_argument("--host", default=DEFAULTS.host)
    parser.add_argument("--port", type=_port, default=DEFAULTS.port, help="0 lets the system choose (default)")
    parser.add_argument("--public-url", help="the address others see, for links and callbacks")
    parser.add_argument(
        "--latency", dest="latency_s", type=float, default=DEFAULTS.latency_s, help="usual seconds of a fast job"
    )
    parser.add_argument(
        "--size", dest="size_px", type=int, default=DEFAULTS.size_px, help="side of one square picture in pixels"
    )
    parser.add_argument("--concurrency", type=int, default=DEFAULTS.concurrency, help="unfinished jobs per key")
    parser.add_argument(
        "--price", dest="price_usd", type=_dollars, default=DEFAULTS.price_usd, help="US dollars per picture job"
    )
    parser.add_argument(
        "--wallet", dest="wallet_usd", type=_dollars, default=DEFAULTS.wallet_usd, help="US dollars each key can spend"
    )
    parser.add_argument("--submits-per-minute", type=int, default=DEFAULTS.submits_per_minute, help="0: no limit")
    parser.add_argument("--illegal-limit", type=int, default=DEFAULTS.illegal_limit, help="given back per key and day")
    parser.add_argument("--key", help="the only key that is accepted (default: any)")
    parser.add_argument("--seed", type=int, default=DEFAULTS.seed, help="of the spread of durations")
    parser.add_argument("--artists", type=int, default=DEFAULTS.artists, help="drawing processes")
    parser.add_argument(
        "--callback-pause",
        dest="callback_pause_s",
        type=float,
        default=DEFAULTS.callback_pause_s,
        help="seconds between tries",
    )
    parser.add_argument(
        "--retention", dest="retention_s", type=float, default=DEFAULTS.retention_s, help="seconds Replicate keeps data"
    )
    parser.add_argument("--retired", choices=("failed", "404"), default=DEFAULTS.retired, help="of Replicate's models")
    parser.add_argument("--list-page", type=int, default=DEFAULTS.list_page, help="predictions on a page of a list")
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to {LAST_PORT}")
    return int(text)


def _dollars(text: str) -> Decimal:
    try:
        return dollars(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def dollars(text: str) -> Decimal:
    """Parse an amount of dollars; 0 is allowed.

    Raises:
        ValueError: not a number, not finite, or below zero.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no amount of dollars; write it like 0.02") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is no amount of dollars from 0 up")
    return amount


def main(arguments: list[str] | None = None) -> None:
    """Serve until told to end; `arguments` are those of the command line where None."""
    settings, exit_with_stdin = read_arguments(sys.argv[1:] if arguments is None else arguments)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    try:
        sandbox = Sandbox(settings)
    except (DataInUse, OSError) as error:
        print(f"sandbox: {_why_not(settings, error)}", file=sys.stderr)
        sys.exit(2)
    sandbox.start()
    print(f"listening {sandbox.base_url}", flush=True)
    if exit_with_stdin:
        threading.Thread(target=_wait_for_end_of_input, args=(told,), daemon=True).start()
    told.wait()
    sandbox.close()
    sys.stdout.flush()
    # Threads that fetch or deliver may wait for a remote reply; nothing they could still do matters.
    os._exit(0)


def _why_not(settings: Settings, error: DataInUse | OSError) -> str:
    """Why it could not start; the system's message names a file, but not a port."""
    if isinstance(error, DataInUse) or error.filename is not None:
        return str(error)
    return f"{settings.host}:{settings.port} cannot be listened on ({error.strerror}); name another --port"


def _wait_for_end_of_input(told: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    told.set()


if __name__ == "__main__":
    main()
