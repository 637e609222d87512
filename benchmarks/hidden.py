"""What hides behind memory: python benchmarks/hidden.py [--rounds 90]

Label smoothing costs arithmetic that the memory's slowness hides, and bfloat16 gains as far as memory, not arithmetic,
was the limit. So both depend on how fast the memory happens to be. In each round the same logits are read by NumPy's
max (the roofline), by cross_entropy in float32, smoothed, and in bfloat16; the rounds are sorted by the roofline's
speed, which no result goes into, and a line of the table is a sixth of them. Below it, what one core does on data in
cache: with all cores at that rate, arithmetic is the limit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cases
import contenders

SHAPE, IN_CACHE = (1024, 128256), (1, 128256)
GROUPS = 6


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def calls(shape: tuple[int, int], threads: int) -> dict[str, Callable[[], object]]:
    plain = cases.Case("plain", shape, threads=threads)
    smoothed = cases.Case("smoothed", shape, labels="smoothed", threads=threads)
    ours, memory = contenders.load("xentc"), contenders.load("roofline")
    named = {
        "roofline": memory.forward(plain),
        "f32": ours.forward(plain),
        "smoothed": ours.forward(smoothed),
        "bf16": ours.forward(cases.Case("bf16", shape, dtype="bf16", threads=threads)),
    }
    return {name: call for name, call in named.items() if call is not None}  # what is in cache has no roofline


def rate(shape: tuple[int, int], seconds: float) -> float:
    return shape[0] * shape[1] / seconds / 1e9


def report(timings: list[dict[str, float]]) -> None:
    timings.sort(key=lambda times: -times["roofline"])
    print(f"{SHAPE[0]} x {SHAPE[1]}, {len(timings)} rounds, sorted by the roofline; Ge/s = 1e9 logits a second")
    print("roofline Ge/s   f32 Ge/s   smoothing costs   bf16 / f32   bf16 Ge/s")
    for group in range(GROUPS):
        chosen = timings[group * len(timings) // GROUPS : (group + 1) * len(timings) // GROUPS]
        median = {name: rate(SHAPE, statistics.median(times[name] for times in chosen)) for name in chosen[0]}
        cost = statistics.median(times["smoothed"] / times["f32"] for times in chosen) - 1
        ratio = statistics.median(times["f32"] / times["bf16"] for times in chosen)
        print(f"{median['roofline']:13.2f} {median['f32']:10.2f} {cost:17.1%} {ratio:12.2f} {median['bf16']:11.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=90)
    parser.add_argument("--threads", type=int, default=cases.cores())
    asked = parser.parse_args()
    timings = []
    long_calls = calls(SHAPE, asked.threads)
    for number in range(asked.rounds + 1):
        round_of = {name: timed(call) for name, call in long_calls.items()}
        if number > 0:  # the first one touches pages and starts threads
            timings.append(round_of)
    report(timings)
    best = {name: min(timed(call) for _ in range(2000)) for name, call in calls(IN_CACHE, 1).items()}
    rates = ", ".join(f"{name} {rate(IN_CACHE, seconds):.2f}" for name, seconds in best.items())
    print(f"one core, in cache, Ge/s: {rates}")


if __name__ == "__main__":
    main()
