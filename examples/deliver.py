"""Makes pictures of a character, says what is to be thought of them, and delivers the accepted ones with their papers.

    ./run likeness sandbox &
    ./run likeness character add lulu examples/lulu-pig/references/*.png --core 0.856 --style -0.40
    SANDBOX_BASE_URL=http://127.0.0.1:8700 CLIP_MODEL=sandbox/clip ./run python examples/deliver.py lulu delivery

Every file in the folder carries its prompt, model, job, cost and scores; run it again, and only what is missing is
written.
"""

import sys
from pathlib import Path

import likeness

PROMPTS = [
    {"prompt": "Lulu Pig waving from a train", "theme": "journey", "variation": "day", "seed": 11},
    {"prompt": "Lulu Pig reading on the night train", "theme": "journey", "variation": "night", "seed": 12},
]


def main(character: str, folder: str) -> int:
    with likeness.connect() as connection:
        batch = connection.enqueue(
            PROMPTS, name="delivery", provider="sandbox", character=character, max_cost="6", max_tries=3
        )
        batch.wait()
        for result in batch.results():
            if result.accepted:
                batch.feedback(result.row, "accepted", comment="looked at for the delivery")
        done = batch.export(folder, names="{theme}_{variation}_{row}")
        summary = batch.get_cost_summary()
    print(f"{done.written} written, {done.kept} there already; {summary['total_cost']:.2f} USD for all tries")
    for path in sorted(Path(folder).glob("*.png")):
        found = likeness.read_provenance(path)
        if found is None or found.match is not likeness.Match.UNCHANGED:
            print(f"{path} is not what was made")
            return 1
        check = found.record["checks"][0]
        print(f"{path.name}  core {check['core']:.3f}  {found.record['cost_usd']} USD  {found.record['prompt']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
