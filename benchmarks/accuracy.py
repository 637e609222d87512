"""The worst error of cross_entropy, in ULP of its dtype, per family of rows: python benchmarks/accuracy.py

(a) The exact value is log1p(rest) for the loss and -rest / (1 + rest) for the gradient at the target, p - 1, where rest
    is the sum over the other classes of exp(x - x[target]). Nothing cancels in it: every operation costs its rounding.
(b) All rows are computed so in a wider dtype: float64 for float32 logits, np.longdouble for float64 ones. Each term
    errs by an eps of that dtype for exp, half of one for each unit that x lies from x[target], and the pairwise sum by
    about 30 at most: under 1e-6 ULP beside float32, and under 0.1 beside float64 with the 64 bits of x86's long double.
    Where long double has fewer than 64 bits, float64 is left out.
(c) mpmath, to 50 digits, computes rows again from the same numbers: in each cell the first row, and the worst one of
    every contender, loss and gradient. The run fails if (b) is off by more than 0.1 ULP in any; what the table shows of
    those rows is mpmath's.
(d) Rows are seeded, and the same for all contenders. A family has ROWS of each number of classes. Rows whose size is a
    scale (confident, two levels) run through the whole of it at each number of classes.
(e) Passed: the promised 4 ULP (float32) or 8 (float64), and the larger of torch's worst error and 1 ULP.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mpmath
import numpy as np
from families import FAMILIES
from run import peak_memory, progress

import xentc
from xentc import _dispatch

LIMITS = {"float32": 4.0, "float64": 8.0}
WIDER = {"float32": np.float64, "float64": np.longdouble}
ROWS = {10: 50_000, 1000: 10_000, 32000: 400, 128256: 100}  # number of classes: rows
QUICK = {10: 500, 1000: 100, 32000: 6, 128256: 2}
CHUNK = 1 << 21  # logits at a time
CHECK_ULPS = 0.1
ANSWERS = ("loss", "gradient")

Contender = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def chunks(family: str, dtype: np.dtype, n_classes: int, n_rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng([list(FAMILIES).index(family), n_classes])
    scale = np.linspace(0, 1, n_rows)
    at_once = max(1, CHUNK // n_classes)
    for begin in range(0, n_rows, at_once):
        rows, target = FAMILIES[family](rng, scale[begin : begin + at_once], n_classes, dtype)
        yield rows.astype(dtype), target


# Exact values.


def wide_answer(rows: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(a) as (b) computes it."""
    picked = np.arange(len(rows)), target
    terms = rows.astype(WIDER[rows.dtype.name])
    terms -= terms[picked][:, None]
    np.exp(terms, out=terms)
    terms[picked] = 0
    rest = terms.sum(axis=1)
    return np.log1p(rest), -rest / (1 + rest)


def exact_answer(row: np.ndarray, target: int) -> tuple[np.longdouble, np.longdouble]:
    """(a) as (c) computes it. Equal logits share one exp."""
    with mpmath.workdps(50):
        own = mpmath.mpf(float(row[target]))
        values, counts = np.unique(np.delete(row, target), return_counts=True)
        pairs = zip(values.tolist(), counts.tolist(), strict=True)
        rest = mpmath.fsum(count * mpmath.exp(mpmath.mpf(value) - own) for value, count in pairs)
        return _to_longdouble(mpmath.log1p(rest)), _to_longdouble(-rest / (1 + rest))


def _to_longdouble(value: mpmath.mpf) -> np.longdouble:
    head = float(value)
    return np.longdouble(head) + np.longdouble(float(value - head))


