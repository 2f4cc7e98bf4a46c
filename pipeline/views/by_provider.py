"""A batch's totals by provider."""

from db.books import by_provider as provider_books
from db.books.by_provider import ProviderBooks
from domain.ids import BatchId
from pipeline.resources import Resources
from providers.registry import is_synchronous

__all__ = ["ProviderBooks", "by_provider", "count_active"]


def by_provider(resources: Resources, batch_id: BatchId) -> list[ProviderBooks]:
    """Totals of a batch per provider, ordered by name."""
    with resources.database.transaction() as connection:
        return provider_books.by_provider(connection, batch_id)


def count_active(books: ProviderBooks) -> int:
    """Generations that can still end by themselves; a doubt cannot where the service has no job list to settle it."""
    return books.unfinished - (books.in_doubt if is_synchronous(books.provider) else 0)
