"""Answers to requests that carried an `Idempotency-Key`, kept for a day, so that a repetition gets the same one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_api import kept_answers

KEPT = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What is known of a request.

    Args:
        request: digest of its path and body.
        answer: None while it has not come to its end.
    """

    request: bytes
    answer: Mapping[str, Any] | None


def note(connection: Connection, key_id: UUID, idempotency_key: str, *, request: bytes) -> KeptAnswer:
    """Write the request down unless it is known; what is older than a day is forgotten."""
    connection.execute(delete(kept_answers).where(kept_answers.c.created_at < func.now() - KEPT))
    connection.execute(
        upsert(kept_answers)
        .values(key_id=key_id, idempotency_key=idempotency_key, request=request)
        .on_conflict_do_nothing()
    )
    row = connection.execute(
        select(kept_answers.c.request, kept_answers.c.answer).where(*_one(key_id, idempotency_key))
    ).one()
    return KeptAnswer(request=bytes(row.request), answer=row.answer)


def try_lock(connection: Connection, key_id: UUID, idempotency_key: str) -> bool:
    """Whether this transaction is the one that works for the request; the end of its process frees the lock."""
    lock = func.hashtextextended(f"idempotency {key_id} {idempotency_key}", 0)
    return bool(connection.execute(select(func.pg_try_advisory_xact_lock(lock))).scalar_one())


def answer_of(connection: Connection, key_id: UUID, idempotency_key: str) -> Mapping[str, Any] | None:
    found = select(kept_answers.c.answer).where(*_one(key_id, idempotency_key))
    answer: Mapping[str, Any] | None = connection.execute(found).scalar_one_or_none()
    return answer


def keep(connection: Connection, key_id: UUID, idempotency_key: str, answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keep the answer; returns it as every repetition will get it, to the order of its fields."""
    kept = update(kept_answers).where(*_one(key_id, idempotency_key)).values(answer=dict(answer))
    found: Mapping[str, Any] = connection.execute(kept.returning(kept_answers.c.answer)).scalar_one()
    return found


def forget(connection: Connection, key_id: UUID, idempotency_key: str) -> None:
    """The request was refused and nothing came of it: another body may come under its key."""
    connection.execute(delete(kept_answers).where(*_one(key_id, idempotency_key), kept_answers.c.answer.is_(None)))


def _one(key_id: UUID, idempotency_key: str) -> Any:
    return kept_answers.c.key_id == key_id, kept_answers.c.idempotency_key == idempotency_key
