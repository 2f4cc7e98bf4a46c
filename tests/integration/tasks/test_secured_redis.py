"""Redis by TLS and an ACL user, as rented ones are: one address for everything that connects."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from flower.utils.broker import Broker
from kombu.exceptions import OperationalError
from pydantic import ValidationError

from cli.operations.doctor_broker import broker
from cli.operations.doctor_checks import Health
from runtime.redis_address import OPTIONS
from runtime.settings import Settings
from tasks.app import make_app
from tasks.rate_limit import TokenBucket, open_token_store
from tests.support.commands import ROOT
from tests.support.secured_redis import SecuredRedis, documented_rules, secured_redis

QUEUE = "io.tick"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    with secured_redis(tmp_path_factory.mktemp("redis"), documented_rules()) as started:
        yield started


def read_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> str:
    """The address as our processes see it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", url)
    address = Settings().redis_url
    assert address is not None
    return address.get_secret_value()


@pytest.mark.parametrize(
    "more", ["", "&ssl_cert_reqs=required", "&ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=True"]
)
def test_one_address_serves_celery_and_redis_and_flower(
    secured: SecuredRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: str
) -> None:
    url = read_settings(monkeypatch, tmp_path, secured.url() + more)
    secured.admin.execute_command("ACL", "LOG", "RESET")
    app = make_app(url)
    app.send_task("queue.admit", queue=QUEUE)
    with app.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        asked = asyncio.run(Broker(url, broker_use_ssl=app.conf.broker_use_ssl).queues([QUEUE]))
        assert asked == [{"name": QUEUE, "messages": 1}], "Flower's own view of the broker"
        message = queue.get(timeout=20)
        assert message.headers["task"] == "queue.admit"
        message.ack()
    app.close()
    with open_token_store(url) as store:
        assert TokenBucket(store, f"lane{more}").take(1_000_000) == 0.0
    seen = broker(url, where="here")
    assert (seen.health, secured.refused()) == (Health.OK, []), "doctor, and what the server refused"


@pytest.mark.parametrize("options", ["", "ssl_check_hostname=true"])
def test_a_certificate_that_nobody_vouches_for_is_refused_by_everything(secured: SecuredRedis, options: str) -> None:
    url = secured.url(options=options)
    app = make_app(url)
    with app.connection_for_write() as connection, pytest.raises(OperationalError, match="certificate verify failed"):
        connection.ensure_connection(max_retries=0, timeout=10)
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        client.ping()
    flower = Broker(url, broker_use_ssl=app.conf.broker_use_ssl)
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        asyncio.run(flower.queues([QUEUE]))
    seen = broker(url, where="here")
    assert seen.health is Health.MISSING
    assert "certificate verify failed" in seen.found


def test_the_user_may_touch_nothing_else(secured: SecuredRedis) -> None:
    with redis.Redis.from_url(secured.url()) as client:
        for command in (("GET", "of somebody else"), ("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("rediss://h:1/0?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs names '/nowhere.pem', and there is no such file"),
        ("rediss://h:1/0?ssl_cert_reqs=maybe", "ssl_cert_reqs is none, optional, required, not 'maybe'"),
        ("rediss://:pa55@h:1/0?ssl_ca_cert=/x", "'ssl_ca_cert' is no option"),
        ("redis://:pa55@h:1/0?ssl_cert_reqs=none", "belong to an address that begins with rediss://"),
    ],
)
def test_an_address_that_only_some_would_understand_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        read_settings(monkeypatch, tmp_path, address)
    (failure,) = refused.value.errors(include_input=False)
    assert re.search(re.escape(said), failure["msg"])
    assert "pa55" not in failure["msg"]


def test_the_page_names_every_option() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert all(f"`{option}`" in page for option in OPTIONS)
