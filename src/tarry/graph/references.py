"""Reference counts: who holds a node besides the code that asks.

A function that asks for a count holds references of its own: a local name, the argument of the call. How many
is the interpreter's business, so they are counted here on objects whose other holders are known.
"""

from __future__ import annotations

import sys


class _Held:
    """Something held by whom we say, and holding something itself."""

    __slots__ = ("held",)

    def __init__(self, held: object = None) -> None:
        self.held = held


def _count_in_list() -> int:
    items = [_Held()]
    count = sys.getrefcount
    for number in range(len(items)):
        item = items[number]
        return count(item) - 1  # the list
    raise AssertionError


def _count_attribute() -> int:
    holder = _Held(_Held())
    count = sys.getrefcount
    found = holder.held
    return count(found) - 1  # the attribute


def _count_in_map() -> int:
    items = (_Held(),)
    return next(map(sys.getrefcount, items)) - 1  # the tuple


# What a loop over a list holds of an item it has given a name: the name, and the argument of the call.
OWN_IN_LOOP = _count_in_list()
# The same for what was read from an attribute.
OWN_OF_ATTRIBUTE = _count_attribute()
# What `map` over a tuple holds of an item while it asks for the count.
OWN_IN_MAP = _count_in_map()
