"""Long pictures are seen in several crops: their embeddings, and which crop a verdict saw.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "embeddings",
        sa.Column("further", sa.LargeBinary, nullable=False, server_default="", comment="both of each further crop"),
    )
    for name, comment in (
        ("crop", "which crop of a long picture was compared, from 1 at the left or top"),
        ("crops", "how many crops the picture has; 1 for all but long ones"),
    ):
        op.add_column("verdicts", sa.Column(name, sa.Integer, comment=comment))
