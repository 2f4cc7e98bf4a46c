"""The workers of an installation with embedded servers: run by the script, unless another process runs them."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from domain.errors import ServiceMissing
from runtime.children import Child
from runtime.crew import Crew, role
from runtime.site import Site

_ROLES = ("io", "gpu", "beat")


class LocalWorkers:
    """A context in which the workers of one home run once `tend` was called.

    Args:
        site: whose servers run at least as long.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._crew = Crew(site.settings.home)
        self._logs = site.settings.home / "logs"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._crew.close()

    def tend(self) -> None:
        """Start what is not running; call it now and then, it costs a millisecond.

        Raises:
            ServiceMissing: a worker that every batch needs ended too often in a row; its log says why.
        """
        self._site.keep_alive()
        self._crew.try_start(self._members, on_line=lambda _name, _line: None, on_report=lambda _report: None)
        # Without its weights the gpu worker cannot live, and a batch without a character does not need it.
        for name in ("io", "beat"):
            self.require(name)

    def require(self, name: str) -> None:
        """Check that nobody has given the worker up.

        Raises:
            ServiceMissing: it ended too often in a row; its log says why.
        """
        if self._crew.children is not None and name in self._crew.children.given_up():
            raise ServiceMissing(
                f"the {name} worker keeps ending; its log {str(self._logs / f'{name}.log')!r} says why"
            )

    def _members(self) -> Sequence[Child]:
        self._logs.mkdir(parents=True, exist_ok=True)
        settings = self._site.settings
        return [role(name, settings, log=self._logs / f"{name}.log") for name in _ROLES]
