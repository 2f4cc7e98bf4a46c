"""`feedback`: record what a user says about a picture."""

from typing import Annotated

import typer

from cli.installation import opened
from cli.options import AsJson
from cli.terminal import open_terminal
from domain.feedback import IDENTITY, FeedbackType
from pipeline.operator import feedback
from pipeline.views import generations


def feedback_command(
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
        story = generations.find(site.resources, generation, user_id=user)
        about = feedback.record_feedback(
            site.resources, story, user_id=user, kind=kind, picture=picture, rating=rating, comment=comment
        )
        terminal.document(
            {
                "generation_id": str(story.generation["id"]),
                "asset_id": None if about is None else str(about),
                "feedback_type": kind.value,
                "rating": rating,
                "comment": comment,
            }
        )
        learns = "; `likeness calibrate` learns from it" if kind in IDENTITY else ""
        terminal.note(f"kept{learns}")
