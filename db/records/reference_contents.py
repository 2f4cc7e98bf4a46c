"""Which picture stood behind each address of a batch's references, so that a renewed link is known for the same one."""

from collections.abc import Mapping

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.schema_checks import reference_contents
from domain.ids import BatchId, sha256


def of(connection: Connection, batch_id: BatchId) -> dict[str, str]:
    """Digests of contents by digests of addresses."""
    found = select(reference_contents.c.address_sha256, reference_contents.c.content_sha256)
    rows = connection.execute(found.where(reference_contents.c.batch_id == batch_id))
    return {row.address_sha256: row.content_sha256 for row in rows}


def keep(connection: Connection, batch_id: BatchId, contents: Mapping[str, str]) -> None:
    """Note what was seen; what the batch has of an address already stays.

    Args:
        contents: digests of contents by address.
    """
    if contents:
        rows = [
            {"batch_id": batch_id, "address_sha256": digest_of(address), "content_sha256": content}
            for address, content in contents.items()
        ]
        connection.execute(upsert(reference_contents).on_conflict_do_nothing(), rows)


def digest_of(address: str) -> str:
    return sha256(address.encode())
