"""What `demo --chaos` is judged by: our books, the sandbox's bill, and the faults that it says befell each prompt."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from cli.demo import stand_in
from cli.installation import Opened
from domain.money import show, usd
from domain.states import GenerationState
from pipeline.views import audit, generations
from pipeline.views.by_provider import ProviderBooks, by_provider, count_active
from pipeline.views.generations import Wanted
from pipeline.views.status import BatchStatus

#: Which faults a failed generation may have met for its reason to be right: at which call, and the fault's own words.
#: Whatever else befell it must have been got over.
EXPLAINED_BY: Final[Mapping[str, Sequence[tuple[str, re.Pattern[str]]]]] = {
    "content_refused": [("submit", re.compile("(refused|failed_body):.*(Banned prompt|safety|flagged)"))],
    "request_refused": [("submit", re.compile("refused:input|status:403")), ("reference", re.compile(""))],
    "job_failed": [("submit", re.compile("failed_body:")), ("reference", re.compile(""))],
    "job_timed_out": [("submit", re.compile("aborted"))],
    "picture_lost": [
        ("picture", re.compile("")),
        ("fetch", re.compile("no_images|data_removed")),
        ("submit", re.compile("canceled")),
    ],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AtProvider:
    """One service's part of the batch, in our books and on the sandbox's bill."""

    books: ProviderBooks
    jobs: int
    bill_usd: Decimal

    @property
    def breaches(self) -> list[str]:
        """What was promised and is not so, as sentences."""
        books, found = self.books, []
        if count_active(books):
            found.append(f"{count_active(books)} generations at {books.provider!r} came to no end")
        most = books.charged_usd + books.in_doubt_usd
        if not books.charged_usd <= self.bill_usd <= most:
            found.append(
                f"{books.provider!r} billed {show(self.bill_usd)} USD, charged are {show(books.charged_usd)}"
                f" and in doubt {show(books.in_doubt_usd)}"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        return {
            "provider": self.books.provider,
            "total": self.books.total,
            "counts": dict(self.books.counts),
            "jobs": self.jobs,
            "called_back": self.books.called_back,
            "charged_usd": show(self.books.charged_usd),
            "bill_usd": show(self.bill_usd),
            "in_doubt_usd": show(self.books.in_doubt_usd),
            "in_doubt": self.books.in_doubt,
            "failures": dict(self.books.failures),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One generation that failed, and every fault that befell its prompt.

    Args:
        faults: as (call, fault).
    """

    provider: str
    prompt: str
    code: str
    message: str
    faults: Sequence[tuple[str, str]]

    @property
    def explained(self) -> bool:
        """Whether one of its faults is a right reason for its failure."""
        wanted = EXPLAINED_BY.get(self.code, ())
        return any(where == at and words.match(what) for where, what in self.faults for at, words in wanted)

    def as_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "prompt": self.prompt,
            "code": self.code,
            "message": self.message,
            "faults": [f"{where} {what}" for where, what in self.faults],
            "explained": self.explained,
        }


def parts(site: Opened, batch: BatchStatus) -> list[AtProvider]:
    """The batch, service by service."""
    # Jobs of an earlier batch may be in doubt for good, and then no attempt knows them either.
    mine = [
        job
        for job in stand_in.jobs_of(site, batch)
        if datetime.fromisoformat(job["accepted_at"]) >= batch.batch.created_at
    ]
    found = []
    for books in by_provider(site.resources, batch.batch.id):
        bill = [Decimal(job["charged_usd"]) for job in mine if job["provider"] == books.provider]
        found.append(AtProvider(books=books, jobs=len(bill), bill_usd=usd(sum(bill, Decimal(0)))))
    return found


def failures(site: Opened, batch: BatchStatus, happened: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """The batch's failed generations, with what `happened` at the sandbox to each."""
    seen = [(one["provider"], one["prompt"], (one["where"], one["what"])) for one in happened]
    failed = generations.page(
        site.resources,
        Wanted(batch_id=batch.batch.id, user_id=site.settings.user, state=GenerationState.FAILED),
    )
    return [
        Failure(
            provider=row["provider"],
            prompt=row["prompt"],
            code=row["error_code"],
            message=row["error_message"],
            # A wire may carry more than the prompt: flags, references.
            faults=[fault for provider, sent, fault in seen if provider == row["provider"] and row["prompt"] in sent],
        )
        for row in (details.generation for details in failed)
    ]


def breaches(site: Opened, of_parts: Sequence[AtProvider], of_failures: Sequence[Failure]) -> list[str]:
    """Every promise that was not kept, as a sentence."""
    return [
        *(sentence for part in of_parts for sentence in part.breaches),
        *(f"{one.prompt!r} failed as {one.code!r}, and no fault says why" for one in of_failures if not one.explained),
        *audit.of_books(site.resources),
    ]
