"""Raised by a stage that finds out, when it runs, that another process has to do it."""

from domain.preparation import Place


class Elsewhere(Exception):
    """The stage needs what this process does not have; it is handed over and has done nothing."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.value)
        self.place = place
