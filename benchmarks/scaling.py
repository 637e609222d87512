"""What threads gain, on data in cache: python benchmarks/scaling.py

One process with N threads against N processes of one thread, each on a core of its own, running together on 1/N of the
samples each: they share nothing, so they are what the machine can do, its memory and its clock included. And against
one thread alone. All processes live throughout and are idle in turn; the ratios are of neighbouring windows.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import worker

SAMPLES, CLASSES = 1024, 256  # 1 MiB of logits: they and the gradient stay in the caches, and the call is not tiny
ANSWERS = ("forward", "with gradient")


@dataclass(frozen=True)
class Budget:
    rounds: int = 15
    window: float = 0.05  # seconds that a call is repeated for
    settle: float = 0.015  # see runner.py: idle threads spin


SMOKE = Budget(rounds=2, window=0.002, settle=0.0)


def _calls(samples: int, threads: int) -> dict[str, Callable[[], object]]:
    import cases
    import contenders

    case = cases.Case("scaling", (samples, CLASSES), threads=threads)
    ours = contenders.load("xentc")
    return dict(zip(ANSWERS, (ours.forward(case), ours.forward_grad(case)), strict=True))


def _serve(pipe: Connection, cpus: list[int] | None, samples: int, threads: int) -> None:
    """Answer each (answer, seconds) with the samples scored in a second, over as many calls as fit."""
    if cpus is not None:
        os.sched_setaffinity(0, cpus)
    calls = _calls(samples, threads)
    for call in calls.values():
        call()
    pipe.send("ready")
    for answer, start, seconds in iter(pipe.recv, None):
        call, count = calls[answer], 0
        call()  # wakes the threads
        while time.monotonic() < start:
            pass
        begin = time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            call()
            count += 1
        pipe.send(count * samples / (now - begin))


class Team:
    """Processes that are asked together."""

    def __init__(self, context, cpus: list[list[int] | None], samples: int, threads: int) -> None:
        self.pipes, self.processes = [], []
        for chosen in cpus:
            mine, theirs = context.Pipe()
            self.processes.append(context.Process(target=_serve, args=(theirs, chosen, samples, threads), daemon=True))
            self.processes[-1].start()
            theirs.close()  # so that the end of a process that died is seen
            self.pipes.append(mine)
        for pipe in self.pipes:
            self._answer(pipe)

    @staticmethod
    def _answer(pipe: Connection):
        try:
            return pipe.recv()
        except EOFError:
            raise RuntimeError("scaling: a process that was timed has died") from None

    def rate(self, answer: str, budget: Budget) -> float:
        time.sleep(budget.settle)
        start = time.monotonic() + 0.002
        for pipe in self.pipes:
            pipe.send((answer, start, budget.window))
        return sum(self._answer(pipe) for pipe in self.pipes)

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for process in self.processes:
            process.join(10)


def _row(answer: str, threads: int, together: list[float], apart: list[float], alone: list[float]) -> dict:
    import numpy as np

    lower, median, upper = np.percentile(np.divide(together, apart), (25, 50, 75))
    return {
        "answer": answer,
        "threads": threads,
        "lower": float(lower),
        "median": float(median),
        "upper": float(upper),
        "against_one_thread": float(np.median(np.divide(together, alone))),
    }


def measure(cores: int, budget: Budget) -> list[dict]:
    """A row for each answer and number of threads: together / apart, and together / one thread alone."""
    context = multiprocessing.get_context("spawn")
    for name in (*worker.UNSET, *worker.THREAD_COUNTS):
        os.environ.pop(name, None)
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else None
    rows = []
    for threads in sorted({1, *(2**i for i in range(1, 10) if 2**i < cores), cores}):
        one_each = [None] * threads if allowed is None else [[cpu] for cpu in allowed[:threads]]
        teams = [
            Team(context, [None if allowed is None else allowed[:threads]], SAMPLES, threads),
            Team(context, one_each, SAMPLES // threads, 1),
            Team(context, one_each[:1], SAMPLES, 1),
        ]
        for answer in ANSWERS:
            rates = [[team.rate(answer, budget) for team in teams] for _ in range(budget.rounds)]
            rows.append(_row(answer, threads, *map(list, zip(*rates, strict=True))))
        for team in teams:
            team.close()
    return rows


def table(rows: list[dict]) -> list[str]:
    return [
        "{answer:14} {threads:3} threads: {median:.2f} [{lower:.2f} {upper:.2f}] of as many processes of one thread, "
        "{against_one_thread:.2f} of one thread".format(**row)
        for row in rows
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    from cases import cores

    measured = measure(cores(), Budget())
    print(json.dumps(measured, indent=1) if options.json else "\n".join(table(measured)))


if __name__ == "__main__":
    main()
