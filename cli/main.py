"""The command `likeness`: one verb per thing a person does."""

import typer

from cli import batches, demo, serve

app = typer.Typer(
    name="likeness",
    help="A spreadsheet of prompts becomes checked, paid-for, stored images. It never pays twice.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=True,
)

app.command("demo")(demo.demo_command)
app.command("run")(batches.run_command)
app.command("enqueue")(batches.enqueue_command)
app.command("watch")(batches.watch_command)
app.command("up")(serve.up_command)
app.command("worker")(serve.worker_command)
app.command("sandbox")(serve.sandbox_command)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
