"""Load a scorer when it is first wanted, and keep it until the process ends.

For weights that only some work needs, such as those that read what pictures show (ANALYSIS_MODEL): a worker that is
never handed a picture to analyse does not spend the seconds and the memory. They are kept, because pictures come in
batches, and a load takes longer than many analyses.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from typing import Self

from validation.base import Scorer


class ScorerOnDemand:
    """Thread-safe; closes what it loaded at the end of its block.

    Args:
        model: the name or folder of the weights, for the record.
        load: loads them; a failure is told to whoever asked, and the next one tries again.
    """

    def __init__(self, model: str, load: Callable[[], AbstractContextManager[Scorer]]) -> None:
        self.model = model
        self._load = load
        self._loaded: Scorer | None = None
        self._lock = Lock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._loaded = None
            self._stack.close()

    def get(self) -> Scorer:
        """The scorer; who comes while it loads waits for it.

        Raises:
            ModelUnloadable: as `load`.
        """
        with self._lock:
            if self._loaded is None:
                self._loaded = self._stack.enter_context(self._load())
            return self._loaded
