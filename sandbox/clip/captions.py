"""Generate captions of drawings for training: character, clothes, action and place."""

import random

from sandbox.drawing.characters import Accessory, Likeness, Pattern, colour_name

_NAMES = ("Lulu", "Momo", "Pip", "Bruno", "Nilo", "Tilda", "Olive", "Coco", "Hugo", "Mabel", "Juno", "Otto")

PLACES = (
    "on a sunny beach", "on the seashore with waves behind", "by the sea", "building a sandcastle in the sand",
    "on a snowy mountain", "in the snow among pine trees", "ice skating on a frozen lake", "in a winter landscape",
    "in the forest", "among the trees of a misty forest", "picking mushrooms in the autumn woods",
    "camping in the woods",
    "in the city", "on a city street", "in the rain on a city street", "jumping in puddles in the rainy city",
    "on the moon in space", "in space among planets and stars", "under a purple galaxy in space", "floating in orbit",
    "in the kitchen", "baking a cake in the kitchen", "making pancakes in a sunny kitchen", "in a cosy cafe kitchen",
    "at a lantern festival", "at a birthday party with confetti", "in the festival parade", "at the summer fair",
    "in the library", "reading in the library", "between the bookshelves of the library", "in a quiet classroom",
    "underwater at a coral reef", "diving under the sea with fish underwater", "in a desert with cactus and dunes",
    "in a canyon in the desert", "in the bedroom", "on a pillow in the bedroom", "in a flower garden",
    "in the garden among tulips", "in a meadow", "at a picnic in the park", "on a hill in the countryside",
)  # fmt: skip
HOURS = (
    "at night",
    "at sunset",
    "at dawn",
    "in the morning",
    "on a sunny day",
    "under a starry sky",
    "at dusk",
    "",
    "",
    "",
)
GARMENTS = ("raincoat", "spacesuit", "sweater", "apron", "dress", "overalls", "kimono", "cape")
HATS = ("a gold crown", "a straw sunhat", "a chef hat", "a wizard hat", "a party hat", "a helmet")
THINGS = (
    "holding a red umbrella", "with a red balloon", "reading a blue book", "with a lantern", "holding an ice cream",
    "holding a flower", "with a mug of cocoa", "holding a golden star",
)  # fmt: skip
_MOODS = (
    "waving",
    "laughing",
    "cheerful",
    "happy",
    "dancing",
    "curious",
    "amazed",
    "peaceful",
    "sleepy",
    "winking",
    "smiling",
)
_STYLES = (
    "children's illustration",
    "warm light",
    "soft colours",
    "glowing light",
    "storybook style",
    "playful poster",
)
_CLOTH = ("a red", "a yellow", "a green", "a blue", "a purple", "a white", "an orange", "a mint", "a pink", "a teal")


def scene(rng: random.Random) -> str:
    """What is worn, done and seen, without saying by whom."""
    parts = []
    if rng.random() < 0.45:
        parts.append(f"in {rng.choice(_CLOTH)} {rng.choice(GARMENTS)}")
    if rng.random() < 0.2:
        parts.append(f"with {rng.choice(HATS)}")
    parts.append(rng.choice(PLACES))
    if rng.random() < 0.25:
        parts.append(rng.choice(THINGS))
    if rng.random() < 0.7:
        parts.append(rng.choice(HOURS))
    if rng.random() < 0.4:
        parts[-1] += f", {rng.choice(_MOODS)}"
    if rng.random() < 0.15:
        parts[-1] += f", {rng.choice(_STYLES)}"
    return " ".join(parts)


def subject(likeness: Likeness, rng: random.Random) -> str:
    """Who it is: by name and species now and then, mostly by looks."""
    kind = likeness.species.value
    if rng.random() < 0.12:
        return f"{rng.choice(_NAMES)} {kind.capitalize()}" if rng.random() < 0.5 else f"{rng.choice(_NAMES)} the {kind}"
    looks = f"{colour_name(likeness.body)} {kind}"
    if likeness.accessory is not Accessory.NOTHING and rng.random() < 0.8:
        worn = f"{colour_name(likeness.trim)} {likeness.accessory.value}"
        looks += f" with {worn}" if likeness.accessory is Accessory.GLASSES else f" with a {worn}"
    if likeness.pattern is not Pattern.PLAIN and rng.random() < 0.4:
        looks += f" and {colour_name(likeness.marking)} {likeness.pattern.value}"
    return f"{'an' if looks[0] in 'aeiou' else 'a'} {looks}"


def sentence(likeness: Likeness, about: str, rng: random.Random) -> str:
    """A prompt for the picture that `paint(about, likeness, ...)` draws."""
    return f"{subject(likeness, rng)} {about}"
