"""Takes a character to another installation, as a folder, and checks that it is the same there.

    ./run likeness character add lulu examples/lulu-pig/references/*.png --core 0.856 --style -0.40
    CLIP_MODEL=sandbox/clip ./run python examples/move_character.py lulu lulu-folder

Here the other installation is this one, under another name; usually the folder travels in between.
"""

import sys
from pathlib import Path

import likeness


def main(name: str, folder: str) -> int:
    with likeness.connect() as connection:
        there = connection.export_character(name, folder)
        here = connection.import_character(folder, name=f"{name}-moved", replace=True)
        same = (here.references, here.core, here.style) == (there.references, there.core, there.style)
        print(f"{here.name}: {here.references} references, core {here.core:.3f} ({here.thresholds_from})")
        checked = connection.validate([Path(folder) / "references"], character=here.name)
        passed = sum(one.passed for one in checked)
        print(f"{passed} of its {len(checked)} references pass as {here.name}")
    return 0 if same and passed == len(checked) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
