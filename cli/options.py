"""Options and arguments that several commands share, and how they are read."""

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


def taking(name: str, options: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose parameter `name` is a dataclass takes the fields of that class as arguments and options.

    Typer reads a command's options off its signature; this one is written out from the class, so that two commands
    with the same twenty options spell them once.
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
