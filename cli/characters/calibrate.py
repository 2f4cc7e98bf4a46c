"""`calibrate`: measure how well the check tells a character from others, and recommend thresholds."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from cli.characters.validate import progress
from cli.installation import Opened, opened
from cli.options import AsJson
from cli.tables import facts_of, table_of
from cli.terminal import Terminal, open_terminal
from pipeline.calibration import calibrate
from pipeline.calibration.calibrate import Calibration
from pipeline.calibration.examples import gather
from pipeline.characters.definitions import CharacterRow
from pipeline.process.embedding_cache import KeptEmbeddings
from reports.plots import check_ending, write_separation
from reports.wording import describe_thresholds
from runtime.scoring import open_scoring
from validation.calibration import Errors, Examined, Interval, Rule

#: How many left-out pictures are named; the rest are counted.
_NAMED = 5
_ADVISORY = (
    "style is advisory and decides nothing: the examples do not show that its score tells them apart"
    " (its interval must begin above 0.5)"
)
_WRONG = ("false rejects, %", "false accepts, %")


def calibrate_command(
    character: Annotated[str, typer.Argument(metavar="CHARACTER", help="Whose thresholds.")],
    positives: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures that show it; default: its references.", show_default=False),
    ] = None,
    negatives: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Pictures that do not; default: other characters'.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the scores, .png or .svg.", show_default=False)
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the recommended thresholds a new version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how well the check tells a character from others, with error rates, and recommend thresholds."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        if plot is not None:
            # Checked before the scoring, which takes a while.
            check_ending(plot)
        found = _calibrated(terminal, site, character, positives=positives, negatives=negatives)
        terminal.show(*_whole(found))
        if plot is not None:
            write_separation(plot, calibrate.separations(found), heading=_heading(found), note=found.summary)
            terminal.note(f"plot: {plot}")
        made = calibrate.apply(site.resources, found, by=site.actor) if apply else None
        terminal.document(
            {
                **calibrate.as_json(found),
                "plot": None if plot is None else str(plot),
                "applied_version": None if made is None else made.thresholds.version,
            }
        )
        _end(terminal, found, made)


def _calibrated(
    terminal: Terminal, site: Opened, character: str, *, positives: Path | None, negatives: Path | None
) -> Calibration:
    examples = gather(site.resources, character, positives=positives, negatives=negatives)
    for note in examples.notes:
        terminal.note(note)
    kept = KeptEmbeddings(site.resources.database)
    with (
        open_scoring(site.settings, kept=kept, say=terminal.note) as scoring,
        progress(terminal, total=len(examples.sources)) as each,
    ):
        found = calibrate.calibrate(
            examples, scoring, alike=site.settings.near_duplicate, today=datetime.now(UTC).date(), each=each
        )
    for note in found.notes[len(examples.notes) :]:
        terminal.note(note)
    if found.long_pictures_told is not None:
        terminal.note(found.long_pictures_told)
    for sentence in found.left_out[:_NAMED]:
        terminal.note(f"left out: {sentence}")
    if len(found.left_out) > _NAMED:
        terminal.note(f"left out: {len(found.left_out) - _NAMED} more")
    return found


def _heading(found: Calibration) -> str:
    return f"Calibration of {found.character.name}"


def _end(terminal: Terminal, found: Calibration, made: CharacterRow | None) -> None:
    name = found.character.name
    if made is not None:
        told = made.thresholds
        terminal.note(f"version {told.version} of {name!r}: {describe_thresholds(told)}")
        terminal.note(f"earlier verdicts follow with `likeness rescore --character {name}`")
    elif found.calibrated:
        terminal.note("nothing was changed; --apply makes the recommended thresholds a new version")
    else:
        terminal.note(f"this is no calibration; it lacks {' and '.join(found.core.lacking)}")


def _whole(found: Calibration) -> list[RenderableType]:
    facts = facts_of()
    for name, kinds in found.counts.items():
        facts.add_row(name, Text(", ".join(f"{count:,} {kind}" for kind, count in kinds.items())))
    facts.add_row("model", Text(f"{found.model.name} in {found.model.dtype}"))
    facts.add_row("now", Text(f"version {found.character.thresholds.version}: {found.current_thresholds}"))
    return [
        Text(found.character.name, style="bold"),
        facts,
        *_aspect("core: is it this character?", found.core),
        *_aspect("style: is it drawn this way?", found.style),
        *_both(found),
        "",
        f"in brackets: where 95 % of {found.core.resamples:,} resamples lie",
    ]


def _aspect(title: str, one: Examined) -> list[RenderableType]:
    table = table_of("", "cut", *_WRONG, numbers=("cut", *_WRONG))
    table.add_row("now", f"{one.present.cut:.3f}", *_rates(one.present))
    table.add_row("recommended", f"{one.recommended.cut:.3f}", *_rates(one.recommended))
    table.add_row("new pictures", _between(one.cut_interval), *_rates(one.unseen))
    figures = f"AUC {one.auc:.3f} {_between(one.auc_interval)}, EER {_rate(one.eer, one.eer_interval)} %"
    parts: list[RenderableType] = ["", Text(title, style="bold"), Text(figures), table]
    if not one.calibrated and one.rule is Rule.BETWEEN:
        parts.append(Text(f"not calibrated: it lacks {' and '.join(one.lacking)}", style="yellow"))
    if one.rule is Rule.FLOOR:
        remark = "recommended is a floor: it turns away what lies far below every positive, and nothing else"
        parts.append(Text(remark, style="dim"))
        if not one.tells:
            parts.append(Text(_ADVISORY, style="yellow"))
    return parts


def _both(found: Calibration) -> list[RenderableType]:
    table = table_of("", *_WRONG, numbers=_WRONG)
    for name, both in (("now", found.now), ("recommended", found.then)):
        table.add_row(name, f"{100 * both.false_reject:.1f}", f"{100 * both.false_accept:.1f}")
    title = "both checks, as verdicts have it" if found.style_decides else "as verdicts have it, style being advisory"
    return ["", Text(title, style="bold"), table]


def _rates(errors: Errors) -> tuple[str, str]:
    return (
        _rate(errors.false_reject, errors.false_reject_interval),
        _rate(errors.false_accept, errors.false_accept_interval),
    )


def _rate(share: float, interval: Interval) -> str:
    return f"{100 * share:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _between(interval: Interval) -> str:
    return f"({interval.low:.3f} to {interval.high:.3f})"
