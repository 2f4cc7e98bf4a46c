"""What stood behind the addresses of a batch's references.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "reference_contents",
        sa.Column("batch_id", UUID, nullable=False),
        sa.Column("address_sha256", sa.Text, nullable=False),
        sa.Column(
            "content_sha256", sa.Text, nullable=False, comment="of the picture when the batch's first row named it"
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="reference_contents_batch_id_fkey"),
        sa.PrimaryKeyConstraint("batch_id", "address_sha256", name="reference_contents_pkey"),
    )