def ulp_errors(actual: np.ndarray, exact: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """|actual - exact| by the distance of neighbouring numbers of the dtype at exact; nan is an infinite error."""
    limits = np.finfo(dtype)
    unit = np.ldexp(np.longdouble(limits.eps), np.frexp(exact)[1] - 1)
    errors = np.abs(actual.astype(np.longdouble) - exact) / np.maximum(unit, limits.smallest_subnormal)
    return np.where(np.isnan(errors), np.inf, errors)


# Contenders: loss and gradient at the target.


def xentc_on(isa: str) -> Contender:
    def answer(rows: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = _dispatch.select(isa)
        try:
            loss = xentc.cross_entropy(rows, target, reduction="none")
            grad = xentc.cross_entropy(rows, target, reduction="none", return_grad=True)[1]
        finally:
            _dispatch.select(before)
        return loss, grad[np.arange(len(rows)), target]

    return answer


def torch_contender() -> Contender | None:
    try:
        import torch
    except ImportError:
        return None

    def answer(rows: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = torch.from_numpy(rows).requires_grad_()
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(target), reduction="none")
        (grad,) = torch.autograd.grad(loss.sum(), logits)
        return loss.detach().numpy(), grad.numpy()[np.arange(len(rows)), target]

    return answer


def find_contenders() -> dict[str, Contender]:
    found = {isa: xentc_on(isa) for isa in _dispatch.available()}
    torch = torch_contender()
    return found | ({"torch": torch} if torch else {})


# Measuring.


@dataclass
class Worst:
    """The row on which a contender was furthest off."""

    error: float = -1.0
    row: np.ndarray | None = None
    target: int = 0
    actual: np.ndarray | None = None
    wide: np.ndarray | None = None
    exact: Future | None = None

    def look(self, errors: np.ndarray, rows: np.ndarray, target: np.ndarray, actual: np.ndarray, wide: np.ndarray):
        i = int(errors.argmax())
        if errors[i] > self.error:
            self.error = float(errors[i])
            self.row, self.target = rows[i].copy(), int(target[i])
            self.actual, self.wide = actual[i : i + 1], wide[i : i + 1]

    def check(self, answer: int) -> None:
        """(c): the wide value of this row, and the error that the table shows."""
        exact, dtype = np.asarray(self.exact.result()[answer])[None], self.row.dtype
        off = ulp_errors(self.wide, exact, dtype)[0]
        if off > CHECK_ULPS:
            raise ArithmeticError(f"the wide {ANSWERS[answer]} is off by {off:.3g} ULP of {dtype} from mpmath's")
        self.error = float(ulp_errors(self.actual, exact, dtype)[0])


@dataclass
class Cell:
    dtype: str
    family: str
    n_classes: int
    n_rows: int
    worst: dict[tuple[str, int], Worst] = field(default_factory=dict)  # by contender and answer

    def measure(self, contenders: dict[str, Contender], pool: ProcessPoolExecutor) -> None:
        dtype = np.dtype(self.dtype)
        for rows, target in chunks(self.family, dtype, self.n_classes, self.n_rows):
            wide = wide_answer(rows, target)
            for name, contender in contenders.items():
                for i, actual in enumerate(contender(rows, target)):
                    errors = ulp_errors(actual, wide[i], dtype)
                    self.worst.setdefault((name, i), Worst()).look(errors, rows, target, actual, wide[i])
            for i in range(len(ANSWERS)):
                self.worst.setdefault(("", i), Worst()).look(np.zeros(1), rows, target, wide[i], wide[i])
        asked: dict[bytes, Future] = {}  # one row can be the worst of several
        for worst in self.worst.values():
            key = worst.row.tobytes() + worst.target.to_bytes(4)
            worst.exact = asked.get(key) or pool.submit(exact_answer, worst.row, worst.target)
            asked[key] = worst.exact

    def results(self) -> Iterator[dict]:
        for (_, i), worst in self.worst.items():
            worst.check(i)
        for i, answer in enumerate(ANSWERS):
            errors = {name: worst.error for (name, j), worst in self.worst.items() if i == j and name}
            result = {"dtype": self.dtype, "answer": answer, "family": self.family, "classes": self.n_classes}
            yield result | {"rows": self.n_rows, "errors": errors, "verdict": verdict(self.dtype, errors)}


def verdict(dtype: str, errors: dict[str, float]) -> str:
    ours = max(error for name, error in errors.items() if name != "torch")
    if ours > LIMITS[dtype]:
        return f"FAIL: over {LIMITS[dtype]:g}"
    return "FAIL: over torch" if "torch" in errors and ours > max(errors["torch"], 1) else "pass"


def table(results: list[dict]) -> Iterator[str]:
    names = list(results[0]["errors"])
    for dtype in LIMITS:
        for answer in ANSWERS:
            part = [result for result in results if (result["dtype"], result["answer"]) == (dtype, answer)]
            if not part:
                continue
            yield f"\n{dtype}, {answer}{' at the target' if answer == 'gradient' else ''}: worst error in ULP"
            yield f"{'family':16}{'C':>7}{'rows':>6}" + "".join(f"{name:>10}" for name in names) + "  verdict"
            for result in part:
                cells = "".join(f"{_number(result['errors'][name]):>10}" for name in names)
                start = f"{result['family']:16}{result['classes']:>7}{result['rows']:>6}"
                yield f"{start}{cells}  {result['verdict']}"


def _number(error: float) -> str:
    return f"{error:.2f}" if error < 1000 else f"{error:.1e}"


def main() -> int:
    parser = argparse.ArgumentParser(description="the worst error of cross_entropy, in ULP, per family of rows")
    parser.add_argument("--quick", action="store_true", help="few rows, in under half a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    options = parser.parse_args()
    started, contenders = time.perf_counter(), find_contenders()
    counts = QUICK if options.quick else ROWS
    print(
        f"xentc {xentc.__version__} on {', '.join(_dispatch.available())}; {sum(counts.values())} rows of each family"
    )
    if "torch" not in contenders:
        print("torch is not installed: held against the promised limits alone")
    dtypes = [dtype for dtype in LIMITS if np.finfo(WIDER[dtype]).nmant >= np.finfo(dtype).nmant + 11]
    if "float64" not in dtypes:
        print("float64 left out: np.longdouble is not wide enough here")
    cells = [Cell(d, family, n_classes, n) for d in dtypes for family in FAMILIES for n_classes, n in counts.items()]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool, np.errstate(all="ignore"):
        for i, cell in enumerate(cells):
            progress(f"{i + 1} of {len(cells)}: {cell.dtype}, {cell.family}, {cell.n_classes} classes")
            cell.measure(contenders, pool)
        progress("checking rows with mpmath")
        results = [result for cell in cells for result in cell.results()]
    progress("")
    print("\n".join(table(results)))
    failed = sum(result["verdict"] != "pass" for result in results)
    print(f"\n{len(results) - failed} passed, {failed} failed; {time.perf_counter() - started:.0f} s, {peak_memory()}")
    if options.json:
        options.json.write_text(json.dumps({"format": 1, "results": results}, indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
