"""A wish to finish a picture can be given up while an attempt is at it.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    comment = "a person gave it up while an attempt was at it"
    op.add_column("finishings", sa.Column("cancel_requested_at", sa.DateTime(timezone=True), comment=comment))
