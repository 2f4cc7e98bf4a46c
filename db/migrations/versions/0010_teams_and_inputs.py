"""A preference head for each team, and which generations have a picture that was handed in, by its key.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(
        "CREATE INDEX generations_input_picture_idx ON generations ((pipeline_data #>> '{prepare,image}'), id)"
        " WHERE (pipeline_data #>> '{prepare,image}') IS NOT NULL"
    )
    op.add_column(
        "preference_heads",
        sa.Column("team", sa.Text, nullable=False, server_default="local", comment="whose choices it was fitted to"),
    )
    op.execute("ALTER TABLE preference_heads DROP CONSTRAINT preference_heads_pkey")
    op.execute(
        "ALTER TABLE preference_heads ADD CONSTRAINT preference_heads_pkey PRIMARY KEY (team, digest, fingerprint)"
    )
    op.execute("DROP INDEX preference_heads_latest_idx")
    op.execute("CREATE INDEX preference_heads_latest_idx ON preference_heads (team, fingerprint, trained_at DESC)")
