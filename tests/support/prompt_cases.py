"""One table of prompts as people write them: what each model is sent, what is warned about, what is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MJ, SIX, NIJI, EIGHT = "midjourney", "midjourney-v6.1", "midjourney-niji-7", "midjourney-v8.1"
GPT, OLD_GPT = "gpt-image-2.5-flare", "gpt-image-1.5"
BANANA, FLUX, SD, SD_TURBO = (
    "google/nano-banana-pro",
    "black-forest-labs/flux-2-pro",
    "stability-ai/stable-diffusion-3.5-large",
    "stability-ai/stable-diffusion-3.5-large-turbo",
)
A, B = "https://cdn.example/a.png", "https://cdn.example/b.jpg?x=1"
LONG = " ".join(["pig"] * 61)
LONGER = " ".join(["pig"] * 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One prompt.

    Args:
        sent: Midjourney's whole text but for the seed of ours, or of another model what the body must hold; None where
            nothing is sent.
        warned: a part of each warning, in their order; none where the tuple is empty.
        refused: a part of the refusal.
    """

    model: str
    prompt: str
    sent: str | Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    warned: Sequence[str] = ()
    refused: str = ""

    def __str__(self) -> str:
        return f"{self.model}: {self.prompt[:48]!a}"


def ok(prompt: str, sent: str | Mapping[str, Any], *warned: str, model: str = MJ, **settings: Any) -> Case:
    return Case(model=model, prompt=prompt, sent=sent, warned=warned, settings=settings)


def no(prompt: str, refused: str, *, model: str = MJ, **settings: Any) -> Case:
    return Case(model=model, prompt=prompt, refused=refused, settings=settings)


DASHES = [
    ok("a pig —v 6.1", "a pig --v 6.1"),
    ok("a pig –ar 16:9", "a pig --ar 16:9 --v 7"),
    ok("a pig ––ar 16:9", "a pig --ar 16:9 --v 7"),
    ok("a pig – –ar 16:9", "a pig --ar 16:9 --v 7"),
    ok("a pig - -ar 9 :16", "a pig --ar 9:16 --v 7"),
    ok("a pig —AR 16:9 —Seed 7", "a pig --ar 16:9 --v 7 --seed 7"),
    ok("a pig －－ar 16：9", "a pig --ar 16:9 --v 7"),
    ok("a pig －－ａｒ　１６：９", "a pig --ar 16:9 --v 7"),
    ok("a pig ーーar 16:9", "a pig --ar 16:9 --v 7"),
    ok("a pig −−ar 16:9 ‐‐v 6.1", "a pig --ar 16:9 --v 6.1"),
    ok("pig--ar 16:9", "pig --ar 16:9 --v 7"),
    ok("pig—ar 16:9", "pig --ar 16:9 --v 7"),
    ok("一只猪。--ar 16:9", "一只猪。 --ar 16:9 --v 7"),
    ok("一只猪，——ar 3:2", "一只猪， --ar 3:2 --v 7"),
    ok("a pig\u200b--ar 16:9", "a pig --ar 16:9 --v 7"),
    ok("a pig --\u200bar 16:9\u200b", "a pig --ar 16:9 --v 7"),
    ok("a pig — ar 16:9", "a pig --ar 16:9 --v 7", "'— ar 16:9' is read as '--ar 16:9'"),
    ok("a pig --ar 16:9, --v 6.1.", "a pig --ar 16:9 --v 6.1"),
    ok("a pig\n—ar 3:2\r\n—stylize 50", "a pig --ar 3:2 --v 7 --stylize 50"),
    ok("a pig -ar 16:9", "a pig --ar 16:9 --v 7", "'-ar 16:9' is read as '--ar 16:9'"),
    ok("a pig -seed 7 -v 6.1", "a pig --v 6.1 --seed 7", "'-seed 7' is read", "'-v 6.1' is read"),
    ok("a pig —no hat, scarf", "a pig --v 7 --no hat, scarf", "'—no hat, scarf' is read as"),
    ok("a pig —raw", "a pig --v 7 --raw", "'—raw' is read as '--raw'"),
    ok("a pig—tile", "a pig—tile --v 7", "stays in the words"),
    ok("pig--tile", "pig --v 7 --tile", "'pig--tile' is read as '--tile'"),
    ok("a pig —raw look", "a pig —raw look --v 7", "stays in the words; a flag is written '--raw'"),
    ok("a pig -no hat", "a pig -no hat --v 7", "stays in the words; a flag is written '--no'"),
    no("a pig —repeat 4", "several paid jobs"),
    no("a pig ––repeat 4", "several paid jobs"),
    no("a pig －－r 4", "several paid jobs"),
    no("a pig —turbo", "say it by the mode"),
    no("a pig —v6.1", "a space follows a flag's name"),
    no("a pig —ar16:9", "a space follows a flag's name"),
    no("a pig —ar 16:9 in the rain", "two whole numbers"),
    no("pig--ar 16x9", "two whole numbers"),
    no("a pig —seed 7 8", "whole number"),
    no("a pig --banana", "no flag of Midjourney's"),
    no("—ar 16:9", "no words"),
]

