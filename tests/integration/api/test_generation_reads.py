"""The short way of reading a generation: the answers of the route, never older than the question, in few statements."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from api.callers import Recognised
from api.generation_reads import GenerationReads
from db.session import Database, DatabaseAway
from domain.access import Scope
from pipeline.operator import keys
from tests.support.api_server import ApiServer
from tests.support.sandbox_client import until


def test_both_ways_answer_the_same(api: ApiServer) -> None:
    made = api.generate()
    for _ in range(2):
        short = api.as_().get(made["statusUrl"])
        # A wish that is not known changes nothing, and is read by the route alone.
        long = api.as_(Prefer="handling=lenient").get(made["statusUrl"])
        assert (short.status_code, short.json()) == (long.status_code, long.json())
        assert {**short.headers, "date": "", "content-length": ""} == {**long.headers, "date": "", "content-length": ""}
        assert short.headers["x-content-type-options"] == "nosniff"
        api.work()
    assert short.json()["status"] == "completed"


def test_what_was_changed_is_told_by_the_next_answer(api: ApiServer) -> None:
    made = api.generate()
    client = api.as_()
    for number in range(3):
        assert len(client.get(made["statusUrl"]).json()["feedback"]) == number
        client.post(f"{made['statusUrl']}/feedback", json={"feedbackType": "rating", "rating": 5}).raise_for_status()
    client.delete(made["statusUrl"]).raise_for_status()
    assert client.get(made["statusUrl"]).status_code == 410


def test_who_may_not_see_it_learns_nothing(api: ApiServer) -> None:
    made = api.generate()
    assert api.as_().get(made["statusUrl"]).status_code == 200, "it is kept now"
    assert api.as_(api.key("other")).get(made["statusUrl"]).status_code == 404
    reader = api.key("local", Scope.READ)
    assert api.as_(reader).get(made["statusUrl"]).status_code == 200
    keys.revoke(api.resources, reader[:11])
    until(
        lambda: api.as_(reader).get(made["statusUrl"]).status_code == 401,
        what="a revoked key that is refused",
    )


def test_a_key_with_a_limit_of_speed_is_held_to_it(api: ApiServer) -> None:
    made = api.generate()
    token = api.key("local", Scope.READ, rate_limit="1/m")
    seen = [api.as_(token).get(made["statusUrl"]).status_code for _ in range(3)]
    assert seen == [200, 429, 429]


def test_reads_of_a_moment_are_one_statement(api: ApiServer) -> None:
    ids = [UUID(api.generate()["id"]) for _ in range(2)]
    reads = GenerationReads(api.resources)

    async def ask() -> list[Any]:
        return await asyncio.gather(*(reads.find(one) for one in [*ids * 10, uuid4()]))

    with _statements(api.resources.database) as statements:
        *found, missing = asyncio.run(ask())
    assert (len(found), missing) == (20, None)
    assert len({one.content for one in found}) == 2
    assert len([one for one in statements if "json_agg" in one]) == 1


def test_a_key_that_many_bring_at_once_is_looked_up_once(api: ApiServer) -> None:
    token, recognised = api.key(), Recognised()

    async def ask() -> list[Any]:
        return await asyncio.gather(*(recognised.find(api.resources, token) for _ in range(20)))

    with _statements(api.resources.database) as statements:
        found = asyncio.run(ask())
    assert {one.name for one in found} == {"local-admin-0-0"}
    assert len([one for one in statements if one.startswith("SELECT api_keys")]) == 1


def test_everybody_who_asked_is_told_that_postgres_is_away(api: ApiServer) -> None:
    with closing(Database("postgresql://nobody@127.0.0.1:1/nothing")) as away:
        reads = GenerationReads(dataclasses.replace(api.resources, database=away))

        async def ask() -> list[Any]:
            return await asyncio.gather(*(reads.find(uuid4()) for _ in range(3)), return_exceptions=True)

        assert [type(one) for one in asyncio.run(ask())] == [DatabaseAway] * 3


def test_a_request_that_was_given_up_holds_up_nobody(api: ApiServer) -> None:
    wanted = UUID(api.generate()["id"])
    reads = GenerationReads(api.resources)

    async def ask() -> None:
        given_up = asyncio.create_task(reads.find(wanted))
        other = asyncio.create_task(reads.find(wanted))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await other is not None
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await reads.find(wanted) is not None

    asyncio.run(ask())


@contextmanager
def _statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(*args: Any) -> None:
        seen.append(args[2])

    engines = (database.engine, database._lookups)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
