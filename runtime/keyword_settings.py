"""Settings whose keywords are checked: `Settings(home=...)` and `Settings(LIKENESS_HOME=...)` mean the same.

pydantic-settings takes a keyword by the name of its field only where the variable has the same name, and drops all
others silently, because unknown variables of a `.env` must be ignored. Its own remedy, `populate_by_name`, fills `home`
from $HOME and `user` from $USER (findings/pydantic-settings-ignores-a-keyword.sh).
"""

import difflib
from typing import Any

from pydantic_settings import BaseSettings


class KeywordSettings(BaseSettings):
    """Base of settings that a script makes by hand."""

    def __init__(self, **given: Any) -> None:
        """Take each keyword by its field or by its variable; those with an underscore are pydantic-settings' own.

        Raises:
            TypeError: no setting has that name, or two keywords mean the same one.
        """
        variables = {name: str(field.validation_alias or name) for name, field in type(self).model_fields.items()}
        taken: dict[str, Any] = {}
        for name, value in given.items():
            variable = variables.get(name, name)
            if not name.startswith("_") and variable not in variables.values():
                near = difflib.get_close_matches(name, variables, n=1)
                raise TypeError(f"there is no setting {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
            if variable in taken:
                raise TypeError(f"the setting {variable} is given twice")
            taken[variable] = value
        super().__init__(**taken)
