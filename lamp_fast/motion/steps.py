"""When a foot that slides should stand and when it should step: the cheapest plan, by dynamic programming."""

from __future__ import annotations

import numpy as np

DRIFT = 0.2  # metres from where it was: holding a foot there costs as much as lifting it
BUSY = 3.0  # times as dear: lifting a foot while the other one is in the air
STEP = 0.15  # seconds in the air that every step costs beside its own
SHORTEST_STAND = 0.1  # seconds
SHORTEST_STEP = 0.3  # seconds
LONGEST_STAND = 20.0  # seconds: bounds the search


def plan_stands(way: np.ndarray, ground: np.ndarray, busy: np.ndarray, fps: float) -> list[tuple[int, int]]:
    """Frames [start, end) in which a foot stands; between them it is in the air.

    To hold a foot costs the square of how far it is from where it was, to lift one from the ground the time it is in
    the air. So a foot that hardly moves stands, one that glides takes steps, and one that swings near the ground does.

    Args:
        way: (T, 2) metres, where the foot has slid to along the ground. ground: (T,) bool, the foot is near the ground.
        busy: (T,) bool, the other foot is in the air.
    """
    frames, second = len(way), 1 / fps
    least, pause = max(2, round(SHORTEST_STAND * fps)), max(1, round(SHORTEST_STEP * fps))
    most = round(LONGEST_STAND * fps)
    total = np.concatenate([np.zeros((1, 2)), way.cumsum(axis=0)])
    squares = np.concatenate([[0], np.square(way).sum(axis=1).cumsum()])
    lifting = np.concatenate([[0], (second * ground * np.where(busy, BUSY, 1)).cumsum()])
    numbers = np.arange(frames)
    landed = np.concatenate([[0], np.maximum.accumulate(np.where(ground, 0, numbers + 1))])

    in_air, lifted_at = np.empty(frames + 1), np.empty(frames + 1, dtype=int)
    on_ground, set_down_at = np.full(frames + 1, np.inf), np.zeros(frames + 1, dtype=int)
    cheapest, where = 0.0, 0
    for now in range(frames + 1):
        before = now - pause
        if before > 0 and on_ground[before] - lifting[before] + STEP < cheapest:
            cheapest, where = on_ground[before] - lifting[before] + STEP, before
        in_air[now], lifted_at[now] = cheapest + lifting[now], where
        starts = np.arange(max(landed[now], now - most), now - least + 1)
        if len(starts):
            moved = np.square(total[now] - total[starts]).sum(axis=1) / (now - starts)
            held = np.maximum(squares[now] - squares[starts] - moved, 0) * second / DRIFT**2
            costs = in_air[starts] + held
            best = int(costs.argmin())
            on_ground[now], set_down_at[now] = costs[best], starts[best]

    stands: list[tuple[int, int]] = []
    end = int((on_ground + lifting[-1] - lifting).argmin())
    while end > 0 and np.isfinite(on_ground[end]):
        stands.append((int(set_down_at[end]), end))
        end = int(lifted_at[set_down_at[end]])
    return stands[::-1]
