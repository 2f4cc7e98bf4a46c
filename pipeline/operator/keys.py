"""API keys and sessions: made, recognised, limited and revoked.

A key is `lk_`, eight characters by which it is found, and 256 random bits. What is kept is a digest: with so many
random bits a slow hash would only slow down every request.
"""

import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from db.records import acts, api_keys
from db.records.api_keys import KeyRow
from domain.access import LOCAL_TEAM, Scope
from domain.errors import BadInput, LimitTooSmall, RequestError, UnknownThing
from domain.money import show
from domain.rates import per_second
from pipeline.resources import Resources

__all__ = ["KeyRow", "NewKey", "TooManyRequests", "create", "find", "first_key", "list_keys", "revoke"]

_MARK: Final = "lk_"
_PREFIX_LENGTH: Final = len(_MARK) + 8
_LONGEST: Final = 200
#: Requests that may come at once under a limit of speed.
_BURST_S: Final = 2.0
_SESSION: Final = timedelta(days=14)
_NOBODY: Final = bytes(32)


class TooManyRequests(RequestError):
    """A key asks faster than its limit.

    Args:
        retry_after_s: when it may ask again.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be made.

    Args:
        name: unique; shown wherever the key did something.
        member: the person or product whose key it is, named for what it does; None for the key's name. The scope is the
            member's role; one with several roles has several keys.
        user_id: owner of what is made where a request names no user; None for the member.
        rate_limit: requests, as `600/m`; None for no limit.
        limit_usd: what its batches of a calendar month may spend; None for no limit.
    """

    name: str
    team: str = LOCAL_TEAM
    member: str | None = None
    user_id: str | None = None
    scope: Scope = Scope.READ
    rate_limit: str | None = None
    limit_usd: Decimal | None = None


def create(resources: Resources, new: NewKey, *, by: str | None = None) -> tuple[KeyRow, str]:
    """Make a key; returns it with its text, which nobody can be told again.

    Args:
        by: who makes it, for the team's acts; None for its member.

    Raises:
        BadInput: a name that is taken or no name, or a rate limit that is none, as one of 0.
    """
    for what, text in (("name", new.name), ("team", new.team), ("member", new.member or new.name)):
        if not text.strip() or len(text) > _LONGEST or not text.isprintable():
            raise BadInput(f"a key's {what} has 1 to {_LONGEST} printable characters; this one is {text[:40]!r}")
    if new.rate_limit is not None and per_second(new.rate_limit) is None:
        raise BadInput(
            f"a key with the rate {new.rate_limit!r} would be free to ask as often as it likes; leave --rate out if"
            " that is meant, and `likeness keys revoke` a key that may ask nothing"
        )
    token, values = _drawn(new)
    with resources.database.transaction() as connection:
        if api_keys.named(connection, new.name) is not None:
            raise BadInput(f"there is a key {new.name!r} already; choose another name, revoked ones keep theirs")
        made = api_keys.add(connection, **values)
        acts.note_change(connection, team=made.team, by=by or made.member, act="key created", detail=_may(made))
        return made, token


def _drawn(new: NewKey) -> tuple[str, dict[str, Any]]:
    """A key's text, drawn now, and the row that it is known by."""
    token = f"{_MARK}{secrets.token_hex(4)}{secrets.token_urlsafe(32)}"
    return token, {
        "prefix": token[:_PREFIX_LENGTH],
        "digest": _digest(token),
        "name": new.name,
        "team": new.team,
        "user_id": new.user_id or new.member or new.name,
        "member": new.member or new.name,
        "scope": new.scope,
        "rate_limit": new.rate_limit,
        "limit_usd": new.limit_usd,
    }


def first_key(resources: Resources, *, user_id: str) -> str | None:
    """The key of an installation that has none yet, with every right in the local team; None where there is one."""
    token, values = _drawn(NewKey(name="first", member=user_id, scope=Scope.ADMIN))
    with resources.database.transaction() as connection:
        api_keys.lock_first(connection)
        if api_keys.any_key(connection):
            return None
        made = api_keys.add(connection, **values)
        acts.note_change(connection, team=made.team, by=user_id, act="key created", detail=_may(made))
    return token


def list_keys(resources: Resources) -> list[KeyRow]:
    with resources.database.transaction() as connection:
        return api_keys.list_keys(connection)


def revoke(resources: Resources, name_or_prefix: str, *, by: str | None = None) -> KeyRow:
    """Make a key worthless at once, with every session that was opened by it.

    Args:
        by: who does so, for the team's acts; None for its member.

    Raises:
        UnknownThing: there is none of that name or prefix.
    """
    with resources.database.transaction() as connection:
        found = api_keys.named(connection, name_or_prefix)
        if found is None:
            raise UnknownThing(f"there is no key {name_or_prefix!r}; `likeness keys list` shows them")
        api_keys.revoke(connection, found.id)
        if found.revoked_at is None:
            acts.note_change(connection, team=found.team, by=by or found.member, act="key revoked", detail=_may(found))
        return found


