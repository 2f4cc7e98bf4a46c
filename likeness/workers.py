"""The workers of an installation with embedded servers: run by the script, unless another process runs them."""

from types import TracebackType
from typing import Self

from domain.errors import ServiceMissing
from runtime.crew import Crew, workers
from runtime.site import Site


class LocalWorkers:
    """A context in which the workers of one home run once `tend` was called.

    Args:
        site: whose servers run at least as long.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._crew = Crew(site.settings.home)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._crew.close()

    def tend(self) -> None:
        """Start what is not running; call it now and then, it costs a millisecond.

        Raises:
            ServiceMissing: a worker that every batch needs ended too often in a row; the sentence says why.
        """
        self._site.keep_alive()
        self._crew.try_start(
            lambda: workers(self._site.settings), on_line=lambda _name, _line: None, on_report=lambda _report: None
        )
        self.require(checks=False)

    def require(self, *, checks: bool) -> None:
        """Check that nobody is given up who is needed.

        Args:
            checks: whether pictures have to be checked; without its weights the gpu worker cannot live, and a batch
                without a character does not need it.

        Raises:
            ServiceMissing: one ended too often in a row; the sentence says why.
        """
        if missed := self._crew.missed(checks=checks):
            raise ServiceMissing(self._crew.failure_reason(missed[0]))
