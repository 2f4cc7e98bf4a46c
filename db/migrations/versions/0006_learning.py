"""Decisions about models, choices between pictures, fitted heads, personas; see `0006_learning.sql`.

Revision: 0006
"""

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    script = (Path(__file__).parent / "0006_learning.sql").read_text()
    # Past SQLAlchemy, which would read colons and percent signs of the script as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
