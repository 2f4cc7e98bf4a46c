"""Secrets with a mark of their own, and the search for them in all that a run left: logs, rows and messages."""

from collections.abc import Iterator, Mapping
from pathlib import Path
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
}


def secrets_left(servers: Servers, database: Database, *, folder: Path, logs: list[Path]) -> Iterator[str]:
    """One sentence for each place that shows a secret of the settings, a server's password or what signs webhooks.

    Args:
        folder: of the run; its `sandbox` is the stand-in's own, which made the secret of webhooks, and is not searched.
    """
    secrets = {name: planted.get_secret_value().encode() for name, planted in PLANTED.items()}
    for name, url in (("password of Postgres", servers.libpq_url), ("password of Redis", servers.redis_url)):
        secrets[name] = str(urlsplit(url).password).encode()
    secrets["secret of webhooks"] = secret_in(folder / "sandbox").removeprefix(PREFIX).encode()
    for where, content in _everything(servers, database, logs):
        for name, secret in secrets.items():
            if secret in content:
                yield f"{name} stands in {where.replace(str(folder), '')}"


def _everything(servers: Servers, database: Database, logs: list[Path]) -> Iterator[tuple[str, bytes]]:
    for log in logs:
        yield str(log), log.read_bytes()
    with database.transaction() as connection:
        tables = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in tables:
            # Whole rows as text: every column there is, JSON and messages of errors among them.
            rows = connection.scalars(text(f'SELECT one::text FROM "{table}" AS one')).all()
            yield f"table {table}", "\n".join(rows).encode()
    with redis.Redis.from_url(servers.redis_url) as client:
        for key in client.scan_iter():
            yield f"key {key!r} of Redis", key + (client.dump(key) or b"")
