"""Asks for pictures of one prompt until enough of them show the character, or the money is gone.

    ./run likeness sandbox &
    ./run likeness character add lulu examples/lulu-pig/references/*.png --core 0.856 --style -0.40
    SANDBOX_BASE_URL=http://127.0.0.1:8700 CLIP_MODEL=sandbox/clip ./run python examples/until_enough.py lulu 3

Each round is a batch with what is left of the budget, so the limit holds over all of them together.
"""

import sys
from decimal import Decimal

import likeness

PROMPT = "Lulu Pig dancing at the summer festival"
BUDGET_USD = Decimal(4)
#: The most that one call may cost here, which a batch must be able to set aside.
PRICE_USD = Decimal("0.40")


def main(character: str, wanted: int) -> int:
    accepted: list[likeness.Result] = []
    spent, seed = Decimal(0), 0
    with likeness.connect() as connection:
        while len(accepted) < wanted and BUDGET_USD - spent >= PRICE_USD:
            missing = wanted - len(accepted)
            rows = [{"prompt": PROMPT, "seed": seed + number} for number in range(missing)]
            batch = connection.enqueue(rows, provider="sandbox", character=character, max_cost=BUDGET_USD - spent)
            spent += batch.wait().charged_usd
            seed += missing
            accepted += [one for one in batch.results() if one.accepted]
            print(f"{len(accepted)} of {wanted} after {seed} pictures and {spent:.2f} USD")
    for one in accepted:
        print(f"core {one.core:.3f}  {one.picture}")
    return 0 if len(accepted) >= wanted else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
