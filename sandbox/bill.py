"""The bill and the log of submissions as JSON, for tests to compare with the books. Keys appear only as digests."""

import hashlib
from datetime import UTC, datetime
from decimal import Decimal

from sandbox.jobs import Job, JobStore, usd


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def money(amount_micros: int) -> str:
    """Dollars as a decimal in a string, with at least two places: "0.02", "0.125"."""
    amount = usd(amount_micros).normalize()
    cents = Decimal("0.01")
    return f"{amount.quantize(cents) if amount == amount.quantize(cents) else amount:f}"


def moment(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, tz=UTC).isoformat(timespec="microseconds")


def bill(store: JobStore) -> dict[str, object]:
    """Every accepted job with its charge: the full price of a live job, and what was kept of a failed one."""
    jobs = store.all()
    return {
        "jobs": [_line(job) for job in jobs],
        "total_usd": money(sum(job.charged_micros for job in jobs)),
        "accepted": len(jobs),
    }


def _line(job: Job) -> dict[str, object]:
    return {
        "provider": job.provider,
        "job_id": job.job_id,
        "kind": job.kind,
        "prompt": job.prompt,
        "key_digest": job.key_digest,
        "mode": job.mode,
        "accepted_at": moment(job.accepted_at_s),
        "finished_at": moment(job.finished_at_s),
        "status": job.state,
        "message": job.message if job.state == "failed" else "",
        "charged_usd": money(job.charged_micros),
        "hook_url": job.hook_url,
    }


def log(store: JobStore) -> dict[str, object]:
    """Every submission in order of arrival, with the reason of refused ones."""
    accepted = [
        {
            "at_s": job.received_at_s,
            "provider": job.provider,
            "kind": job.kind,
            "key_digest": job.key_digest,
            "outcome": "accepted",
            "job_id": job.job_id,
            "fault": job.fault,
        }
        for job in store.all()
    ]
    refused = [
        {
            "at_s": row["received_at_s"],
            "provider": row["provider"],
            "kind": row["path"].rpartition("/")[2],
            "key_digest": row["key_digest"],
            "outcome": row["reason"],
            "job_id": None,
            "fault": None,
        }
        for row in store.refusals()
    ]
    return {"submits": sorted(accepted + refused, key=lambda entry: float(entry["at_s"]))}
