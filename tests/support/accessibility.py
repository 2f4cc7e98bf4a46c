"""Looks for barriers on a page with axe-core, which stands unchanged in `tests/support/axe/`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.browser import Browser

_SERIOUS = ("serious", "critical")
_RUN = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => JSON.stringify(found.violations.map((one) => ({
  rule: one.id, impact: one.impact, says: one.help,
  at: one.nodes.slice(0, 5).map((node) => node.target.join(" ") + ": " + node.failureSummary),
}))))
"""


def serious_barriers(page: Browser) -> list[dict[str, Any]]:
    """What axe-core finds on the page as it is now and calls serious or critical."""
    # Past the page's own policy for scripts, as a browser's developer tools are.
    page.js(_engine() + "\n;0")
    found: list[dict[str, Any]] = json.loads(page.js(_RUN))
    return [one for one in found if one["impact"] in _SERIOUS]


@cache
def _engine() -> str:
    return (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")
