"""Makes a picture of each prompt within a budget, and prints what became of it.

    ./run likeness sandbox &
    SANDBOX_BASE_URL=http://127.0.0.1:8700 CLIP_MODEL=sandbox/clip ./run python examples/make_pictures.py

Run it twice: the batch has a name, so the second run pays for nothing that is done. With another PROVIDER as argument
and that service's key in the environment it makes real pictures.
"""

import sys

import likeness

PROMPTS = [
    {"prompt": "Lulu Pig in the rain under a red umbrella", "theme": "weather", "seed": 1},
    {"prompt": "Lulu Pig asleep in a hammock", "theme": "beach", "seed": 2},
    {"prompt": "Lulu Pig baking a cake", "theme": "kitchen", "seed": 3},
]


def main(provider: str = "sandbox") -> int:
    with likeness.connect() as connection:
        batch = connection.enqueue(PROMPTS, name="make-pictures", provider=provider, max_cost="3")
        ended = batch.wait()
        for result in batch.results():
            print(f"{result.state:10} {result.cost_usd:.2f} USD  {result.picture or result.error}  {result.prompt}")
        print(f"{ended.accepted} of {ended.total} accepted, {ended.charged_usd:.2f} of {ended.limit_usd:.2f} USD spent")
    return 0 if ended.accepted == ended.total else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
