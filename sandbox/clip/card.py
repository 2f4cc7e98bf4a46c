"""Generate the model card from the measured figures."""

from typing import Any

_CARD = """\
# The sandbox's small CLIP

A CLIP of {parameters} parameters that knows one thing: the sandbox's own drawings. With it the demo and the tests
check characters for real, with no download. It is used only where it is named (`CLIP_MODEL=sandbox/clip`); it says
nothing about photos or about any other model's pictures, and its cosines do not suit the thresholds of other models.

Format: `transformers` (`CLIPModel`, `CLIPProcessor`, `CLIPTokenizer`), float32 safetensors. Pictures of {side} pixels
in patches of {patch}, sentences of up to {context} tokens, {dimensions} dimensions shared by both.

## Recipe

`python -m sandbox.clip.train` makes this folder again (up to the rounding of the machine). It draws {families}
families of look-alikes (a character, two that drifted away from it, one more of its species), each member in the same
scenes, and learns for {steps} steps of {batch} pictures with two losses: pictures of one character attract each
other and repel the look-alikes beside them (NT-Xent, temperature {warmth}); pictures attract their sentences (CLIP's
own loss, weight {share}). AdamW, peak rate {peak}, decay {decay}, cosine schedule, bfloat16 autocast in the image
tower, seed {seed}.
Drawn and trained in {minutes} minutes on a machine with 2 cores, shared with other work.

## Held-out figures

Measured by `sandbox/clip/measure.py` on drawings of characters that training never saw; also in `figures.json`.

| | |
|---|---|
| characters, scenes each | {characters}, 5 |
| same or other character, AUC | {auc} |
| the same against characters of the same species in the same scene | {hard_auc} |
| cosine of one character in two scenes, median (10th to 90th percentile) | {same} |
| cosine of two characters | {other} |
| sentence to picture, first of {pictures} (chance 1 %) | {top1} |

## The example character

Core threshold {core}, fitted on {n} drawings: of Lulu Pig herself, of other pigs, and of whatever comes out at
reference weight 0.25 (AUC {example_auc}). The core score is the highest cosine with one of the two references. The
table was measured on the 28 prompts of the example with other seeds.

| reference weight | median | 10th to 90th percentile | pictures accepted | best of four accepted |
|---|---|---|---|---|
{by_weight}

On purpose, as real services do, the sandbox draws one attempt in ten off model even at full weight, and ignores a weak
reference now and then.
"""


def card(figures: dict[str, Any]) -> str:
    """The text of README.md for the figures of `measure.write_figures`."""
    recipe, held_out, example, shape = (figures[name] for name in ("recipe", "held_out", "example", "shape"))
    rows = [
        f"| {weight} | {row['p50']} | {_range(row)} | {row['accepted_pictures']:.0%} "
        f"| {row['accepted_best_of_four']:.0%} |"
        for weight, row in example["core_score_by_weight"].items()
    ]
    return _CARD.format(
        **shape,
        **{name: recipe[name] for name in ("families", "steps", "warmth", "peak", "decay", "seed")},
        share=recipe["sentences_share"],
        batch=recipe["per_batch"] * 8,
        minutes=round(figures["trained_s"] / 60),
        characters=held_out["characters"],
        auc=held_out["auc"],
        hard_auc=held_out["hard_auc"],
        same=f"{held_out['same']['p50']} ({_range(held_out['same'])})",
        other=f"{held_out['other']['p50']} ({_range(held_out['other'])})",
        pictures=held_out["pictures"],
        top1=f"{held_out['top1']:.0%}",
        core=example["core"],
        n=example["n"],
        example_auc=example["auc"],
        by_weight="\n".join(rows),
    )


def _range(row: dict[str, float]) -> str:
    return f"{row['p10']} to {row['p90']}"
