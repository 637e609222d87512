"""CrossEntropyLoss: the function with its options fixed, bit for bit, and an object that nobody can change."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xentc

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5, 4))
TARGET = RNG.integers(5, size=(6, 4))
PROBABILITIES = RNG.dirichlet(np.ones(5), size=(6, 4)).transpose(0, 2, 1)
WEIGHT = np.array([0.5, 2.0, 0.25, 0.0, 1.0])

# Every argument of the constructor, each away from its default, alone and together.
OPTIONS: list[dict[str, Any]] = [
    {},
    {"weight": WEIGHT},
    {"weight": WEIGHT.tolist()},
    {"weight": np.array([1, 2, 3, 4, 5], np.int8)},
    {"size_average": False},
    {"reduce": False},
    {"ignore_index": 3},
    {"reduction": "sum"},
    {"reduction": "none"},
    {"label_smoothing": 0.25},
    {"axis": 1},
    {"softcap": 2.0},
    {"temperature": 0.5},
    {"lse_square_scale": 0.125},
    {
        "weight": WEIGHT,
        "ignore_index": 3,
        "reduction": "none",
        "label_smoothing": 0.25,
        "axis": -2,
        "softcap": 2.0,
        "temperature": 0.5,
        "lse_square_scale": 0.125,
    },
]
CALLS: list[dict[str, Any]] = [
    {},
    {"return_grad": True},
    {"sample_weight": RNG.random(TARGET.shape)},
    {"num_threads": 2},
    {"return_grad": True, "grad_output": 0.5, "sample_weight": RNG.random(TARGET.shape), "num_threads": 3},
]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options) or "defaults")
ignore_deprecation = pytest.mark.filterwarnings("ignore:size_average and reduce:DeprecationWarning")


def assert_same_bits(result: Any, expected: Any) -> None:
    assert type(result) is type(expected)
    if not isinstance(result, tuple):
        result, expected = (result,), (expected,)
    for one, other in zip(result, expected, strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@ignore_deprecation
@pytest.mark.parametrize("call", CALLS, ids=lambda call: ", ".join(call) or "plain")
@every_option
def test_agrees_with_the_function(isa: str, dtype: np.dtype, options: dict, call: dict) -> None:
    input = LOGITS.astype(dtype)
    for target in (TARGET, PROBABILITIES) if "ignore_index" not in options else (TARGET,):
        result = xentc.CrossEntropyLoss(**options)(input, target, **call)
        assert_same_bits(result, xentc.cross_entropy(input, target, **options, **call))


def test_every_option_is_tried() -> None:
    fields = {field.name for field in dataclasses.fields(xentc.CrossEntropyLoss)}
    call = set(inspect.signature(xentc.CrossEntropyLoss.__call__).parameters) - {"self"}
    assert set().union(*OPTIONS) == fields
    assert set().union(*CALLS) | {"input", "target", "out", "grad_out"} == call
    assert not fields & call
    assert fields | call == set(inspect.signature(xentc.cross_entropy).parameters)


def test_defaults_are_the_functions() -> None:
    function = inspect.signature(xentc.cross_entropy).parameters
    for method in (xentc.CrossEntropyLoss, xentc.CrossEntropyLoss.__call__):
        for name, parameter in inspect.signature(method).parameters.items():
            if name != "self":
                assert parameter.default == function[name].default
                assert parameter.kind == function[name].kind


def test_writes_where_it_is_told() -> None:
    input, out, grad_out = LOGITS.copy(), np.empty(TARGET.shape), np.empty(LOGITS.shape)
    criterion = xentc.CrossEntropyLoss(WEIGHT, reduction="none")
    expected = xentc.cross_entropy(LOGITS, TARGET, WEIGHT, reduction="none", return_grad=True)
    loss, grad = criterion(input, TARGET, return_grad=True, out=out, grad_out=grad_out)
    assert loss is out
    assert grad is grad_out
    assert_same_bits((loss, grad), expected)
    loss, grad = criterion(input, TARGET, return_grad=True, grad_out=input)
    assert grad is input
    assert_same_bits((loss, grad), expected)


@ignore_deprecation
def test_constructor_takes_torchs_arguments_in_order() -> None:
    order = ["weight", "size_average", "ignore_index", "reduce", "reduction", "label_smoothing"]
    values = [WEIGHT, True, 2, True, "sum", 0.25]
    by_position = xentc.CrossEntropyLoss(*values)
    assert by_position == xentc.CrossEntropyLoss(**dict(zip(order, values, strict=True)))
    for name, value in zip(order, values, strict=True):
        np.testing.assert_array_equal(getattr(by_position, name), value)
    with pytest.raises(TypeError, match="positional"):
        xentc.CrossEntropyLoss(*values, 1)


def test_order_is_torchs(torch: Any) -> None:
    theirs = list(inspect.signature(torch.nn.CrossEntropyLoss).parameters.values())
    ours = list(inspect.signature(xentc.CrossEntropyLoss).parameters.values())
    assert [(one.name, one.default) for one in ours[: len(theirs)]] == [(one.name, one.default) for one in theirs]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in ours[len(theirs) :])


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, ""),
        ({"reduction": "mean", "ignore_index": -100, "weight": None}, ""),
        ({"reduction": "none"}, "reduction='none'"),
        ({"temperature": 2.0, "ignore_index": 0, "axis": -1}, "ignore_index=0, axis=-1, temperature=2.0"),
        ({"weight": [1.0, 2.5]}, "weight=array([1. , 2.5])"),
        ({"size_average": False, "reduce": True}, "size_average=False, reduce=True"),
        ({"label_smoothing": 0.1, "softcap": 30.0, "lse_square_scale": 1e-4}, None),
    ],
)
def test_repr_shows_what_differs_from_the_defaults(options: dict, shown: str | None) -> None:
    criterion = xentc.CrossEntropyLoss(**options)
    if shown is not None:
        assert repr(criterion) == f"CrossEntropyLoss({shown})"
    names = {"CrossEntropyLoss": xentc.CrossEntropyLoss, "array": np.array}
    assert eval(repr(criterion), names) == criterion


def test_a_subclass_is_another_loss() -> None:
    class OtherLoss(xentc.CrossEntropyLoss):
        pass

    assert repr(OtherLoss(reduction="sum")) == "OtherLoss(reduction='sum')"
    assert OtherLoss() != xentc.CrossEntropyLoss()


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "replace": dataclasses.replace,
    **{
        f"pickle {protocol}": lambda criterion, protocol=protocol: pickle.loads(pickle.dumps(criterion, protocol))
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@ignore_deprecation
@pytest.mark.parametrize("make", COPIES.values(), ids=COPIES)
@every_option
def test_a_copy_is_equal_and_as_frozen(options: dict, make: Any) -> None:
    criterion = xentc.CrossEntropyLoss(**options)
    twin = make(criterion)
    assert twin is not criterion
    assert twin == criterion
    assert repr(twin) == repr(criterion)
    assert_same_bits(twin(LOGITS, TARGET), criterion(LOGITS, TARGET))
    with pytest.raises(dataclasses.FrozenInstanceError):
        twin.reduction = "sum"
    if twin.weight is not None:
        assert not twin.weight.flags.writeable


@every_option
def test_equality_compares_every_option(options: dict) -> None:
    criterion = xentc.CrossEntropyLoss(**options)
    assert criterion == xentc.CrossEntropyLoss(**copy.deepcopy(options))
    assert [other for other in OPTIONS if xentc.CrossEntropyLoss(**other) == criterion] in (
        [options],
        OPTIONS[1:3],  # a list and an array of the same weights
    )
    assert criterion != options


def test_equality_compares_weights_by_value() -> None:
    criterion = xentc.CrossEntropyLoss([1.0, np.nan])
    assert criterion == xentc.CrossEntropyLoss(np.array([1.0, np.nan]))
    assert criterion != xentc.CrossEntropyLoss([1.0, 2.0])
    assert criterion != xentc.CrossEntropyLoss([1.0, np.nan, 1.0])
    assert criterion != xentc.CrossEntropyLoss(np.array([1.0, np.nan], np.float32))
    assert criterion != xentc.CrossEntropyLoss()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(xentc.CrossEntropyLoss)] + ["new"])
def test_is_frozen(name: str) -> None:
    criterion = xentc.CrossEntropyLoss(WEIGHT)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(criterion, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(criterion, name)


def test_is_shared_between_threads() -> None:
    criterion = xentc.CrossEntropyLoss(WEIGHT, reduction="none", label_smoothing=0.1)
    inputs = RNG.normal(size=(64, 32, 5)).astype(np.float32)
    targets = RNG.integers(5, size=(64, 32))
    pairs = list(zip(inputs, targets, strict=True))
    expected = [xentc.cross_entropy(*pair, **vars(criterion), return_grad=True) for pair in pairs]

    def run(_: int) -> list:
        return [criterion(*pair, return_grad=True, num_threads=1) for pair in pairs]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(run, range(32)):
            for result, wanted in zip(results, expected, strict=True):
                assert_same_bits(result, wanted)


def test_unknown_keywords() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'beta'"):
        xentc.CrossEntropyLoss(beta=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'weight'"):
        xentc.CrossEntropyLoss()(LOGITS, TARGET, weight=WEIGHT)
    with pytest.raises(TypeError, match="positional"):
        xentc.CrossEntropyLoss()(LOGITS, TARGET, WEIGHT)


def test_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable type: 'CrossEntropyLoss'"):
        hash(xentc.CrossEntropyLoss())


def test_deprecation_names_the_callers_line() -> None:
    criterion = xentc.CrossEntropyLoss(size_average=False)
    with pytest.warns(DeprecationWarning, match="use reduction instead") as caught:
        criterion(LOGITS, TARGET)
    assert Path(caught[0].filename) == Path(__file__)
