"""`feedback`: what a user says about pictures, and what is learned from it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from cli.installation import looked_at, opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.errors import BadInput
from domain.feedback import IDENTITY, FeedbackType
from domain.ids import BatchId, GenerationId
from learning.preference import ENOUGH_PAIRS, Head
from pipeline.learning import preferences
from pipeline.operator import events, feedback
from pipeline.views import generations

if TYPE_CHECKING:
    from typer._click import Context

_SAY = "say"


class _SayByDefault(TyperGroup):
    """`feedback GENERATION KIND` is short for `feedback say GENERATION KIND`."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [_SAY, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SayByDefault,
    no_args_is_help=True,
    help="Say what you think of pictures. `feedback GENERATION KIND` is short for `feedback say GENERATION KIND`.",
)

Picture = Annotated[
    str, typer.Argument(help="A generation, by id or BATCH/ROW, with `:NUMBER` for a picture that is not its best one.")
]


@app.command(_SAY)
def say_command(
    generation: Annotated[
        str, typer.Argument(metavar="GENERATION", help="Its id, or BATCH/ROW with rows counted from 0.")
    ],
    kind: Annotated[
        FeedbackType,
        typer.Argument(
            metavar="KIND", help="accepted or rejected: is it the character? Or heart, outlier, rating, comment."
        ),
    ],
    picture: Annotated[
        str | None, typer.Option(help="Number as in `show` and the report: 0, or 2.0; default: the best one.")
    ] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="1 to 5.")] = None,
    comment: Annotated[str | None, typer.Option(help="In your own words.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record whether a picture shows its character, which calibration learns from, or how you like it."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        user = site.settings.user
        details = generations.find(site.resources, generation, user_id=user)
        about = feedback.record_feedback(
            site.resources, details, user_id=user, kind=kind, picture=picture, rating=rating, comment=comment
        )
        events.note_act_here(
            site.resources,
            user,
            "feedback",
            batch_id=BatchId(details.generation["batch_id"]),
            generation_id=GenerationId(details.generation["id"]),
            detail={"row": details.generation["position"], "feedbackType": kind, "rating": rating},
        )
        subject = {
            "generation_id": str(details.generation["id"]),
            "asset_id": None if about is None else str(about),
        }
        terminal.document({**subject, "feedback_type": kind.value, "rating": rating, "comment": comment})
        learns = "; `likeness calibrate` learns from it" if kind in IDENTITY else ""
        terminal.note(f"kept{learns}")


@app.command("compare")
def compare_command(
    a: Picture,
    b: Picture,
    prefer: Annotated[str, typer.Option(help="Which of the two you like more: A or B.")],
    as_json: AsJson = False,
) -> None:
    """Say which of two pictures you like more; the preference head is fitted to such choices."""
    with open_terminal(as_json=as_json) as terminal:
        if prefer.lower() not in {"a", "b"}:
            raise BadInput(f"--prefer is A, the first picture, or B, the second; this is {prefer!r}")
        with opened() as site:
            user = site.settings.user
            first, second = (_picture(site.resources, one, user=user) for one in (a, b))
            better, worse = (first, second) if prefer.lower() == "a" else (second, first)
            ids = feedback.record_choice(site.resources, better, worse, user_id=user)
        terminal.document({"preferred": str(ids[0]), "other": str(ids[1])})
        terminal.note("kept; `likeness feedback train` learns from it, and beat does every ten minutes")


def _picture(resources: Any, named: str, *, user: str) -> tuple[generations.GenerationDetails, str | None]:
    generation, colon, number = named.partition(":")
    return generations.find(resources, generation, user_id=user), number if colon else None


@app.command("train")
def train_command(as_json: AsJson = False) -> None:
    """Fit the preference head to all feedback, and say what it is worth on choices that it did not see."""
    with open_terminal(as_json=as_json) as terminal, opened() as site:
        head = preferences.train_head(site.resources)
        terminal.document(_document(head))
        terminal.note(_in_words(head))


@app.command("head")
def head_command(as_json: AsJson = False) -> None:
    """Show what the latest preference head is worth."""
    with open_terminal(as_json=as_json) as terminal, looked_at() as site:
        head = preferences.latest(site.resources)
        terminal.document(_document(head))
        terminal.note(_in_words(head))


def _document(head: Head | None) -> dict[str, Any]:
    if head is None:
        return {"standing": "not enough data", "pairs": 0, "needs": ENOUGH_PAIRS}
    return {
        "standing": head.standing.value,
        "pairs": head.pairs,
        "needs": ENOUGH_PAIRS,
        "digest": head.digest,
        "accuracy": head.accuracy,
        "low": head.low,
        "high": head.high,
        "personas": sorted(head.offsets),
        "bins": [{"confidence": one.confidence, "right": one.right, "count": one.count} for one in head.bins],
    }


def _in_words(head: Head | None) -> str:
    if head is None or head.accuracy is None or head.low is None or head.high is None:
        pairs = 0 if head is None else head.pairs
        return f"not enough data: {pairs:,} choices between checked pictures, and {ENOUGH_PAIRS} are needed"
    return (
        f"{head.standing}: it predicts {head.accuracy:.0%} of held-out choices ({head.low:.0%} to {head.high:.0%}),"
        f" from {head.pairs:,}"
    )
