"""What the HTTP API needs: teams, keys, kept answers, deletions, events, webhooks; see `0002_api.sql`.

Revision: 0002
"""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    script = (Path(__file__).parent / "0002_api.sql").read_text()
    # Past SQLAlchemy, which would read colons and percent signs of the script as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
