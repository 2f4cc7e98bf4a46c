"""The limit of a user's month is that of a team's user: one `userId` in two teams is two users.

A limit that stands is given to each team that has work of its user, so that nobody may spend more than before.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    comment = "of the user; empty for a lane, which all teams share"
    op.add_column("spending_limits", sa.Column("team", sa.Text, nullable=False, server_default="", comment=comment))
    op.drop_constraint("spending_limits_pkey", "spending_limits", type_="primary")
    op.create_primary_key("spending_limits_pkey", "spending_limits", ["scope", "team", "subject"])
    op.execute("UPDATE spending_limits SET team = 'local' WHERE scope = 'user_month'")
    op.execute(
        """
        INSERT INTO spending_limits (scope, team, subject, limit_usd, set_at)
        SELECT DISTINCT l.scope, b.team, l.subject, l.limit_usd, l.set_at
        FROM spending_limits l JOIN batches b ON b.user_id = l.subject
        WHERE l.scope = 'user_month' AND b.team <> 'local'
        """
    )
    op.alter_column("spending_limits", "team", server_default=None)
