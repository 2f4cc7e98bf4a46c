"""One row of a file, several generations: the same prompt several times, or once in each of several categories."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pipeline.intake.prompt_rows import PromptRow


def multiplied(rows: Iterable[PromptRow], *, times: int, categories: Sequence[str]) -> Iterator[PromptRow]:
    """The rows, each as often as asked for, in order and with positions of their own.

    Args:
        times: how often each prompt is wanted.
        categories: each prompt is wanted once in each, its name added to the prompt and kept with the row.
    """
    if times == 1 and not categories:
        yield from rows
        return
    position = 0
    everywhere: Sequence[str | None] = categories or [None]
    for row in rows:
        for category in everywhere:
            wanted = row if category is None else _in_category(row, category)
            for _ in range(times):
                yield replace(wanted, position=position)
                position += 1


def _in_category(row: PromptRow, category: str) -> PromptRow:
    extra = {**row.extra, "category": category}
    if "prompt" in row.preparation:
        # Without words of its own: the category is all that a person has said.
        return replace(row, extra=extra, preparation={**row.preparation, "prompt": category})
    return replace(row, prompt=f"{row.prompt}, {category}", extra=extra)
