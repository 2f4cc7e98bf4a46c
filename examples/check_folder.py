"""Checks every picture of a folder against a character, without the queue and without paying anybody.

    ./run likeness character add lulu examples/lulu-pig/references/*.png --core 0.856 --style -0.40
    CLIP_MODEL=sandbox/clip ./run python examples/check_folder.py lulu examples/lulu-pig/references

Prints the worst first, and ends with 1 where one does not pass, so that it can stand in a build.
"""

import sys

import likeness


def main(character: str, folder: str) -> int:
    with likeness.connect() as connection:
        checked = connection.validate([folder], character=character)
    for one in sorted(checked, key=lambda one: -1.0 if one.core is None else one.core):
        found = one.error or f"core {one.core:.3f} of {one.core_threshold:.3f}"
        print(f"{'pass' if one.passed else 'FAIL'}  {found}  {one.path}")
    print(f"thresholds: {checked[0].thresholds_from}" if checked else "no pictures")
    return 0 if all(one.passed for one in checked) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
