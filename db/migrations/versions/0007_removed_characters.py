"""Characters can be removed: they keep their rows, and their names are free again.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    comment = "from then on no new prompt can name it; what names it already keeps it"
    op.add_column("characters", sa.Column("removed_at", sa.DateTime(timezone=True), comment=comment))
    op.drop_constraint("characters_team_name_key", "characters", type_="unique")
    op.create_index(
        "characters_team_name_key",
        "characters",
        ["team", "name"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
