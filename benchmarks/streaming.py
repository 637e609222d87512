"""A file far larger than what a process may hold: python benchmarks/streaming.py [--gigabytes 20]

(a) One real file of normal logits, not sparse, under several names: hard links, which a pattern reads as shards. The
    page cache holds it once, and all of it is read before anything is timed.
(b) The rate is that of a whole process, its start included, against one that reads the same files into a buffer of the
    same size as evaluate's blocks and does nothing else. They run by turns; the figure is the median of the ratios.
    Processor seconds are an aside: on a busy machine they mean more than the time does.
(c) RssAnon is sampled while they run. What rises and falls between two samples is bounded by VmHWM, the largest
    resident set of the process so far, mapped pages included.
(d) Killed runs write their checkpoints more often than others do, or a fast machine would be done before the first.
(e) Needs a machine with nothing else to do: between blocks libgomp's threads spin, and where others want the cores that
    costs several times the work. OMP_WAIT_POLICY=passive shows how much of a low rate is that.

Exit code 1: a goal is missed. Linux alone has these figures. Everything is in a temporary folder, which is removed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xentc import cli
from xentc._cli.job import BLOCK_BYTES, Job

RATE_GOAL = 0.8
MEMORY_GOAL = 300 << 20
INTERRUPT_GOAL = 1.0
SAMPLE_SECONDS = 0.002
MIDDLE = 0.5

READ = """
import sys
buffer = memoryview(bytearray(int(sys.argv[1])))
for path in sys.argv[2:]:
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
"""

EVALUATE = """
import sys
from xentc import cli
from xentc._cli import evaluate
evaluate.CHECKPOINT_SECONDS = 0.1
sys.exit(cli.main())
"""


@dataclass(frozen=True)
class Files:
    """Logits and targets, as the command line names them."""

    folder: Path
    paths: list[str]
    n_bytes: int

    def command(self, *options: str) -> list[str]:
        return ["evaluate", f"{self.folder}/logits-*.npy", f"{self.folder}/targets-*.npy", "--json", *options]

    def n_blocks(self) -> int:
        return sum(1 for _ in Job(cli._parser().parse_args(self.command())).blocks())


@dataclass
class Run:
    """A process that has ended."""

    seconds: float
    code: int
    out: str
    err: str
    processor_seconds: float = 0
    anonymous: int = 0
    resident: int = 0


def make(folder: Path, n_bytes: int, file_bytes: int, n_classes: int) -> Files:
    n_files = max(1, round(n_bytes / file_bytes))
    shape = file_bytes // (4 * n_classes), n_classes
    rng = np.random.default_rng(0)
    logits = np.lib.format.open_memmap(folder / "logits-0.npy", "w+", np.float32, shape)
    step = max(1, BLOCK_BYTES // (4 * n_classes))
    for start in range(0, len(logits), step):
        part = logits[start : start + step]
        part[:] = rng.standard_normal(part.shape, np.float32)
        part *= 3
    np.save(folder / "targets-0.npy", rng.integers(0, n_classes, shape[0]))
    for number in range(1, n_files):
        for name in ("logits", "targets"):
            os.link(folder / f"{name}-0.npy", folder / f"{name}-{number}.npy")
    paths = [str(folder / f"logits-{number}.npy") for number in range(n_files)]
    return Files(folder, paths, n_files * logits.nbytes)


def run(program: list[str], act: Callable[[subprocess.Popen[str], float], bool] | None = None) -> Run:
    """`act` is asked again and again whether it has done what it does to the process, given the seconds since then."""
    start, processor_start = time.perf_counter(), _processor_seconds()
    process = subprocess.Popen(
        [sys.executable, *program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    )
    result = Run(0, 0, "", "")
    acted = None
    while process.poll() is None:
        _sample(process.pid, result)
        if act is not None and acted is None and act(process, time.perf_counter() - start):
            acted = time.perf_counter()
        time.sleep(SAMPLE_SECONDS)
    result.seconds = time.perf_counter() - (start if acted is None else acted)
    result.out, result.err = process.communicate()
    result.code = process.returncode
    result.processor_seconds = _processor_seconds() - processor_start
    return result


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    # OpenBLAS's threads have buffers of their own, and nothing to do here.
    return os.environ | {"OPENBLAS_NUM_THREADS": "1"}


def _sample(pid: int, result: Run) -> None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return
    found = {name: int(kilobytes) << 10 for name, kilobytes in re.findall(r"(RssAnon|VmHWM):\s+(\d+) kB", status)}
    result.anonymous = max(result.anonymous, found.get("RssAnon", 0))
    result.resident = max(result.resident, found.get("VmHWM", 0))


def position(checkpoint: Path) -> int:
    return int(json.loads(checkpoint.read_text())["position"]) if checkpoint.exists() else 0


def stopped(files: Files, number: signal.Signals, truth: str, threads: list[str]) -> tuple[Run, list[str]]:
    """A run that gets a signal in the middle and goes on from its checkpoint, and what was wrong with that."""
    checkpoint, n_blocks = files.folder / "checkpoint", files.n_blocks()
    command = files.command("--checkpoint", str(checkpoint), *threads)

    def send(process: subprocess.Popen[str], seconds: float) -> bool:
        middle = position(checkpoint) >= MIDDLE * n_blocks
        if middle:
            process.send_signal(number)
        return middle

    first = run(["-c", EVALUATE, *command], send)
    kept = position(checkpoint)
    code = 128 + number if number == signal.SIGINT else -number
    wrong = [f"exit code {first.code}, expected {code}"] if first.code != code else []
    if not 0 < kept < n_blocks:
        wrong.append(f"checkpoint after {kept} of {n_blocks} blocks")
    second = run(["-m", "xentc", *command])
    if (second.code, second.out) != (0, truth):
        wrong.append(f"resumed: exit code {second.code}, {second.err.strip() or 'another result'}")
    if checkpoint.exists():
        wrong.append("the checkpoint is still there")
        checkpoint.unlink()
    print(f"  {number.name} after {kept} of {n_blocks} blocks, ended {first.seconds:.3f} s later", end="; ")
    print("; ".join(wrong) or "resumed: same JSON")
    return first, wrong


def measure(files: Files, pairs: int, threads: list[str]) -> list[str]:
    """Print the figures; return the goals that are missed."""
    run(["-c", READ, str(BLOCK_BYTES), *files.paths])  # fills the page cache
    ratios, rates, processor, runs = [], [], [], []
    for _ in range(pairs):
        ours = run(["-m", "xentc", *files.command(*threads)])
        theirs = run(["-c", READ, str(BLOCK_BYTES), *files.paths])
        if ours.code or theirs.code:
            raise RuntimeError(ours.err or theirs.err)
        runs.append(ours)
        processor.append((ours.processor_seconds, theirs.processor_seconds))
        ratios.append(theirs.seconds / ours.seconds)
        rates.append((files.n_bytes / ours.seconds / 1e9, files.n_bytes / theirs.seconds / 1e9))
    ratio = statistics.median(ratios)
    ours_rate, their_rate = (statistics.median(side) for side in zip(*rates, strict=True))
    anonymous, resident = max(r.anonymous for r in runs), max(r.resident for r in runs)
    print(f"  evaluate {ours_rate:.2f} GB/s, readinto {their_rate:.2f} GB/s, ratio {ratio:.2f}", end=" ")
    print(f"({min(ratios):.2f} to {max(ratios):.2f}, {pairs} pairs)")
    print(
        "  processor seconds: evaluate {:.2f}, readinto {:.2f}".format(
            *map(statistics.median, zip(*processor, strict=True))
        )
    )
    print(f"  RssAnon {anonymous >> 20} MiB at most in samples, resident at most {resident >> 20} MiB at any time")
    missed = [f"rate {ratio:.2f} < {RATE_GOAL}"] if ratio < RATE_GOAL else []
    if anonymous >= MEMORY_GOAL:
        missed.append(f"RssAnon {anonymous >> 20} MiB")
    truth = runs[0].out
    if any(r.out != truth for r in runs):
        missed.append("two runs, two results")
    _, wrong = stopped(files, signal.SIGKILL, truth, threads)
    missed += wrong
    interrupted, wrong = stopped(files, signal.SIGINT, truth, threads)
    missed += wrong
    if interrupted.seconds >= INTERRUPT_GOAL:
        missed.append(f"ended {interrupted.seconds:.2f} s after SIGINT")
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20, help="of logits (default: %(default)s)")
    parser.add_argument(
        "--file-gigabytes", type=float, default=4, help="of the file behind them; has to stay in memory"
    )
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 32000])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, help="of evaluate; default: as many as it takes")
    parser.add_argument("--folder", help="where the temporary folder is made; a disk, not /dev/shm")
    options = parser.parse_args()
    threads = [] if options.threads is None else ["--threads", str(options.threads)]
    missed = []
    for n_classes in options.classes:
        with tempfile.TemporaryDirectory(prefix="xentc-", dir=options.folder) as folder:
            n_bytes, file_bytes = int(options.gigabytes * 1e9), int(options.file_gigabytes * 1e9)
            files = make(Path(folder), n_bytes, min(n_bytes, file_bytes), n_classes)
            print(f"{files.n_bytes / 1e9:.1f} GB of f32, {n_classes} classes, {len(files.paths)} files", flush=True)
            missed += [f"{n_classes} classes: {text}" for text in measure(files, options.pairs, threads)]
    for text in missed:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
