"""`models`: list the model catalogue. Needs no server, and starts none."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import groupby, product
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.operations.models_fetch import fetch_command
from cli.options import AsJson
from cli.tables import table_of
from cli.terminal import open_terminal
from domain.errors import PriceUnknown, RequestError, UnknownThing
from domain.money import show
from providers.catalogue import Catalogue, Model, load
from providers.prices import listed, price

app = typer.Typer(help="The catalogue of models; `fetch` brings the scoring model.", invoke_without_command=True)
app.command("fetch")(fetch_command)


@app.callback()
def models_command(
    context: typer.Context,
    provider: Annotated[str | None, typer.Option(help="Only models of this provider.")] = None,
    references: Annotated[bool, typer.Option("--references", help="Only models that take references.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Only models that are not shut down.")] = False,
    on: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Prices and availability on that day; default: today.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the models: provider, cost per call, accepted inputs, and end of life."""
    if context.invoked_subcommand is not None:
        return
    with open_terminal(as_json=as_json) as terminal:
        day = (on or datetime.now(UTC)).date()
        catalogue = load()
        _check_provider(catalogue, provider)
        found = catalogue.models(provider=provider, references=references, live_on=day if live else None)
        terminal.document({"on": day.isoformat(), "models": [_document(model, day) for model in found]})
        terminal.show(_table(found, day))


def _check_provider(catalogue: Catalogue, provider: str | None) -> None:
    known = sorted({name for model in catalogue for name in (model.provider, *model.stand_ins)})
    if provider is not None and provider not in known:
        raise UnknownThing(f"there is no provider {provider!r}; there are {', '.join(known)}")


def _cost(model: Model, day: date) -> tuple[Decimal, Decimal] | None:
    """Usual and maximum cost of one call; None where unknown."""
    try:
        found = price(model, {}, on=day)
    except (PriceUnknown, RequestError):
        return None
    return found.usd, found.at_most_usd


def _document(model: Model, day: date) -> dict[str, Any]:
    cost = _cost(model, day)
    return {
        "name": model.name,
        "title": model.title,
        "provider": model.provider,
        "served_by": [model.provider, *model.stand_ins],
        "aliases": list(model.aliases),
        "live": model.is_live(day),
        "retired_on": model.retired_on.isoformat() if model.retired_on else None,
        "successor": model.successor,
        "price_usd": show(cost[0]) if cost else None,
        "at_most_usd": show(cost[1]) if cost else None,
        "estimate": any(row.estimate for row in model.prices if row.holds_on(day)),
        "pictures": model.pictures,
        "references": None if model.references is None else model.references.most,
        "reference_style": None if model.references is None else model.references.style,
        "sizes": list(model.sizes),
        "aspect_ratios": list(model.aspect_ratios),
        "qualities": list(model.qualities),
        "modes": list(model.modes),
        "formats": list(model.formats),
        "expected_s": dict(model.expected_s),
        "prices": list(_prices(model, day)),
        "negative_prompt": model.negative_prompt,
        "max_prompt_chars": model.max_prompt_chars,
        "confirmed": model.sure,
        "source": model.source,
    }


def _prices(model: Model, day: date) -> Iterator[dict[str, Any]]:
    """Cost of a call without references in each size, quality and mode; unknown prices are left out."""
    for size, quality, mode in product(*(each or (None,) for each in (model.sizes, model.qualities, model.modes))):
        variant = {"size": size, "quality": quality, "mode": mode}
        found = listed(model, {name: word for name, word in variant.items() if word is not None}, on=day)
        if found is None or found.row is None:
            return
        row = found.row
        yield variant | {
            "usd": show(found.usd),
            "at_most_usd": show(found.at_most_usd),
            "usd_per_reference_mp": show(row.usd_per_input_mp) if row.usd_per_input_mp else None,
            "estimate": found.estimate,
            "from": None if row.since == date.min else row.since.isoformat(),
            "until": None if row.until == date.max else row.until.isoformat(),
            "source": found.source,
        }


def _table(found: Sequence[Model], day: date) -> Table | Text:
    if not found:
        return Text("no model fits all of that")
    table = table_of("", "a call", "refs", "", numbers=("a call", "refs"), giving=("",))
    table.columns[0].no_wrap = True
    for provider, models in groupby(found, key=lambda model: model.provider):
        table.add_row(Text(provider, style="bold"))
        for model in models:
            refs = "–" if model.references is None else str(model.references.most)
            style = None if model.is_live(day) else "dim"
            table.add_row(f"  {model.name}", _said_cost(model, day), refs, _until(model, day), style=style)
    return table


def _said_cost(model: Model, day: date) -> str:
    cost = _cost(model, day)
    if cost is None:
        return "unknown" if model.is_live(day) else "–"
    about = "~" if any(row.estimate for row in model.prices if row.holds_on(day)) else ""
    return f"{about}${show(cost[0])}"


def _until(model: Model, day: date) -> Text:
    if model.retired_on is None:
        return Text()
    if model.is_live(day):
        return Text(f"until {model.retired_on}, {model.successor}", style="yellow")
    return Text(f"gone: use {model.successor}")
