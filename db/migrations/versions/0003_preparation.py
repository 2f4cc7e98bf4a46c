"""Preparing generations before their picture is asked for, and paid calls for words; see `0003_preparation.sql`.

Revision: 0003
"""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    script = (Path(__file__).parent / "0003_preparation.sql").read_text()
    # Past SQLAlchemy, which would read colons and percent signs of the script as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(script)
