"""What a person is told where Postgres does not answer: what is true of the server that it is about."""

import os
import signal
from pathlib import Path

import pytest
from pydantic import SecretStr

from db.session import DatabaseAway
from runtime.embedded.locks import wait_until
from runtime.resources import open_producer, open_reader
from runtime.settings import Settings
from runtime.site import next_step
from tests.support.embedded_users import DEADLINE_S, fast, kill, open_folder, works_again, write


def addressed(home: Path, url: str) -> Settings:
    servers = {"database_url": SecretStr(url), "redis_url": SecretStr("redis://127.0.0.1:1/0")}
    return Settings().model_copy(update={**servers, "home": home})


def test_a_lost_server_of_this_installation_is_no_matter_of_an_address_that_nobody_set() -> None:
    with open_folder() as folder, fast(folder / "home") as servers:
        settings = addressed(folder / "home", servers.libpq_url)
        write(servers, "kept")
        # Whoever would start it again is held, so that it is away for as long as it is looked at.
        os.kill(servers.keeper_pid, signal.SIGSTOP)
        try:
            kill(servers.postgres_pid)
            for opened in (open_reader, open_producer):
                with pytest.raises(DatabaseAway) as away, opened(settings, application="test"):
                    pass
                assert "is not reachable" in str(away.value)
                assert "the server of this installation, which was lost or is still starting" in str(away.value)
                assert str(folder / "home" / "logs" / "postgres.log") in str(away.value)
                assert "DATABASE_URL" not in str(away.value)
        finally:
            os.kill(servers.keeper_pid, signal.SIGCONT)
        assert wait_until(lambda: works_again(servers), timeout_s=DEADLINE_S)


def test_a_server_at_an_address_that_somebody_set_is_looked_for_there() -> None:
    with open_folder() as folder, fast(folder / "home"):
        elsewhere = addressed(folder / "home", "postgresql://likeness:other@127.0.0.1:1/likeness")
        with pytest.raises(DatabaseAway) as away, open_reader(elsewhere, application="test"):
            pass
        assert str(away.value).endswith("; check DATABASE_URL")
    assert next_step(elsewhere) == "check DATABASE_URL", "also where no server was ever embedded"
