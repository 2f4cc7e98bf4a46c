"""Keys belong to members, and what somebody did says to which generation and by which key.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    comment = "whose key it is: who is named for what it did"
    op.add_column("api_keys", sa.Column("member", sa.Text, comment=comment))
    op.execute("UPDATE api_keys SET member = name")
    op.alter_column("api_keys", "member", nullable=False)
    generation = sa.ForeignKey("generations.id")
    op.add_column("acts", sa.Column("generation_id", sa.UUID, generation, comment="null: about the whole batch"))
    op.create_index("acts_generation_id_idx", "acts", ["generation_id"])
    op.add_column("acts", sa.Column("key_name", sa.Text, comment="null: on the command line or in a script"))
    op.alter_column("acts", "actor", comment="the member, and the user that the request named")
