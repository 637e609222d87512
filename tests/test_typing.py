"""What is said to type checkers: shipped with the package, true when run, and no different from what is there."""

from __future__ import annotations

import inspect
import runpy
from importlib import resources
from pathlib import Path
from typing import get_overloads, get_type_hints

import pytest

import xentc
from xentc import functional

CALL = "return_grad=False, grad_output=None, out=None, grad_out=None, num_threads=None)"
SIGNATURES = {
    "cross_entropy": "(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, "
    "reduction='mean', label_smoothing=0.0, *, axis=None, sample_weight=None, softcap=None, temperature=1.0, "
    "lse_square_scale=0.0, " + CALL,
    "nll_loss": "(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction='mean', *, "
    "axis=None, sample_weight=None, " + CALL,
    "multilabel_margin_loss": "(input, target, size_average=None, reduce=None, reduction='mean', *, " + CALL,
}
OUTPUTS = "*, out=None, return_grad=False, grad_output=None, grad_out=None, num_threads=None)"
SIGNATURES |= {
    "softmax": f"(input, axis=-1, {OUTPUTS}",
    "log_softmax": f"(input, axis=-1, {OUTPUTS}",
    "logsumexp": f"(input, axis=-1, keepdims=False, {OUTPUTS}",
    "binary_cross_entropy": "(input, target, weight=None, size_average=None, reduce=None, reduction='mean', *, " + CALL,
    "binary_cross_entropy_with_logits": "(input, target, weight=None, size_average=None, reduce=None, "
    "reduction='mean', pos_weight=None, *, " + CALL,
    "hinge_embedding_loss": "(input, target, margin=1.0, size_average=None, reduce=None, reduction='mean', *, " + CALL,
}
CLASSES = (xentc.CrossEntropyLoss, xentc.NLLLoss, xentc.MultiLabelMarginLoss, xentc.BCELoss)


def bare(signature: inspect.Signature) -> str:
    parameters = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    assert bare(inspect.signature(getattr(xentc, name))) == SIGNATURES[name]


@pytest.mark.parametrize("public", [getattr(functional, n) for n in SIGNATURES] + [c.__call__ for c in CLASSES])
def test_overloads_name_every_parameter(public: object) -> None:
    names = set(inspect.signature(public).parameters)
    assert get_overloads(public)
    for overload in get_overloads(public):
        assert set(inspect.signature(overload).parameters) == names
        assert set(get_type_hints(overload)) == (names | {"return"}) - {"self"}


def test_package_says_that_it_is_typed() -> None:
    names = {file.name for file in resources.files("xentc").iterdir()}
    assert {"py.typed", "_arguments.pyi", "_arrays.pyi", "_engine.pyi"} <= names
    assert {"cpu.pyi", "baseline.pyi"} <= {file.name for file in resources.files("xentc._kernels").iterdir()}


def test_examples_run() -> None:
    runpy.run_path(str(Path(__file__).parent / "typing" / "examples.py"), run_name="__main__")
