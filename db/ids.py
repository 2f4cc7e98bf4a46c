"""Create ids: UUIDv7, so that ids sort by time and indexes grow at their end."""

import secrets
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7


def new_id() -> UUID:
    return uuid7()


def new_id_text() -> str:
    """The same as text, ten times as fast, for COPY."""
    return str(uuid_utils.uuid7())


def new_token() -> str:
    """128 unguessable bits, safe in a path."""
    return secrets.token_urlsafe(16)
