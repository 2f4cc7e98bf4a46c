"""Wishes to finish accepted pictures, and attempts of their kind; see `0011_finishing.sql`.

Revision: 0011
"""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    script = (Path(__file__).parent / "0011_finishing.sql").read_text()
    # Past SQLAlchemy, which would read colons and percent signs of the script as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