def _may(key: KeyRow) -> dict[str, Any]:
    """What the key is allowed, for the act of making or revoking it."""
    return {
        "key": key.name,
        "member": key.member,
        "scope": key.scope,
        "rate": key.rate_limit,
        "limitUsd": show(key.limit_usd),
    }


def find(resources: Resources, token: str) -> KeyRow | None:
    """The live key whose text this is."""
    with resources.database.transaction() as connection:
        found = api_keys.by_prefix(connection, token[:_PREFIX_LENGTH])
        row, digest = found if found is not None else (None, _NOBODY)
        # Compared in any case, so that a prefix that exists takes as long as one that does not.
        if not hmac.compare_digest(digest, _digest(token)) or row is None:
            return None
        api_keys.used(connection, row.id)
    return row


def owner(resources: Resources, made_by: UUID | None) -> KeyRow | None:
    """The key that made a batch, revoked or not: the batch counts in its month, whoever spends there.

    Args:
        made_by: None: it was made on the command line or in a script.
    """
    if made_by is None:
        return None
    with resources.database.transaction() as connection:
        return api_keys.get(connection, made_by)


def revoked_among(resources: Resources, ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of these keys that are worth nothing any more."""
    if not ids:
        return frozenset()
    with resources.database.transaction() as connection:
        return frozenset(api_keys.revoked_among(connection, ids))


def take_turn(resources: Resources, key: KeyRow) -> None:
    """Count a request against the key's limit of speed.

    Raises:
        TooManyRequests: not now.
    """
    rate = per_second(key.rate_limit)
    if rate is None:
        return
    interval = timedelta(seconds=1 / rate)
    burst = max(timedelta(seconds=_BURST_S) - interval, timedelta(0))
    with resources.database.transaction() as connection:
        wait = api_keys.wait_for_turn(connection, key.id, interval=interval, burst=burst)
    if wait:
        raise TooManyRequests(f"key {key.name!r} may ask {key.rate_limit} times", retry_after_s=wait)


def open_session(resources: Resources, key: KeyRow) -> tuple[str, str]:
    """A cookie for a person who signed in, and the token that its forms carry."""
    cookie, form_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with resources.database.transaction() as connection:
        api_keys.open_session(
            connection, digest=_digest(cookie), key_id=key.id, form_token=form_token, lasting=_SESSION
        )
    return cookie, form_token


def session(resources: Resources, cookie: str) -> tuple[KeyRow, str] | None:
    """The key behind a cookie, and the token that its forms carry."""
    with resources.database.transaction() as connection:
        return api_keys.session(connection, _digest(cookie))


def close_session(resources: Resources, cookie: str) -> None:
    with resources.database.transaction() as connection:
        api_keys.close_session(connection, _digest(cookie))


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing about them."""
    return hmac.compare_digest(one.encode(), other.encode())


@contextlib.contextmanager
def money_of(resources: Resources, key: KeyRow | None, *, but: UUID | None = None) -> Iterator[Decimal | None]:
    """What the key may still commit itself to this month, for as long as the block lasts; None without a limit.

    Args:
        key: in whose month the batch counts; None: in nobody's.
        but: a batch whose budget is about to change, and so is left out of the sum; its month is meant.
    """
    if key is None or key.limit_usd is None:
        yield None
        return
    with resources.database.transaction() as connection:
        # Two requests of one key are weighed one after the other: what the first may spend is seen by the second.
        api_keys.lock_money(connection, key.id)
        yield key.limit_usd - api_keys.committed_usd(connection, key.id, but=but)


def check_room(room: Decimal, wanted: Decimal, *, key: KeyRow) -> None:
    """Refuse a budget for which the key's limit of this month leaves no room.

    Raises:
        LimitTooSmall: it does not.
    """
    if wanted > room:
        raise LimitTooSmall(
            f"key {key.name!r} may spend {show(key.limit_usd)} USD a month, of which {show(max(room, Decimal(0)))} USD"
            f" are left, and this may cost {show(wanted)} USD; name a smaller maxCostUsd, or have somebody at the"
            " installation raise the batch's budget with `likeness budget`"
        )


def check_batch(resources: Resources, batch_id: UUID, limit: Decimal | None, *, key: KeyRow, room: Decimal) -> None:
    """Refuse what would let the key's batch spend more than `room`: another budget, or work for one that had ended.

    A batch at work counts with its budget already, so what leaves that as it is or lowers it is never refused: also
    where a person at the installation raised it above the key's limit.

    Args:
        limit: the new budget; None keeps the old one.

    Raises:
        LimitTooSmall: there is no room for it.
    """
    with resources.database.transaction() as connection:
        budget, at_work = api_keys.budget_of(connection, batch_id)
    if not at_work or (limit is not None and (budget is None or limit > budget)):
        check_room(room, limit or budget or room, key=key)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
