"""Headers changed at random, file after file: python tests/trust/mutate_files.py --count 10000 --seed 0

Each has to be refused with one line and exit code 2, or still to be a file as any; within 2 s, and within 300 MB of
memory more than there was. Files of every format whose library is there: .npy, .npz, .safetensors, Zarr, HDF5.

(a) A mutant is a function of the seed and its number: --first N --count 1 makes one of them again.
(b) Processes take so many mutants each. One that dies, or hangs, leaves the number of the mutant behind.

Exit code 1: something else happened.
"""

from __future__ import annotations

import argparse
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from cli_tools import complaint, run, save  # noqa: E402
from stores import BYTES, GZIP, VALUES, ZSTD, sharded, store, store_2  # noqa: E402
from test_hostile_files import GOOD, PACKED, memory, mutated  # noqa: E402

MEMORY = 300 << 20
SECONDS = 2
PART = 500


def make_seeds(folder: Path) -> list[tuple[Path, Path]]:
    """Files or stores, and of each the file to be changed."""
    found = []
    for number, (suffix, data) in enumerate([*GOOD.items(), (".npz", PACKED)]):
        found.append((folder / f"{number}{suffix}",) * 2)
        found[-1][0].write_bytes(data)
    if find_spec("zarr"):
        from numcodecs import GZip, Zstd

        text = VALUES.tobytes()
        piece = GZip(1).encode(text)
        index = np.array([0, len(piece)], "<u8").tobytes()
        for name, chunk, codecs in (
            ("plain", text, [BYTES]),
            ("gzip", piece, [BYTES, GZIP]),
            ("zstd", bytes(Zstd(1).encode(text)), [BYTES, ZSTD]),
            ("shard", piece + index, sharded(4, 3, codecs=[BYTES, GZIP])),
        ):
            path = store(folder / f"{name}.zarr", chunk, codecs=codecs)
            found += [(path, path / "zarr.json"), (path, path / "c" / "0" / "0")]
        path = store_2(folder / "version2.zarr", piece, compressor={"id": "gzip", "level": 1})
        found += [(path, path / ".zarray"), (path, path / "0.0")]
    if find_spec("h5py"):
        import h5py

        path = folder / "plain.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=VALUES, chunks=(2, 3), compression="gzip")
        found.append((path, path))
    return found


def work(seed: int, first: int, count: int) -> None:
    """The child: says which mutant it is at, and how each ended."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        seeds = make_seeds(folder)
        (targets,) = save(folder, targets=np.zeros(4, np.int64))
        for path, _ in seeds:
            if run("evaluate", path, targets)[0] != 0:  # which also imports what is imported late
                raise RuntimeError(f"{path} was good before it was changed")
        resource.setrlimit(resource.RLIMIT_DATA, (memory("VmData") + MEMORY,) * 2)
        for number in range(first, first + count):
            path, changed = seeds[number % len(seeds)]
            good = changed.read_bytes()
            print("at", number, path.name, flush=True)
            changed.write_bytes(mutated(np.random.default_rng([seed, number]), good))
            print(outcome(path, targets), flush=True)
            changed.write_bytes(good)


def outcome(path: Path, targets: str) -> str:
    start = time.monotonic()
    signal.alarm(10 * SECONDS)  # ends the process
    try:
        result = run("evaluate", path, targets)
        seconds = time.monotonic() - start
        message = "" if result[0] == 0 and not result[2] else complaint(result)
    except BaseException as error:
        return f"fault: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        signal.alarm(0)
    if seconds > SECONDS:
        return f"fault: {seconds:.1f} s"
    if "memory" in message:
        return f"fault: {message.strip()}"
    return "refused" if message else "usable"


def part(seed: int, first: int, count: int) -> tuple[Counter[str], list[str]]:
    """How mutants ended, and which of them badly; what is left of a part whose process died is done by another."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    while count > 0:
        command = [
            sys.executable,
            __file__,
            "--work",
            "--seed",
            str(seed),
            "--first",
            str(first),
            "--count",
            str(count),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        at = ""
        for line in done.stdout.splitlines():
            if line.startswith("at "):
                at = line
                continue
            counts[line.partition(":")[0]] += 1
            if line.startswith("fault"):
                faults.append(f"{at}: {line}")
        if done.returncode == 0:
            break
        if not at:
            raise RuntimeError(done.stderr)
        counts["fault"] += 1
        faults.append(f"{at}: the process ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        number = int(at.split()[1])
        count, first = first + count - number - 1, number + 1
    return counts, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.seed, options.first, options.count)
        return 0
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for first in range(options.first, options.first + options.count, PART):
        more, worse = part(options.seed, first, min(PART, options.first + options.count - first))
        counts, faults = counts + more, faults + worse
    print(", ".join(f"{number} {name}" for name, number in sorted(counts.items())))
    print("\n".join(faults), file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
