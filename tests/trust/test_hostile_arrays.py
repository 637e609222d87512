"""Arrays and arguments that say one thing and are another, or that change others while a call reads them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, NAMES, bits, random_logits

import xentc


class LyingShape(np.ndarray):
    @property
    def shape(self) -> Any:
        return (1000, 1000)


class LyingFlags(np.ndarray):
    @property
    def flags(self) -> Any:
        return np.zeros(1).flags


class LyingDtype(np.ndarray):
    @property
    def dtype(self) -> Any:
        raise RuntimeError("no dtype today")


class LyingStrides(np.ndarray):
    @property
    def strides(self) -> Any:
        return (4000, 4)


BIG = np.zeros((1000, 1000), np.float32)


@pytest.mark.parametrize("function", [xentc.softmax, xentc.log_softmax])
def test_out_is_what_it_is(function: Callable[..., Any]) -> None:
    """A subclass may say what it likes of itself: it is written to as what it is."""
    for wrong in (np.zeros((2, 2), np.float32).view(LyingShape), np.zeros((1000, 500), np.float32).view(LyingStrides)):
        with pytest.raises(ValueError, match=r"^out: got shape"):
            function(BIG, 1, out=wrong)
    locked = np.zeros_like(BIG)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match=r"^out: got a read-only array"):
        function(BIG, 1, out=locked.view(LyingFlags))
    fine = np.zeros_like(BIG).view(LyingDtype)
    assert function(BIG, 1, out=fine) is fine


@pytest.mark.parametrize("name", [name for name in NAMES if ENTRY_POINTS[name][2]])
def test_grad_out_is_what_it_is(name: str) -> None:
    function, operands, _ = ENTRY_POINTS[name]
    options: dict[str, Any] = operands(BIG) | {"return_grad": True}
    if name in ("softmax", "log_softmax", "logsumexp"):
        options["grad_output"] = np.ones(BIG.shape[: 1 if name == "logsumexp" else 2], np.float32)
    with pytest.raises(ValueError, match=r"^grad_out: got shape"):
        function(**options, grad_out=np.zeros((2, 2), np.float32).view(LyingShape))
    # An overlap that its strides deny.
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(2000, np.float32), BIG.shape, (4, 4)).view(LyingStrides)
    with pytest.raises(ValueError, match=r"^grad_out: got strides"):
        function(**options, grad_out=overlapping)


def during(action: Callable[[], object], answer: object) -> object:
    """An argument that acts when it is asked for its number."""

    class Acting:
        def __index__(self) -> object:
            action()
            return answer

        def __array__(self, dtype: Any = None, copy: Any = None) -> object:
            action()
            return np.asarray(answer)

    return Acting()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("changes", ["input", "target", "grad_out", "out"])
def test_a_shape_that_changes_meanwhile(name: str, changes: str) -> None:
    """Refused, or computed as it was before; never read by a shape that it no longer has."""
    function, operands, has_grad = ENTRY_POINTS[name]
    last = {
        "cross_entropy": ("ignore_index", "weight", "sample_weight", "label_smoothing", "temperature", "num_threads"),
        "nll_loss": ("ignore_index", "weight", "sample_weight", "num_threads"),
        "hinge_embedding_loss": ("margin", "num_threads"),
        "score": ("ignore_index", "num_threads"),
        "gather_logprobs": ("axis", "num_threads"),
    }.get(name, ("axis", "num_threads") if "softmax" in name or name == "logsumexp" else ("weight", "num_threads"))
    if name == "top_logprobs":
        last = ("k", "num_threads")
    if name == "multilabel_margin_loss":
        last = ("num_threads",)
    for argument in last:
        x = random_logits(4, 20_000)
        options: dict[str, Any] = dict(operands(x))
        if has_grad:
            options |= {"return_grad": True, "grad_out": np.zeros_like(x)}
            if name in ("softmax", "log_softmax"):
                options |= {"grad_output": np.ones_like(x), "out": np.zeros_like(x)}
            elif name == "logsumexp":
                options |= {"grad_output": np.ones(4), "out": np.zeros(4, np.float32)}
        if not isinstance(options.get(changes), np.ndarray) or 0 in options[changes].strides:
            continue
        changed = options[changes]
        turned = changed.shape[::-1] if changed.ndim == 2 else (2, changed.size // 2)
        answer = {"weight": np.ones(20_000), "sample_weight": np.ones(4), "label_smoothing": 0.1, "margin": 1.0}
        answer |= {"temperature": 2.0, "num_threads": 2, "axis": 1, "k": 2, "ignore_index": -100}
        if name.startswith("binary"):
            answer["weight"] = np.ones(1)

        def turn(changed: np.ndarray = changed, turned: tuple[int, ...] = turned) -> None:
            with warnings.catch_warnings():  # which it has been deprecated to do, from NumPy 2.5 on
                warnings.simplefilter("ignore", DeprecationWarning)
                changed.shape = turned

        before = bits(function(**options | {argument: answer[argument]}))
        options[argument] = during(turn, answer[argument])
        try:
            result = function(**options)
        except (ValueError, IndexError):
            assert changed.shape == turned
        else:
            # As it was, or as it is: never one with the sizes of the other.
            assert bits(result) == before or bits(result) == bits(function(**options | {argument: answer[argument]}))


def raising(attribute: str, error: type[BaseException] = RuntimeError) -> object:
    def fail(self: object) -> object:
        raise error("not today")

    return type("Foreign", (), {attribute: property(fail)})()


ODD = {
    "module": type("Odd", (), {"__module__": 5})(),
    "torch_requires_grad": type("Odd", (), {"__module__": "torch", "requires_grad": property(lambda self: 1 / 0)})(),
    "torch_dtype": type("Odd", (), {"__module__": "torch", "dtype": property(lambda self: 1 / 0)})(),
    **{name: raising(name) for name in ("__dlpack_device__", "__class__", "ndim", "__array__", "shape", "dtype")},
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_attributes_that_fail(name: str, odd: str) -> None:
    """Whatever a foreign property raises becomes an error that begins with the argument's name."""
    function, operands, has_grad = ENTRY_POINTS[name]
    options = operands(random_logits(3, 4))
    others = ("axis", "num_threads", "weight", "label_smoothing", "ignore_index", "reduction", "margin")
    known = function.__kwdefaults__ or {}
    names = [*options, *(o for o in others if o in known or o in function.__code__.co_varnames)]
    for argument in names + (["out", "grad_out", "grad_output"] if has_grad else []):
        given = options | {argument: ODD[odd]}
        if argument in ("grad_out", "grad_output"):
            given["return_grad"] = True
        if argument == "out" and "reduction" in function.__code__.co_varnames:
            given["reduction"] = "none"
        with pytest.raises((TypeError, ValueError), match=rf"^{argument}: |^grad_output: "):
            function(**given)
    with pytest.raises((TypeError, ValueError), match=r"^target: |^input: "):
        xentc.cross_entropy(np.array(1.0), ODD[odd])
