"""Compare many random indexing expressions with NumPy: run by hand, not by pytest.

    python tests/core/search_indexing.py 0 10000

goes through the cases 0 to 9999 of `test_masks.check_expression` and prints those that differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from test_masks import check_expression


def main(first: int, last: int) -> int:
    """Check the cases; gives how many differ."""
    different = 0
    for number in range(first, last):
        try:
            check_expression(number)
        except Exception as problem:
            different += 1
            print(f"case {number}: {type(problem).__name__}: {problem}", flush=True)
    print(f"{last - first} cases, {different} differ")
    return different


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
