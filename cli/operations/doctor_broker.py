"""Doctor check of the broker: whether it answers, and whether it may throw messages away or refuse them.

Neither loses work, since a message is only a hint at a row; but each message that is gone waits to be published again.
"""

from collections.abc import Mapping
from typing import Any, Final

import redis

from cli.operations.doctor_checks import Check, Health

#: Above this share of its memory a broker that evicts nothing will soon refuse messages.
_NEARLY_FULL: Final = 0.8


def broker(url: str, *, where: str, advice: str = "start it, or set REDIS_URL") -> Check:
    """Look at the Redis at `url`.

    Args:
        where: how to name it, without its password.
        advice: what to do where it does not answer.
    """
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            said: Mapping[str, Any] = client.info()
    except (redis.RedisError, ValueError) as failure:
        return Check(name="Redis", health=Health.MISSING, found=f"not reachable: {failure}", advice=advice)
    found = f"{said['redis_version']}, {where}"
    limit, policy = int(said.get("maxmemory", 0)), str(said.get("maxmemory_policy", "noeviction"))
    if limit:
        found += (
            f"; {policy} at its limit of {_size(limit)}, of which {_size(int(said.get('used_memory', 0)))} are used"
        )
    elif policy != "noeviction":
        found += f"; {policy}, without a limit of memory"
    advice = _advice(said, limit=limit, policy=policy)
    return Check(name="Redis", health=Health.NOTE if advice else Health.OK, found=found, advice=advice)


def _advice(said: Mapping[str, Any], *, limit: int, policy: str) -> str:
    if policy != "noeviction":
        evicted = int(said.get("evicted_keys", 0))
        so_far = f" ({evicted:,} keys so far)" if evicted else ""
        return (
            f"set maxmemory-policy to noeviction: a broker that evicts keys{so_far} forgets messages, and each is"
            " published again only after LIKENESS_UNCLAIMED_S"
        )
    if limit and int(said.get("used_memory", 0)) > limit * _NEARLY_FULL:
        return "raise maxmemory: a full broker refuses messages, and work waits until it takes them again"
    return ""


def _size(number: int) -> str:
    return f"{number / 1e6:,.0f} MB" if number < 1e9 else f"{number / 1e9:,.1f} GB"
