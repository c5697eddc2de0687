"""Schedules: functions from the number of steps done (int, or an integer scalar array) to a learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tarry.core as mx

__all__ = ["cosine_decay", "exponential_decay", "join_schedules", "linear_schedule", "step_decay"]

Schedule = Callable[[Any], Any]


def exponential_decay(init: float, decay_rate: float) -> Schedule:
    """``init * decay_rate^step``.

    >>> exponential_decay(0.1, 0.5)(2)
    0.025
    """

    def schedule(step: Any) -> Any:
        return init * decay_rate**step

    return schedule


def step_decay(init: float, decay_rate: float, step_size: int) -> Schedule:
    """``init * decay_rate^floor(step / step_size)``. Raises ValueError for a step size below 1.

    >>> step_decay(0.1, 0.5, 10)(25)
    0.025
    """
    _check_positive("step_decay", "step_size", step_size)

    def schedule(step: Any) -> Any:
        return init * decay_rate ** (step // step_size)

    return schedule


def cosine_decay(init: float, decay_steps: int, end: float = 0.0) -> Schedule:
    """Half a cosine wave from ``init`` to ``end`` in ``decay_steps`` steps, ``end`` from then on:
    ``end + (init - end) (1 + cos(pi step / decay_steps)) / 2``. Raises ValueError for fewer than 1 steps.
    """
    _check_positive("cosine_decay", "decay_steps", decay_steps)

    def schedule(step: Any) -> mx.array:
        progress = mx.minimum(step, decay_steps)
        return end + 0.5 * (init - end) * (1.0 + mx.cos((math.pi / decay_steps) * progress))

    return schedule


def linear_schedule(init: float, end: float, steps: int) -> Schedule:
    """A line from ``init`` to ``end`` in ``steps`` steps, ``end`` from then on. Raises ValueError for fewer
    than 1 steps. From 0 upwards it serves as a warm-up.
    """
    _check_positive("linear_schedule", "steps", steps)

    def schedule(step: Any) -> mx.array:
        return mx.minimum(step, steps) * ((end - init) / steps) + init

    return schedule


def join_schedules(schedules: list[Schedule], boundaries: list[int]) -> Schedule:
    """Follow ``schedules[0]`` up to step ``boundaries[0]``, then ``schedules[1]``, which starts from 0, and
    so on.

    Raises ValueError unless there is one boundary less than there are schedules, and at least one schedule.

        >>> warm_up = linear_schedule(0.0, 0.1, 10)
        >>> learning_rate = join_schedules([warm_up, cosine_decay(0.1, 90)], [10])
    """
    if len(schedules) == 0:
        raise ValueError("[join_schedules] Must provide at least 1 schedule to join.")
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"[join_schedules] Received {len(boundaries)} boundaries but expected {len(schedules) - 1}."
        )

    def schedule(step: Any) -> Any:
        value = schedules[0](step)
        for boundary, following in zip(boundaries, schedules[1:]):
            value = mx.where(step < boundary, value, following(step - boundary))
        return value

    return schedule


def _check_positive(name: str, parameter: str, value: float) -> None:
    if value < 1:
        raise ValueError(f"[{name}] {parameter} must be greater than 0, but got {value}.")
