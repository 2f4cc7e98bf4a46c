"""Parse a prompt: place, hour, weather, species, colours, clothes, held things, mood and gesture.

Matches word lists in order; ignores flags (`--ar 1:1`) and addresses.
"""

import re
from dataclasses import dataclass, replace
from typing import TypeVar

from sandbox.drawing.characters import COLOUR_WORDS, Colour, Species
from sandbox.drawing.faces import Mood
from sandbox.drawing.outfits import BARE, Garment, Hat, Held, Outfit
from sandbox.drawing.places import Place
from sandbox.drawing.scenery import Hour, Weather

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The parsed prompt; None where it does not name something."""

    place: Place | None = None
    hour: Hour | None = None
    weather: Weather = Weather.CLEAR
    species: Species | None = None
    coat: Colour | None = None
    accent: Colour | None = None
    outfit: Outfit = BARE
    mood: Mood | None = None
    arms: tuple[float, float] | None = None
    seated: bool | None = None


_PLACES: dict[Place, str] = {
    Place.BEACH: "beach sea seaside ocean shore sand surf island harbour harbor pier",
    Place.SNOW: "snow snowy winter ski skiing sled sledging ice mountain mountains igloo frozen skating",
    Place.FOREST: "forest wood woods woodland trees autumn mushroom mushrooms camping campfire jungle",
    Place.CITY: "city street town rooftop skyline puddles pavement bus taxi urban bakery window",
    Place.SPACE: "space moon planet planets galaxy rocket astronaut cosmic orbit stars mars nebula",
    Place.KITCHEN: "kitchen cooking baking cake bread pancakes chef oven cookies cafe restaurant",
    Place.FESTIVAL: "festival party parade carnival fair birthday fireworks celebration market lanterns stage",
    Place.LIBRARY: "library bookshop bookshelves school classroom museum study shelves",
    Place.UNDERSEA: "underwater undersea reef coral diving submarine fish aquarium",
    Place.DESERT: "desert dunes cactus canyon oasis pyramid",
    Place.BEDROOM: "bedroom bed pillow pillows blanket pyjamas pajamas nap",
    Place.GARDEN: "garden flowers greenhouse tulips roses orchard vegetable blossom spring",
    Place.MEADOW: "meadow field hill hills park picnic farm grass countryside",
    Place.STUDIO: "studio portrait plain",
}
_HOURS: dict[Hour, str] = {
    Hour.NIGHT: "night midnight moonlight moonlit starry evening",
    Hour.SUNSET: "sunset dusk golden twilight",
    Hour.DAWN: "dawn sunrise morning misty",
    Hour.DAY: "day noon sunny afternoon bright",
}
_WEATHERS: dict[Weather, str] = {
    Weather.RAIN: "rain rainy raining drizzle storm puddles",
    Weather.SNOW: "snowing snowfall snowflakes blizzard snowy",
}
_SPECIES: dict[Species, str] = {
    Species.PIG: "pig piglet pigs hog",
    Species.CAT: "cat kitten kitty",
    Species.DOG: "dog puppy corgi hound",
    Species.BEAR: "bear cub panda teddy koala",
    Species.RABBIT: "rabbit bunny hare",
    Species.FOX: "fox vixen wolf",
    Species.MOUSE: "mouse mice hamster rat",
    Species.FROG: "frog toad",
}
_GARMENTS: dict[Garment, tuple[str, Colour]] = {
    Garment.RAINCOAT: ("raincoat coat jacket parka", (248, 206, 70)),
    Garment.SPACESUIT: ("spacesuit", (226, 230, 238)),
    Garment.SWEATER: ("sweater jumper pullover cardigan pyjamas pajamas", (206, 84, 84)),
    Garment.APRON: ("apron", (120, 176, 170)),
    Garment.DRESS: ("dress gown skirt", (232, 130, 160)),
    Garment.OVERALLS: ("overalls dungarees", (92, 134, 190)),
    Garment.KIMONO: ("kimono robe", (108, 110, 176)),
    Garment.CAPE: ("cape cloak", (190, 60, 76)),
}
_HATS: dict[Hat, tuple[str, Colour]] = {
    Hat.CROWN: ("crown tiara king queen", (244, 200, 84)),
    Hat.CHEF: ("chef", (250, 250, 250)),
    Hat.PARTY: ("birthday party", (232, 110, 150)),
    Hat.STRAW: ("straw sunhat", (240, 212, 140)),
    Hat.WIZARD: ("wizard witch magician", (96, 80, 160)),
    Hat.HOOD: ("hood hooded", (248, 206, 70)),
    Hat.HELMET: ("spacesuit astronaut helmet", (226, 230, 238)),
}
_HELD: dict[Held, tuple[str, Colour]] = {
    Held.UMBRELLA: ("umbrella", (222, 80, 88)),
    Held.BALLOON: ("balloon balloons", (226, 78, 90)),
    Held.BOOK: ("book reading story", (84, 120, 186)),
    Held.LANTERN: ("lantern", (214, 96, 76)),
    Held.ICE_CREAM: ("icecream ice-cream sundae gelato", (250, 170, 190)),
    Held.FLOWER: ("flower tulip rose bouquet sunflower", (240, 120, 150)),
    Held.CUP: ("cup mug cocoa tea coffee", (226, 120, 96)),
    Held.STAR: ("star wand", (255, 214, 90)),
}
_MOODS: dict[Mood, str] = {
    Mood.LAUGH: "laughing joyful cheering excited happy dancing jumping singing",
    Mood.WONDER: "surprised amazed curious wonder gazing astonished",
    Mood.CALM: "sleepy sleeping dreaming peaceful calm nap napping meditating",
    Mood.WINK: "winking cheeky mischievous playful",
    Mood.SMILE: "smiling gentle proud",
}
_GESTURES: dict[str, tuple[float, float]] = {
    "waving wave hello": (30.0, 150.0),
    "jumping cheering dancing celebrating arms": (140.0, 140.0),
    "running skating surfing flying balancing": (85.0, 85.0),
    "holding reading carrying sipping stirring": (40.0, 62.0),
}


def read_prompt(prompt: str) -> Brief:
    """The brief that a prompt gives; an empty prompt gives an empty brief."""
    words = _words(prompt)
    garment = _pick(words, {key: listed for key, (listed, _) in _GARMENTS.items()})
    hat = _pick(words, {key: listed for key, (listed, _) in _HATS.items()})
    held = _pick(words, {key: listed for key, (listed, _) in _HELD.items()})
    used: set[int] = set()
    outfit = BARE
    if garment is not None:
        listed, usual = _GARMENTS[garment]
        outfit = replace(outfit, garment=garment, garment_colour=_colour_of(words, listed, used) or usual)
    if hat is not None:
        listed, usual = _HATS[hat]
        outfit = replace(outfit, hat=hat, hat_colour=_colour_of(words, f"{listed} hat", used) or usual)
    if held is not None:
        listed, usual = _HELD[held]
        outfit = replace(outfit, held=held, held_colour=_colour_of(words, listed, used) or usual)
    species = _pick(words, _SPECIES)
    coat = _colour_of(words, _SPECIES[species], used) if species else None
    _colour_of(
        words, "scarf bow beanie collar flower glasses cheeks tummy ears belly nose spots stripes patch blaze", used
    )
    spare = [COLOUR_WORDS[word] for at, word in enumerate(words) if word in COLOUR_WORDS and at not in used]
    gesture = next((arms for listed, arms in _GESTURES.items() if set(listed.split()) & set(words)), None)
    return Brief(
        place=_pick(words, _PLACES),
        hour=_pick(words, _HOURS),
        weather=_pick(words, _WEATHERS) or Weather.CLEAR,
        species=species,
        coat=coat,
        accent=spare[0] if spare else None,
        outfit=outfit,
        mood=_pick(words, _MOODS),
        arms=gesture,
        seated=True if {"sitting", "seated", "reading", "resting", "meditating"} & set(words) else None,
    )


def _words(prompt: str) -> list[str]:
    text = re.sub(r"https?://\S+", " ", prompt.lower()).split(" --")[0]
    return re.findall(
        r"[a-z]+", text.replace("ice cream", "icecream").replace("ice-cream", "icecream").replace("gray", "grey")
    )


def _pick(words: list[str], lists: dict[_Key, str]) -> _Key | None:
    """The key whose list has most of the words; the earlier key wins a tie."""
    best: _Key | None = None
    most = 0
    for key, listed in lists.items():
        hits = len(set(listed.split()) & set(words))
        if hits > most:
            best, most = key, hits
    return best


def _colour_of(words: list[str], nouns: str, used: set[int]) -> Colour | None:
    """The colour word at most three words before one of the nouns; its position is added to `used`."""
    for at, word in enumerate(words):
        if word in nouns.split():
            for back in range(at - 1, max(at - 4, -1), -1):
                if words[back] in COLOUR_WORDS and back not in used:
                    used.add(back)
                    return COLOUR_WORDS[words[back]]
    return None
