"""Who dies next, and what comes twice: processes are killed or stopped, points armed, messages copied, all by seed."""

import json
import os
import random
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis

from tests.crash.record import Record

#: Longer than a lease of three seconds.
STOP_S = 5.0
#: Servers that all others need are the few, workers the many.
_WEIGHTS = {"redis": 1, "postgres": 1}
_USUAL_WEIGHT = 3


class Enemy:
    """Strikes one process at a time.

    Args:
        points: names of fault points that workers die at once armed.
        folder: of the points' files; a point is armed while its file is missing.
    """

    def __init__(self, record: Record, luck: random.Random, *, points: Sequence[str], folder: Path) -> None:
        self._record = record
        self._luck = luck
        self._points = points
        self._folder = folder
        self._armed: set[str] = set()
        folder.mkdir(parents=True, exist_ok=True)
        for point in points:
            (folder / point).touch()

    def strike(self, victims: Mapping[str, int]) -> None:
        """Kill one of the victims, or stop it for a while, or arm a point.

        Args:
            victims: process ids by name; what follows a hyphen is a number.
        """
        self._count_points()
        dice = self._luck.random()
        name = self._luck.choices(list(victims), [_WEIGHTS.get(one, _USUAL_WEIGHT) for one in victims])[0]
        kind = name.rstrip("-0123456789")
        try:
            if dice < 0.2:
                self._arm()
            elif dice < 0.4:
                self.stop(kind, victims[name])
            else:
                os.kill(victims[name], signal.SIGKILL)
                self._record.kills[kind] += 1
        except ProcessLookupError:
            return

    def stop(self, kind: str, pid: int) -> None:
        """Let a process and its children stand still for `STOP_S`, and then go on."""
        stopped = family(pid)
        try:
            for one in stopped:
                _send(one, signal.SIGSTOP)
            self._record.stops[kind] += 1
            time.sleep(STOP_S)
        finally:
            for one in stopped:
                _send(one, signal.SIGCONT)

    def _arm(self) -> None:
        point = self._luck.choice(self._points)
        (self._folder / point).unlink(missing_ok=True)
        self._armed.add(point)

    def _count_points(self) -> None:
        for point in [one for one in self._armed if (self._folder / one).exists()]:
            self._armed.discard(point)
            self._record.points[point] += 1

    def rest(self) -> None:
        """Arm nothing any more, and count what has died."""
        self._count_points()
        for point in self._armed:
            (self._folder / point).touch()


def family(pid: int) -> list[int]:
    """The process and its children: Postgres is many, and only all of them together stand still.

    Only the process itself where the kernel does not list children (not Linux).
    """
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return [pid]
    found = [pid]
    for thread in threads:
        with suppress(OSError):  # a thread may end between the two
            found += map(int, (thread / "children").read_text().split())
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def copy_messages(client: "redis.Redis[Any]", luck: random.Random, copied: set[str], *, share: float) -> int:
    """Publish again what workers hold, as a broker does that gives a message out twice, or rescue to a slow worker.

    Two copies of each lie beside each other, so that threads of one worker take them at the same moment. What a worker
    holds for long, or holds as a copy, is not copied again: on a slow machine copies of copies would be all there is.

    Args:
        copied: ids of the tasks whose messages were copied; grows.
        share: of the messages that are taken and not acknowledged.

    Returns:
        how many copies were made.
    """
    made = 0
    for taken in client.hvals("unacked"):
        message, _, queue = json.loads(taken)
        task: str = message["headers"]["id"]
        if task in copied or luck.random() >= share:
            continue
        copied.add(task)
        for _ in range(2):
            message["properties"]["delivery_tag"] = str(uuid.UUID(int=luck.getrandbits(128)))
            client.lpush(queue, json.dumps(message))
            made += 1
    return made
