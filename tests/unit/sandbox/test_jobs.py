"""The store of jobs: what a key may have, what is charged and given back, and what is still there afterwards."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.bill import bill, digest_of, money
from sandbox.jobs import Job, JobStore, QueueFull, Refused, Terms, TooManySubmits, WalletEmpty

TERMS = Terms(concurrency=10, wallet_usd=Decimal(100), submits_per_minute=0, illegal_limit=30)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    opened = JobStore(tmp_path / "jobs.sqlite")
    yield opened
    opened.close()


def job(number: int, *, key: str = "k", at_s: float = 1000.0) -> Job:
    return Job(
        job_id=f"job-{number}",
        provider="ttapi",
        kind="imagine",
        prompt="a pig",
        key_digest=digest_of(key),
        mode="fast",
        plan={"tiles": [0, 1, 2, 3]},
        received_at_s=at_s,
        accepted_at_s=at_s,
        starts_at_s=at_s + 1,
        due_at_s=at_s + 5,
        price_micros=20_000,
        charged_micros=20_000,
    )


def test_an_accepted_job_is_charged_and_a_failed_one_is_given_back(store: JobStore) -> None:
    store.accept(job(1), TERMS)
    store.accept(job(2), TERMS)
    assert bill(store)["total_usd"] == "0.04"
    store.finish("job-1", at_s=1010.0, message=None, illegal=False, terms=TERMS)
    store.finish("job-2", at_s=1010.0, message="[Internal error]", illegal=False, terms=TERMS)
    lines = {line["job_id"]: line for line in bill(store)["jobs"]}
    assert lines["job-1"]["charged_usd"] == "0.02"
    assert lines["job-2"]["charged_usd"] == "0.00"
    assert bill(store)["total_usd"] == "0.02"


def test_a_price_that_is_known_later_changes_the_bill_and_nothing_that_was_given_back(store: JobStore) -> None:
    for number in range(1, 4):
        store.accept(job(number), TERMS)
    assert store.stop("job-2", at_s=1002.0) is not None
    store.finish("job-3", at_s=1010.0, message="[Internal error]", illegal=False, terms=TERMS)
    for number in range(1, 5):
        store.reprice(f"job-{number}", 50_000)
        store.reprice(f"job-{number}", 60_000)
    store.finish("job-1", at_s=1010.0, message=None, illegal=False, terms=TERMS)
    assert [line["charged_usd"] for line in bill(store)["jobs"]] == ["0.06", "0.06", "0.00"]
    assert bill(store)["total_usd"] == "0.12"
    dear = replace(job(5), price_micros=99_890_000)
    with pytest.raises(WalletEmpty):
        store.accept(dear, TERMS)


def test_a_job_ends_once(store: JobStore) -> None:
    store.accept(job(1), TERMS)
    assert store.finish("job-1", at_s=1010.0, message=None, illegal=False, terms=TERMS) is not None
    assert store.finish("job-1", at_s=1011.0, message="[Internal error]", illegal=False, terms=TERMS) is None
    kept = store.get("job-1")
    assert kept is not None
    assert kept.state == "succeeded"


def test_a_job_reads_back_as_it_was_written(store: JobStore) -> None:
    written = replace(job(1), hook_url="http://127.0.0.1:9/hook", parent_id="job-0", fault="drop_after", stuck=True)
    store.accept(written, TERMS)
    assert store.get("job-1") == written


def test_the_queue_of_a_key_is_full_until_a_job_ends(store: JobStore) -> None:
    terms = replace(TERMS, concurrency=2)
    store.accept(job(1), terms)
    store.accept(job(2), terms)
    with pytest.raises(QueueFull):
        store.accept(job(3), terms)
    store.accept(job(4, key="another"), terms)
    store.finish("job-1", at_s=1010.0, message=None, illegal=False, terms=terms)
    store.accept(job(3), terms)


def test_threads_that_submit_together_never_pass_the_limit(store: JobStore) -> None:
    accepted = []

    def submit(number: int) -> None:
        try:
            store.accept(job(number), TERMS)
        except Refused:
            return
        accepted.append(number)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == TERMS.concurrency == len(store.unfinished())


def test_an_empty_wallet_and_too_many_submits_are_refused(store: JobStore) -> None:
    store.accept(job(1), TERMS)
    with pytest.raises(WalletEmpty):
        store.accept(job(2), replace(TERMS, wallet_usd=Decimal("0.03")))
    with pytest.raises(TooManySubmits):
        store.accept(job(2, at_s=1059.0), replace(TERMS, submits_per_minute=1))
    store.accept(job(2, at_s=1061.0), replace(TERMS, submits_per_minute=1))


def test_illegal_prompts_beyond_the_limit_of_a_day_are_not_given_back(store: JobStore) -> None:
    terms = replace(TERMS, illegal_limit=2)
    for number in range(4):
        store.accept(job(number), terms)
        at_s = 1010.0 if number < 3 else 1010.0 + 86_400
        store.finish(f"job-{number}", at_s=at_s, message="[Invalid parameter]", illegal=True, terms=terms)
    charges = {line["job_id"]: line["charged_usd"] for line in bill(store)["jobs"]}
    assert charges == {"job-0": "0.00", "job-1": "0.00", "job-2": "0.02", "job-3": "0.00"}


def test_jobs_and_charges_are_there_after_opening_again(tmp_path: Path) -> None:
    first = JobStore(tmp_path / "jobs.sqlite")
    first.accept(job(1), TERMS)
    first.close()
    second = JobStore(tmp_path / "jobs.sqlite")
    assert bill(second)["total_usd"] == "0.02"
    assert [each.job_id for each in second.unfinished()] == ["job-1"]
    with pytest.raises(WalletEmpty):
        second.accept(job(2), replace(TERMS, wallet_usd=Decimal("0.03")))
    second.close()


def test_a_page_holds_the_jobs_of_one_phase_in_order(store: JobStore) -> None:
    for number in range(6):
        store.accept(job(number, at_s=1000.0 + number), TERMS)
    store.finish("job-0", at_s=1010.0, message=None, illegal=False, terms=TERMS)
    where = {"provider": "ttapi", "key_digest": digest_of("k"), "now_s": 1003.5}

    def ids(phase: str, **paging: object) -> list[str]:
        paging = {"newest_first": False, "limit": 10, "offset": 0} | paging
        return [each.job_id for each in store.page(phase=phase, **where, **paging)]

    assert ids("succeeded") == ["job-0"]
    assert ids("running") == ["job-1", "job-2"]
    assert ids("waiting") == ["job-3", "job-4", "job-5"]
    assert ids("waiting", newest_first=True, limit=2) == ["job-5", "job-4"]
    assert ids("waiting", newest_first=True, limit=2, offset=2) == ["job-3"]
    assert ids("failed") == []


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0.00"), (20_000, "0.02"), (125_000, "0.125"), (30_000_000, "30.00"), (1, "0.000001")]
)
def test_money_is_a_decimal_in_a_string(amount: int, text: str) -> None:
    assert money(amount) == text
