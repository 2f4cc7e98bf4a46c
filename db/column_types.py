"""Shared building blocks of the tables: the metadata, column types and CHECK constraints."""

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, DateTime, MetaData, Numeric, text

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

Usd = Numeric(14, 6)
Moment = DateTime(timezone=True)
NOTHING = text("'{}'::jsonb")


def quoted(words: Iterable[str]) -> str:
    """`words` as the inside of an SQL list, in a fixed order."""
    return ", ".join(f"'{word}'" for word in sorted(words))


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """A check that `column` holds one of `words`."""
    return CheckConstraint(f"{column} IN ({quoted(words)})", name=column)
