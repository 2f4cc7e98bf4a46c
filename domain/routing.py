"""Words with which a person leaves the choice of the model to the product."""

from enum import StrEnum


class Routing(StrEnum):
    """Given instead of the name of a model."""

    AUTO = "auto"  # among the models of the provider that is named
    ANY = "any"  # among those of every provider that has a lane here

    @classmethod
    def of(cls, model: str | None) -> "Routing | None":
        """What `model` says, or None where it names a model or nothing."""
        return _BY_WORD.get(model.strip().lower()) if model else None


#: Every row of an order asks twice.
_BY_WORD = {one.value: one for one in Routing}
