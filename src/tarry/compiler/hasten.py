"""Results as early as possible: what they are made of is needed no longer, and is still in cache.

The gradient of a weight depends on the layer's input and its output's gradient, and nothing waits for it.
Left where the program asks for it, at the end, it would keep both alive until then.
"""

from __future__ import annotations

from collections.abc import Sequence

from tarry.compiler.group import Group


def hasten_results(groups: Sequence[Group]) -> list[Group]:
    """The groups in order, those nobody reads from moved to just behind the last one they read from."""
    read: set[Group] = set()
    for group in groups:
        read |= group.depends
    waiting: dict[Group, list[Group]] = {}
    place = {group: number for number, group in enumerate(groups)}
    for group in groups:
        if group not in read and group.depends:
            waiting.setdefault(max(group.depends, key=place.__getitem__), []).append(group)
    order: list[Group] = []
    for group in groups:
        if group in read or not group.depends:
            order.append(group)
            order += waiting.get(group, ())
    return order