PROSE = [
    ok("a pig – asleep", "a pig – asleep --v 7"),
    ok("a pig—the happiest—runs", "a pig—the happiest—runs --v 7"),
    ok("a quiet street—no cars—at dawn", "a quiet street—no cars—at dawn --v 7"),
    ok("el cerdo —no muy gordo— corre", "el cerdo —no muy gordo— corre --v 7"),
    ok("—No, said the pig", "—No, said the pig --v 7"),
    ok("Muscle car — V 8 engine", "Muscle car — V 8 engine --v 7"),
    ok("a pig -- asleep, semi--detached {house}", "a pig -- asleep, semi--detached {house} --v 7"),
    ok("スーパーmario 5, 1990–1995", "スーパーmario 5, 1990–1995 --v 7"),
]

SYNTAX = [
    no("a pig in a {red, blue} hat", "curly braces with commas"),
    no("a {pig {in rain}, asleep}", "curly braces with commas"),
    no("{a, {b}} pig", "curly braces with commas"),
    ok("a pig --sref 123::2 456", "a pig --v 7 --sref 123::2 456"),
    ok(f"a pig --sref {A} 123 --sw 50", f"a pig --v 7 --sref {A} 123 --sw 50"),
    ok(f"a pig --sref {A}::2, random", f"a pig --v 7 --sref {A}::2 random"),
    ok("a pig --p CODE", "a pig --v 7 --profile CODE"),
    ok("a pig --p", "a pig --v 7 --profile"),
    no("a pig --p two words!", "codes of letters and digits"),
    no("a pig --video", "films"),
    no("a pig --motion low", "films"),
    no("a pig --stealth", "matter of the Midjourney account"),
    ok(f"a pig --cref {A}, {B} --v 6.1", f"a pig --v 6.1 --cref {A} {B}"),
    ok(f"a pig --cref {A};{B}", f"a pig --v 6.1 --cref {A} {B}"),
    ok("a pig", f"a pig --v 6.1 --cref {A} {B}", cref_urls=f"{A} | {B}"),
    ok(f"a pig like {A}, in rain", f"{A} a pig like, in rain --v 7", "was moved to the front"),
    ok(f"a pig {B} --iw 2", f"{B} a pig --v 7 --iw 2", "was moved to the front"),
    ok("a pig on https://example.com today", "a pig on https://example.com today --v 7", "stays in the words"),
    ok(f"{A} {B} --iw 1", f"{A} {B} --v 7 --iw 1"),
    no(A, "and no words"),
    no("a pig --iw 2", "there is none"),
    ok("/imagine prompt: a pig --ar 3:2", "a pig --ar 3:2 --v 7", "'/imagine prompt:' was taken off"),
    ok("**a pig --v 6.1** - @lulu (fast)", "a pig --v 6.1", "'- @lulu (fast)' was taken off", "'**' was taken off"),
    ok("**a pig** - Image #1 <@123>", "a pig --v 7", "'- Image #1 <@123>' was taken off", "'**' was taken off"),
    ok("a pig - <@123> (relaxed, stealth)", "a pig --v 7", "'- <@123> (relaxed, stealth)' was taken off"),
    ok(f"<{A}> a pig", f"{A} a pig --v 7"),
    no("<https://s.mj.run/abc> a pig", "own short link"),
    ok("a logo, contact @lulu", "a logo, contact @lulu --v 7"),
    ok("a pig", "a pig --v 7 --no text, people", negative_prompt="no text, no people"),
    ok("a pig --no no text, without hats", "a pig --v 7 --no text, hats"),
    no("a pig", "no other flag", negative_prompt="text —v 5"),
    ok(LONG, f"{LONG} --v 7", "the prompt has 61 words, and 'midjourney' reads about 60 (nexttrain.io, 2023-12-21"),
    ok("a pig --cw 0", f"a pig --v 6.1 --cref {A} --cw 0", cref_urls=A),
    no("a pig --v 6.1", "exclude each other", model=NIJI),
    no("a pig", "model is 'midjourney-niji-7'", model=NIJI, niji="6"),
    ok("a pig —ar 2:3", "a pig --ar 2:3 --v 8.1", model=EIGHT),
    ok("a pig —style raw", "a pig --v 6.1 --style raw", model=SIX),
]

