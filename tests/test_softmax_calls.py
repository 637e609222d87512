"""Calls of the softmax family: what is refused, with nothing written; memory; the same bits on any threads."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
import strategies
from amount import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from softmax_reference import FAMILY, FULL, both, upstream_of
from test_batch_invariance import rows_of
from test_memory import LIMIT, STATUS, filled, resident
from test_threads import TEAMS

from xentc import _engine

X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
SIZE = 2**26  # bytes of logits, where memory is looked at


@pytest.fixture(params=FAMILY)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


WRONG_TYPES: dict[str, list] = {
    "input": [None, "text", [["a"]], object(), X > 0, X.astype(complex), np.ma.masked_array(X, False), {1: 2}],
    "axis": [None, 1.0, "a", True, [1], (0, 1)],
    "grad_output": ["text", 1j, object(), np.array("a"), X.astype(complex)],
    "out": [[0.0, 0.0], np.zeros((2, 3)), np.zeros((2, 3), np.int32), np.zeros((2, 3), ">f4"), 3],
    "grad_out": [X.tolist(), np.zeros((2, 3)), np.zeros((2, 3), ">f4"), 3],
    "num_threads": [1.0, "2", True, [1]],
    "return_grad": [np.array([1, 2])],
}
WRONG_VALUES: dict[str, list] = {
    "axis": [2, -3, 2**70],
    "grad_output": [None, 1.0, [1.0], np.ones((2, 3, 1)), np.ones(3), np.ones((3, 2)), np.ones((1, 3))],
    "out": [np.zeros((3, 2), np.float32), np.zeros(6, np.float32), np.zeros((), np.float32)],
    "grad_out": [np.zeros((3, 2), np.float32), np.zeros(6, np.float32), strategies.laid_out(X, "read-only"),
                 strategies.at_offset(X, 1), np.lib.stride_tricks.as_strided(X, (2, 3), (0, 4))],
    "num_threads": [0, -1],
}  # fmt: skip


def refuse(name: str, error: type[Exception], beginning: str, **changed: Any) -> None:
    """A right call but for what changed: the error begins with an argument's name, and nothing has been written."""
    outputs = {"out": np.full((2, 3) if name in FULL else 2, 7, np.float32), "grad_out": np.full((2, 3), 7, np.float32)}
    upstream = np.ones((2, 3) if name in FULL else 2)
    arguments = {"input": X, "return_grad": True, "grad_output": upstream, **outputs, **changed}
    with np.errstate(all="raise"), pytest.raises(error, match=rf"^{beginning}: ") as refused:
        FAMILY[name](**arguments)
    assert refused.type is error
    assert all(np.all(output == 7) for output in outputs.values())


@pytest.mark.parametrize("argument", WRONG_TYPES)
def test_wrong_types(name: str, argument: str) -> None:
    for wrong in WRONG_TYPES[argument]:
        refuse(name, TypeError, argument, **{argument: wrong})


@pytest.mark.parametrize("argument", WRONG_VALUES)
def test_wrong_values(name: str, argument: str) -> None:
    for wrong in WRONG_VALUES[argument]:
        refuse(name, ValueError, argument, **{argument: wrong})


def test_what_needs_what(name: str) -> None:
    refuse(name, ValueError, "grad_output", return_grad=False, grad_out=None)
    refuse(name, ValueError, "grad_out", return_grad=False, grad_output=None)
    refuse(name, ValueError, "axis", input=np.float32(1), axis=1)
    refuse(name, ValueError, "axis", input=np.float32(1), axis=-2)
    if name == "logsumexp":
        refuse(name, TypeError, "keepdims", keepdims=np.array([1, 2]))
        refuse(name, ValueError, "out", keepdims=True, grad_output=np.ones((2, 1)))
        refuse(name, ValueError, "grad_output", keepdims=True, out=None)


def test_overlapping_memory(name: str) -> None:
    memory = np.arange(60, dtype=np.float32)
    input, shifted = memory[:6].reshape(2, 3), memory[1:7].reshape(2, 3)
    before = memory.copy()
    refuse(name, ValueError, "grad_out", input=input, grad_out=shifted)
    refuse(name, ValueError, "grad_out", input=input, grad_out=memory[:12].reshape(2, 6)[:, ::2])
    refuse(name, ValueError, "out", input=input, out=shifted if name in FULL else memory[5:7])
    upstream = memory[20:26].reshape(2, 3) if name in FULL else memory[20:22]
    refuse(name, ValueError, "out", grad_output=upstream, out=upstream)
    refuse(name, ValueError, "grad_out", grad_output=upstream, grad_out=memory[20:26].reshape(2, 3))
    out = memory[30:36].reshape(2, 3) if name in FULL else memory[30:32]
    refuse(name, ValueError, "grad_out", out=out, grad_out=memory[30:36].reshape(2, 3))
    if name in FULL:
        refuse(name, ValueError, "grad_out", input=input, out=input, grad_out=input)
    assert np.array_equal(memory, before)


# Enough blocks for 16 threads in each: rows, few classes, planes, one long row, few long rows.
THREAD_SHAPES = [((601, 1000), 1), ((60000, 10), 1), ((3, 21, 100, 100), 1), ((1, 300_001), 1), ((3, 100_000), 1),
                 ((40, 20000), 1), ((20, 70, 900), 1), ((300_001,), 0), ((70, 9000), 0)]  # fmt: skip


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_result_beyond_all_addresses(name: str) -> None:
    input = np.broadcast_to(np.int8(0), (2**31, 2**31))  # there is room for it, but not for as many float64
    with pytest.raises(ValueError, match=r"^input: the result would have shape \(2147483648, 2147483648\)"):
        FAMILY[name](input)


