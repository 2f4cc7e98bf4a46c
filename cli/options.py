"""Options and arguments shared by several commands, and a decorator that turns a dataclass into options."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, get_type_hints

import typer

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Batch = Annotated[str, typer.Argument(metavar="BATCH", help="Its name, or the start of its id.", show_default=False)]
LatestBatch = Annotated[
    str | None, typer.Argument(metavar="BATCH", help="Name or id; the latest by default.", show_default=False)
]


_CREF_URLS = "--cref-urls"
_ADDRESS = ("http://", "https://")


def one_address_each(arguments: Sequence[str]) -> Iterator[str]:
    """`--cref-urls A B` as `--cref-urls A --cref-urls B`: no file of prompts is named by an address of the web."""
    listing = value_due = False
    for argument in arguments:
        if value_due:
            value_due = False
        elif argument == _CREF_URLS or argument.startswith(f"{_CREF_URLS}="):
            listing, value_due = True, argument == _CREF_URLS
        elif listing and argument.startswith(_ADDRESS):
            yield _CREF_URLS
        else:
            listing = False
        yield argument


def options_from(name: str, options: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the command's parameter `name`, a dataclass, by options for the fields of that class.

    Typer reads options from a command's signature; this generates the signature from the class, so that commands that
    share twenty options declare them once.
    """

    def take(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)
        shared = [
            Parameter(
                one.name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if one.default is MISSING else one.default,
                annotation=hints[one.name],
            )
            for one in fields(options)
        ]
        own = signature(command, eval_str=True).parameters.values()
        rest = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own if one.name != name]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            taken = {one.name: given.pop(one.name) for one in shared}
            command(**{name: options(**taken)}, **given)

        parameters = [*shared, *rest]
        called.__dict__["__signature__"] = Signature(parameters)
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return take