OTHERS = [
    ok(
        "a pig --ar 3:2 --no text --seed 7",
        {"prompt": "a pig", "size": "1536x1024"},
        "'--no text' is left out",
        "has no seed",
        model=GPT,
    ),
    ok("a pig —ar 16:9", {"prompt": "a pig", "size": "1280x720"}, model=GPT),
    ok("a pig --quality high", {"prompt": "a pig", "quality": "high"}, model=GPT),
    ok("a pig --q 2 --v 6.1 --stylize 50", {"prompt": "a pig", "quality": "auto"}, "has no q, stylize, v", model=GPT),
    ok("a pig --size 1536x1024", {"size": "1536x1024"}, model=GPT),
    ok("a pig --fast --stealth", {"prompt": "a pig"}, "--fast is Midjourney's", "--stealth is Midjourney's", model=GPT),
    ok("a pig --banana", {"prompt": "a pig --banana"}, "no flag that is known here", model=GPT),
    ok("/imagine prompt: a pig", {"prompt": "a pig"}, "was taken off", model=GPT),
    ok("a pig – asleep, {red, blue}", {"prompt": "a pig – asleep, {red, blue}"}, model=GPT),
    no("a pig --ar 16:9", "has the shapes", model=OLD_GPT),
    no("a pig --ar 16:9 in the rain", "two whole numbers", model=GPT),
    no("a pig --repeat 4", "several paid jobs", model=GPT),
    no(f"a pig --cref {A}", "name references by", model=GPT),
    no("a pig --ar 3:2", "take one of them out", model=GPT, ar="1:1"),
    no("a pig --ar 3:2", "take one of them out", model=GPT, size="1024x1024"),
    no("a pig", "takes no negative prompt", model=GPT, negative_prompt="text"),
    ok(
        "a pig --ar 16:9 --no text --seed 7",
        {"prompt": "a pig", "aspect_ratio": "16:9"},
        "'--no text' is left out",
        "has no seed",
        model=BANANA,
    ),
    ok("a pig —ar 16：9 —seed 7", {"prompt": "a pig", "aspect_ratio": "16:9", "seed": 7}, model=FLUX),
    ok("a pig --resolution 2 MP", {"prompt": "a pig", "resolution": "2 MP"}, model=FLUX),
    ok("a pig --weird 5 --tile", {"prompt": "a pig"}, "has no tile, weird", model=FLUX),
    no("a pig --ar 7:5", "aspect_ratio is '7:5'", model=FLUX),
    no(f"a pig --oref {A}", "name references by", model=BANANA),
    ok(
        "a pig --no text, no people --ar 9:21",
        {"prompt": "a pig", "negative_prompt": "text, people", "aspect_ratio": "9:21"},
        model=SD_TURBO,
    ),
    ok("a pig --no text --seed 7", {"prompt": "a pig", "seed": 7}, "'--no text' is left out", model=SD),
    ok("a pig", {"negative_prompt": "text"}, model=SD_TURBO, negative_prompt="text"),
    ok(LONGER, {"prompt": LONGER}, "reads about 190 (256 tokens", model=SD),
    ok(LONGER, {"prompt": LONGER}, model=GPT),
]

CASES = [*DASHES, *PROSE, *SYNTAX, *OTHERS]
