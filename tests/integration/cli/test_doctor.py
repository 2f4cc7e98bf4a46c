"""`likeness doctor`: what is there, what is missing, and what to do about it; no key is shown."""

from typing import Any

import pytest
from redis import Redis

from db.records import embeddings, heartbeat
from db.records.embeddings import FrameRow
from tests.support.books import Books
from tests.support.command_line import CommandLine


def test_the_doctor_finds_what_is_there_and_shows_no_key(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, books: Books
) -> None:
    monkeypatch.setenv("TTAPI_API_KEY", "a-very-secret-key")
    monkeypatch.setenv("TTAPI_BASE_URL", "http://127.0.0.1:9")
    with books.database.transaction() as connection:
        heartbeat.tick(connection, "queue.admit")
    said = likeness.document("doctor")
    assert said["ok"] is True
    health = {check["name"]: check["health"] for check in said["checks"]}
    assert {health[name] for name in ("Postgres", "Redis", "lanes", "beat", "home", "TTAPI_API_KEY")} == {"ok"}
    told = likeness("doctor").out + str(said)
    assert "a-very-secret-key" not in told
    assert all(check["advice"] for check in said["checks"] if check["health"] != "ok")


def test_the_doctor_tells_how_the_latest_audit_came_out(likeness: CommandLine, books: Books) -> None:
    def audit() -> dict[str, str]:
        (found,) = [one for one in likeness.document("doctor")["checks"] if one["name"] == "audit"]
        return found

    assert (audit()["health"], audit()["found"]) == ("note", "none yet")
    books.sql("INSERT INTO ticks (name, at, said) VALUES ('books.audit', now() - interval '3 h', '[]')")
    assert (audit()["health"], audit()["found"]) == ("ok", "3 h ago: the books add up")
    books.sql("UPDATE ticks SET at = now() - interval '3 d'")
    assert (audit()["health"], audit()["found"]) == ("note", "the last one was 72 h ago")
    books.sql("""UPDATE ticks SET said = '["one is wrong", "and another"]'""")
    assert (audit()["health"], "2 differences, the first: one is wrong" in audit()["found"]) == ("note", True)


def test_the_doctor_tells_on_which_device_the_model_was_loaded_and_how_it_computes(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, books: Books
) -> None:
    monkeypatch.setenv("CLIP_MODEL", "somebody/clip")

    def said() -> Any:
        (found,) = [one for one in likeness.document("doctor")["checks"] if one["name"] == "arithmetic"]
        return found

    def loaded(dtype: str, arithmetic: dict[str, Any], *, revision: str = "1") -> None:
        vectors = dict.fromkeys(("core_centre", "style_centre", "style_spread"), b"")
        frame = FrameRow(
            fingerprint=dtype + revision,
            model="somebody/clip",
            revision=revision,
            preprocessing="p",
            dtype=dtype,
            arithmetic=arithmetic,
            **vectors,
        )
        with books.database.transaction() as connection:
            embeddings.put_frame(connection, frame)

    assert (said()["health"], said()["found"]) == ("note", "no scorer has run yet")
    loaded("float32", {"device": "cpu", "chosen": "configured", "trials": []}, revision="0")
    trial = {"dtype": "bfloat16", "gain": 5.04, "cosine": 0.9996, "score_difference": 0.0021, "why_not": None}
    on_gpu = {"device": "cuda:0 (H100)", "chosen": "measured", "trials": [{**trial, "accepted": True}]}
    loaded("bfloat16", on_gpu)
    assert said()["found"] == (
        "bfloat16 on cuda:0 (H100), measured (bfloat16 5.0 times as fast, scores within 0.0021, taken)"
    ), "what other weights did is of no interest"
    assert said()["health"] == "ok"
    refused = {**dict.fromkeys(("gain", "cosine", "score_difference")), "dtype": "bfloat16", "why_not": "no room"}
    loaded("float32", {"device": "cpu", "chosen": "measured", "trials": [{**refused, "accepted": False}]})
    assert said()["health"] == "note", "two workers disagree"
    assert said()["found"].startswith("float32 on cpu, measured (bfloat16 could not be tried: no room); before that bf")


@pytest.mark.parametrize(("url", "health"), [("https://likeness.example", "ok"), ("http://likeness.example", "note")])
def test_the_doctor_knows_who_calls_back_where(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch, url: str, health: str
) -> None:
    monkeypatch.setenv("LIKENESS_PUBLIC_URL", url)
    (found,) = [one for one in likeness.document("doctor")["checks"] if one["name"] == "public address"]
    assert found["health"] == health


def test_the_doctor_says_what_to_do_where_something_is_missing(
    likeness: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANDBOX_BASE_URL")
    said = likeness.document("doctor", code=3)
    (bucket,) = [check for check in said["checks"] if check["name"] == "bucket"]
    assert (bucket["health"], "stay in" in bucket["found"]) == ("note", True)
    (lane,) = [check for check in said["checks"] if check["name"] == "lanes"]
    assert (lane["health"], "TTAPI_API_KEY" in lane["advice"]) == ("missing", True)
    monkeypatch.setenv("R2_BUCKET_NAME", "half-a-bucket")
    said = likeness.document("doctor", code=3)
    health = {check["name"]: check["health"] for check in said["checks"]}
    assert (health["bucket"], health["Postgres"]) == ("note", "ok")
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@127.0.0.1:9/likeness")
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:9/0")
    said = likeness.document("doctor", code=3)
    missing = {check["name"] for check in said["checks"] if check["health"] == "missing"}
    assert {"Postgres", "Redis"} <= missing
    assert "secret" not in str(said)


def test_the_doctor_names_a_broker_that_forgets_or_is_nearly_full(likeness: CommandLine, redis_url: str) -> None:
    def redis() -> dict[str, str]:
        (found,) = [one for one in likeness.document("doctor")["checks"] if one["name"] == "Redis"]
        return found

    with Redis.from_url(redis_url) as client:
        before = client.config_get("maxmemory*")
        try:
            assert redis()["health"] == "ok"
            client.config_set("maxmemory-policy", "allkeys-lru")
            assert (redis()["health"], "allkeys-lru" in redis()["found"]) == ("note", True)
            client.config_set("maxmemory", 10**9)
            assert "1.0 GB" in redis()["found"]
            assert "noeviction" in redis()["advice"]
            client.config_set("maxmemory-policy", "noeviction")
            assert (redis()["health"], "1.0 GB" in redis()["found"]) == ("ok", True)
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.1))
            assert "raise maxmemory" in redis()["advice"]
        finally:
            client.config_set("maxmemory", before["maxmemory"])
            client.config_set("maxmemory-policy", before["maxmemory-policy"])