@pytest.mark.parametrize(("shape", "axis"), THREAD_SHAPES, ids=str)
def test_same_bits_on_any_number_of_threads(isa: str, dtype: np.dtype, shape: tuple, axis: int, name: str) -> None:
    input = np.random.default_rng(shape).normal(0, 3, shape).astype(dtype)
    classes_last = np.moveaxis(input, axis, -1)
    classes_last[..., -7] += 30  # one class dominates
    if len(shape) > 1:
        classes_last[0] += 1e5  # needs a shift
    expected = None
    for n in TEAMS:
        value = FAMILY[name](input, axis, num_threads=n)
        team = _engine.last_team_size()
        result = both(name, input, axis, num_threads=n)
        assert value.tobytes() == result[0].tobytes()
        bits = value.tobytes(), result[1].tobytes()
        expected = expected or bits
        assert bits == expected, f"{n} threads"
        if _engine.openmp():
            assert (team, _engine.last_team_size()) == (n, n)


def bits(name: str, rows: np.ndarray, upstream: np.ndarray, axis: int = 1, num_threads: int = 1) -> list[bytes]:
    """Each sample's value and gradient, samples first."""
    value, grad = both(name, rows, axis, grad_output=upstream, num_threads=num_threads)
    value = np.moveaxis(value, axis, -1) if name in FULL else value
    return [one.tobytes() + row.tobytes() for one, row in zip(value, np.moveaxis(grad, axis, -1), strict=True)]


@settings(max_examples=examples(60))
@given(st.data())
def test_a_row_does_not_depend_on_the_batch(isa: str, dtype: np.dtype, data: st.DataObject) -> None:
    n_classes = data.draw(st.integers(1, 70) | st.sampled_from([100, 1000, 16385, 33000]))
    n_samples = min(data.draw(st.integers(1, 70)), max(3, 100_000 // n_classes))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows = rows_of(rng, n_samples, n_classes, dtype, data.draw(st.booleans()))
    name = data.draw(st.sampled_from(list(FAMILY)))
    upstream = upstream_of(name, rows.shape, 1)
    expected = [bits(name, rows[i : i + 1], upstream[i : i + 1])[0] for i in range(n_samples)]
    assert bits(name, rows, upstream, num_threads=data.draw(st.integers(1, 3))) == expected
    assert bits(name, strategies.at_offset(rows, data.draw(st.integers(0, 63))), upstream) == expected
    assert bits(name, rows[::-1], upstream[::-1]) == expected[::-1]
    assert bits(name, np.repeat(rows, 2, axis=0)[::2], upstream) == expected
    wider = np.concatenate([rows, rows], axis=1)[:, :n_classes]
    assert bits(name, wider, upstream) == expected

    planes = np.zeros((n_classes, n_samples + 1), dtype)  # at least 2, so that the classes are no run
    planes[:, :n_samples] = rows.T
    upstream = upstream_of(name, planes.shape, 0)
    columns = [np.s_[:, i : i + 1] for i in range(n_samples + 1)]
    per_sample = [upstream[column] if name in FULL else upstream[column[1]] for column in columns]
    expected = [bits(name, planes[column], g, 0)[0] for column, g in zip(columns, per_sample, strict=True)]
    assert bits(name, planes, upstream, 0, data.draw(st.integers(1, 3))) == expected
    assert bits(name, planes[:, ::-1], upstream[..., ::-1], 0) == expected[::-1]
    assert bits(name, planes[:, ::2], upstream[..., ::2], 0) == expected[::2]


MEMORY = {
    "rows": lambda: (filled((SIZE // 4 // 32768, 32768), np.float32), 1),
    "few classes": lambda: (filled((SIZE // 64, 16), np.float32), 1),
    "planes": lambda: (filled((4, 16, SIZE // 4 // 64), np.float32), 1),
    "one row": lambda: (np.full((1, SIZE // 4), 0.5, np.float32), 1),
    "every other class": lambda: (filled((SIZE // 4 // 32768, 65536), np.float32)[:, ::2], 1),
    "half": lambda: (filled((SIZE // 2 // 32768, 32768), np.float16), 1),
}


def measure(case: str, name: str, copy: bool) -> tuple[int, int]:
    """What calls with every output given add, in bytes: as tracemalloc and as the system see it."""
    input, axis = MEMORY[case]()
    upstream = np.ones((1,) * input.ndim, np.float32)
    upstream = np.broadcast_to(upstream, input.shape) if name in FULL else np.ones(np.delete(input.shape, axis))
    FAMILY[name](X, return_grad=True, grad_output=np.ones((2, 3) if name in FULL else 2), num_threads=2)
    grad = np.zeros(input.shape, input.dtype)
    grad[...] = 1
    lse = np.ones(np.delete(input.shape, axis), np.float32)
    tracemalloc.start()
    before = resident("VmRSS")
    kept = input + 1 if copy else None
    both(name, input, axis, grad_output=upstream, grad_out=grad, out=input if name in FULL else lse)
    assert kept is None or kept.size
    return tracemalloc.get_traced_memory()[1], resident("VmHWM") - before


@pytest.mark.parametrize("case", [*MEMORY, "a copy, which is noticed"])
def test_no_full_temporary(name: str, case: str) -> None:
    if not STATUS.exists():
        pytest.skip(f"resident memory is read from {STATUS}, which this system has not")
    copy = case not in MEMORY
    command = [sys.executable, __file__, "rows" if copy else case, name, "copy" if copy else ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    for n_bytes in map(int, done.stdout.split()):
        assert (n_bytes > SIZE / 2) if copy else (n_bytes < LIMIT), f"{n_bytes / 2**20:.1f} MiB"


if __name__ == "__main__":
    print(*measure(sys.argv[1], sys.argv[2], bool(sys.argv[3])))
