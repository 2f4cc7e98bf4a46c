"""The first schema: tables, indexes, the append-only ledger, views. The statements stand in `0001_schema.sql`.

Revision: 0001
"""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    script = (Path(__file__).parent / "0001_schema.sql").read_text()
    # Past SQLAlchemy, which would read colons and percent signs of the script as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
