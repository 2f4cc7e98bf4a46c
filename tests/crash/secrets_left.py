"""Secrets with a mark of their own, and the search for them in all that a run left: logs, rows and messages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import redis
from pydantic import SecretStr
from sqlalchemy import text

from db.session import Database
from runtime.embedded.stack import Servers
from sandbox.signing import PREFIX, secret_in

PLANTED: Mapping[str, SecretStr] = {
    "replicate_api_token": SecretStr("r8_planted-token-of-replicate"),
    "openai_api_key": SecretStr("sk-planted-key-of-openai"),
    "metrics_token": SecretStr("planted-token-of-metrics"),
    "r2_access_key_id": SecretStr("planted-key-id-of-the-bucket"),
    "r2_secret_access_key": SecretStr("planted-secret-of-the-bucket"),
}
#: The part of a link to a reference that must be kept from others. The row that asks for the reference keeps it; no
#: log, message or error does.
SIGNATURE: Final = "planted-signature-of-a-link"
_TELLING: Final = "('error_message', 'last_error', 'reason', 'paused_reason', 'missing_reason', 'detail')"


def secrets_left(servers: Servers, database: Database, *, folder: Path, logs: list[Path]) -> Iterator[str]:
    """One sentence for each place that shows a secret of the settings, a server's password or what signs webhooks.

    Args:
        folder: of the run; its `sandbox` is the stand-in's own, which made the secret of webhooks, and is not searched.
    """
    secrets = {name: planted.get_secret_value().encode() for name, planted in PLANTED.items()}
    for name, url in (("password of Postgres", servers.libpq_url), ("password of Redis", servers.redis_url)):
        secrets[name] = str(urlsplit(url).password).encode()
    secrets["secret of webhooks"] = secret_in(folder / "sandbox").removeprefix(PREFIX).encode()
    told = [*_logs(logs), *_keys(servers)]
    for where, content in [*told, *_rows(database)]:
        for name, secret in secrets.items():
            if secret in content:
                yield f"{name} stands in {where.replace(str(folder), '')}"
    for where, content in [*told, *_reasons(database)]:
        if SIGNATURE.encode() in content:
            yield f"the signature of a link stands in {where.replace(str(folder), '')}"


def _logs(logs: list[Path]) -> Iterator[tuple[str, bytes]]:
    for log in logs:
        yield str(log), log.read_bytes()


def _rows(database: Database) -> Iterator[tuple[str, bytes]]:
    with database.transaction() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in tables:
            # Whole rows as text: every column there is, JSON and messages of errors among them.
            rows = connection.scalars(text(f'SELECT one::text FROM "{table}" AS one')).all()
            yield f"table {table}", "\n".join(rows).encode()


def _reasons(database: Database) -> Iterator[tuple[str, bytes]]:
    """What is said of failures in rows."""
    columns = text(
        "SELECT table_name, column_name FROM information_schema.columns"
        f" WHERE table_schema = 'public' AND column_name IN {_TELLING}"
    )
    with database.transaction() as connection:
        for table, column in connection.execute(columns).all():
            found = connection.scalars(text(f'SELECT "{column}"::text FROM "{table}" WHERE "{column}" IS NOT NULL'))
            yield f"{table}.{column}", "\n".join(found).encode()


def _keys(servers: Servers) -> Iterator[tuple[str, bytes]]:
    with redis.Redis.from_url(servers.redis_url) as client:
        for key in client.scan_iter():
            yield f"key {key!r} of Redis", key + (client.dump(key) or b"")
