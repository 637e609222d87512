"""The arguments of the element-wise losses: outputs, overlap, refusals, broadcast weights, classes."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
import strategies
from checks import assert_same_bits
from test_elementwise import BCE, FUNCTIONS, HINGE, LOGITS, NAMES, none, problem

import xentc

LAYOUTS = ["C", "Fortran", "transposed", "stepped", "reversed", "sliced"]


def refuse(name: str, error: type[Exception], beginning: str, **changed: Any) -> str:
    """A right call but for what changed: the error begins with an argument's name, and nothing has been written."""
    out, grad_out = np.full((2, 3), 7, np.float32), np.full((2, 3), 7, np.float32)
    x = np.full((2, 3), 0.5, np.float32)
    call = {"input": x, "target": np.ones((2, 3)), "reduction": "none", "return_grad": True, "out": out}
    call |= {"grad_out": grad_out, **changed}
    with np.errstate(all="raise"), pytest.raises(error, match=rf"^{beginning}: ") as refused:
        FUNCTIONS[name](**call)
    assert refused.type is error
    assert np.all(out == 7)
    assert np.all(grad_out == 7)
    return str(refused.value)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", *strategies.HALVES])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_of_any_layout(isa: str, name: str, dtype: str, layout: str) -> None:
    x, t = problem(name, (3, 40, 5), dtype)
    expected = none(name, x, t)
    out = strategies.laid_out(np.empty(x.shape, expected[0].dtype), layout)
    grad_out = strategies.laid_out(np.empty(x.shape, x.dtype), layout)
    result = none(name, x, t, out=out, grad_out=grad_out)
    assert result[0] is out
    assert result[1] is grad_out
    assert_same_bits((np.array(out, order="C"), np.array(grad_out, order="C")), expected)
    in_place = strategies.laid_out(x.copy(), layout)
    result = none(name, in_place, t, grad_out=in_place)
    assert result[1] is in_place
    assert_same_bits((np.array(result[0], order="C"), np.array(in_place, order="C")), expected)


def test_in_place_where_the_input_is_broadcast() -> None:
    x, t = problem(HINGE, (4, 50), np.float32)
    x = x[:, :1].copy()
    expected = none(HINGE, x, t)
    assert_same_bits(none(HINGE, x, t, grad_out=x), expected)
    assert np.array_equal(x, expected[1])


@pytest.mark.parametrize("name", NAMES)
def test_overlap_is_refused(name: str) -> None:
    memory = np.full(40, 0.5, np.float32)
    x = memory[:6].reshape(2, 3)
    assert "input" in refuse(name, ValueError, "grad_out", input=x, grad_out=memory[1:7].reshape(2, 3))
    assert "input" in refuse(name, ValueError, "out", input=x, out=x)
    assert "target" in refuse(name, ValueError, "grad_out", target=x, grad_out=x)
    assert "out" in refuse(name, ValueError, "grad_out", out=x, grad_out=x)
    assert "grad_output" in refuse(name, ValueError, "grad_out", grad_output=x, grad_out=x)
    if name != HINGE:
        assert "weight" in refuse(name, ValueError, "grad_out", weight=memory[:3], grad_out=x)
    if name == LOGITS:
        assert "pos_weight" in refuse(name, ValueError, "grad_out", pos_weight=memory[:3], grad_out=x)
    assert np.all(memory == 0.5)


@pytest.mark.parametrize("name", NAMES)
def test_bad_arguments(name: str) -> None:
    refuse(name, TypeError, "input", input=np.ones((2, 3), bool))
    refuse(name, TypeError, "input", input=np.ones((2, 3), complex))
    refuse(name, TypeError, "input", input="text")
    refuse(name, TypeError, "target", target=np.ones((2, 3), complex))
    refuse(name, TypeError, "target", target=np.full((2, 3), "a"))
    refuse(name, ValueError, "target", target=np.ones((2, 4)))
    refuse(name, ValueError, "reduction", reduction="all")
    refuse(name, TypeError, "reduction", reduction=None)
    refuse(name, ValueError, "grad_output", grad_output=np.ones(3))
    refuse(name, ValueError, "grad_output", grad_output=1.0, return_grad=False, grad_out=None)
    refuse(name, ValueError, "grad_out", return_grad=False)
    refuse(name, ValueError, "out", reduction="mean")
    refuse(name, TypeError, "out", out=np.empty((2, 3)))
    refuse(name, TypeError, "grad_out", grad_out=np.empty((2, 3)))
    refuse(name, ValueError, "grad_out", grad_out=np.empty((3, 2), np.float32))
    refuse(name, ValueError, "num_threads", num_threads=0)
    refuse(name, TypeError, "num_threads", num_threads=1.5)
    with pytest.raises(TypeError, match=r"^num_threads: "):
        FUNCTIONS[name]([], [], num_threads="2")


@pytest.mark.parametrize("name", [BCE, LOGITS])
def test_shapes_that_do_not_fit(name: str) -> None:
    for shape in ((3,), (2, 1), (1, 2, 3), ()):
        assert str(shape) in refuse(name, ValueError, "target", target=np.ones(shape))
    for weight in ("weight", "pos_weight")[: 1 + (name == LOGITS)]:
        for shape in ((2,), (1, 2, 3), (3, 3), (4, 3)):
            assert str(shape) in refuse(name, ValueError, weight, **{weight: np.ones(shape)})
        refuse(name, TypeError, weight, **{weight: np.ones(3, complex)})
    one = np.full((1, 3), 0.5, np.float32)
    outputs = {"out": None, "grad_out": None}
    refuse(name, ValueError, "weight", input=one, target=one, weight=np.ones((2, 3)), **outputs)  # may not enlarge


def test_bad_margins() -> None:
    refuse(HINGE, TypeError, "margin", margin="1")
    refuse(HINGE, TypeError, "margin", margin=None)
    refuse(HINGE, ValueError, "margin", margin=[1.0, 2.0])
    refuse(HINGE, ValueError, "margin", margin=10**400)


@pytest.mark.parametrize("bad", [-1e-7, 1.0000002, np.nan, -np.nan, np.inf, -np.inf, 2, -1, -1e-45])
@pytest.mark.parametrize("argument", ["input", "target"])
def test_numbers_outside_0_to_1(isa: str, dtype: np.dtype, argument: str, bad: float) -> None:
    """Wherever they are, given outputs or not; and nothing has been written."""
    for shape, position in (((), ()), ((7,), (6,)), ((3, 5000), (2, 4321)), ((40000,), (39999,))):
        arrays = {"input": np.full(shape, 0.5, dtype), "target": np.ones(shape, dtype)}
        arrays[argument][position] = bad
        if 0 <= arrays[argument][position] <= 1:
            continue
        where = "" if not position else f" at {position[0] if len(position) == 1 else position}"
        for order in ("C", "F"):
            call = {name: np.array(array, order=order) for name, array in arrays.items()}
            grad_out = np.full(shape, 7, dtype)
            for given in ({}, {"weight": 0.0}, {"return_grad": True, "grad_out": grad_out}):
                with pytest.raises(ValueError, match=rf"^{argument}: got ") as refused:
                    xentc.binary_cross_entropy(**call, **given)
                assert str(refused.value).endswith(f"{where}, expected 0 to 1".replace("at ()", ""))
            out = np.full(shape, 7, dtype)
            with pytest.raises(ValueError, match=rf"^{argument}: got "):
                xentc.binary_cross_entropy(**call, reduction="none", out=out)
            assert np.all(out == 7)
            assert np.all(grad_out == 7)


WEIGHT_SHAPES = [(), (1,), (7,), (400, 1), (1, 7), (3, 1, 1), (3, 400, 7), (3, 1, 7), (3, 400, 1)]


@pytest.mark.parametrize("shape", WEIGHT_SHAPES, ids=str)
@pytest.mark.parametrize("weight_dtype", ["float32", "float64", "int32", "bool", "float16"])
def test_broadcast_weights_are_those_written_out(isa: str, dtype: np.dtype, shape: tuple, weight_dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, t = problem(LOGITS, (3, 400, 7), dtype)  # several tiles, which begin anywhere in a period
    weight, positive = rng.integers(0, 5, (2, *shape)).astype(weight_dtype)
    whole = [np.ascontiguousarray(np.broadcast_to(w, x.shape)) for w in (weight, positive)]
    for reduction in ("none", "mean"):
        options = {"reduction": reduction, "return_grad": True}
        ours = xentc.binary_cross_entropy_with_logits(x, t, weight, pos_weight=positive, **options)
        assert_same_bits(ours, xentc.binary_cross_entropy_with_logits(x, t, whole[0], pos_weight=whole[1], **options))


def test_nothing_is_expanded() -> None:
    x = np.broadcast_to(np.float32(0.5), (2000, 1000))
    t = np.broadcast_to(np.ones((1000,), np.float32), x.shape)
    row, column = np.ones(1000), np.ones((2000, 1), np.float16)
    tracemalloc.start()
    try:
        xentc.binary_cross_entropy(x, t, column, num_threads=1)
        xentc.binary_cross_entropy_with_logits(x, t, column, pos_weight=row, num_threads=1)
        xentc.hinge_embedding_loss(x[:1], t[:, :1], num_threads=1)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "shapes", [((5, 1), (5, 40)), ((40,), (3, 40)), ((), (7,)), ((2, 1, 3), (4, 1)), ((1, 5), (4, 1))]
)
def test_the_gradient_of_a_broadcast_input_is_a_sum(isa: str, dtype: np.dtype, shapes: tuple) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=shapes[0]).astype(dtype), rng.choice([-1, 1], shapes[1])
    whole = np.broadcast_to(x, np.broadcast_shapes(*shapes))
    upstream = rng.integers(-8, 8, whole.shape) / 4  # whose sums are exact
    loss, grad = none(HINGE, x, t, grad_output=upstream)
    each = none(HINGE, whole, np.broadcast_to(t, whole.shape), grad_output=upstream)
    assert loss.tobytes() == each[0].tobytes()
    lead = whole.ndim - x.ndim
    axes = tuple(i for i in range(whole.ndim) if i < lead or x.shape[i - lead] == 1)
    assert np.array_equal(grad, each[1].sum(axis=axes).reshape(x.shape))


def test_deprecated_arguments_name_the_callers_line() -> None:
    for call in (
        lambda: xentc.binary_cross_entropy([0.5], [1], reduce=False),
        lambda: xentc.BCELoss(reduce=False)([0.5], [1]),
        lambda: xentc.BCEWithLogitsLoss(size_average=True, reduce=False)([0.5], [1]),
        lambda: xentc.HingeEmbeddingLoss(reduce=False)([0.5], [1]),
    ):
        with pytest.warns(DeprecationWarning, match="size_average and reduce") as caught:
            assert call().shape == (1,)
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert xentc.binary_cross_entropy([0.5, 0.5], [1, 1], None, False) == 2 * np.log(2)


WEIGHT = np.array([0.5, 0.0, 2.0])
MODULES: list[tuple[type, str, dict[str, Any]]] = [
    (xentc.BCELoss, BCE, {}),
    (xentc.BCELoss, BCE, {"weight": WEIGHT, "reduction": "none"}),
    (xentc.BCEWithLogitsLoss, LOGITS, {"weight": WEIGHT.tolist(), "pos_weight": 2 * WEIGHT, "reduction": "sum"}),
    (xentc.BCEWithLogitsLoss, LOGITS, {"pos_weight": 3.0}),
    (xentc.HingeEmbeddingLoss, HINGE, {"margin": 0.5, "reduction": "sum"}),
]


@pytest.mark.parametrize(("module", "name", "options"), MODULES)
def test_a_class_is_its_function(module: type, name: str, options: dict) -> None:
    x, t = problem(name, (4, 3), np.float64)
    criterion = module(**options)
    assert_same_bits(criterion(x, t, return_grad=True), FUNCTIONS[name](x, t, return_grad=True, **options))
    assert_same_bits(
        (
            criterion(x, t, num_threads=2),
            *criterion(x, t, return_grad=True, grad_output=0.5, grad_out=np.empty((4, 3))),
        ),
        (FUNCTIONS[name](x, t, **options), *FUNCTIONS[name](x, t, return_grad=True, grad_output=0.5, **options)),
    )
    copy = pickle.loads(pickle.dumps(criterion))
    assert copy == criterion
    assert_same_bits((copy(x, t),), (criterion(x, t),))
    with pytest.raises(AttributeError):
        criterion.reduction = "mean"
    assert repr(module()) == f"{module.__name__}()"


def test_a_class_copies_its_weight() -> None:
    weight = WEIGHT.copy()
    criterion = xentc.BCEWithLogitsLoss(weight, pos_weight=weight)
    x, t = problem(LOGITS, (4, 3), np.float64)
    before = criterion(x, t)
    weight[:] = 9
    assert criterion(x, t) == before
    for bad in (np.ma.masked_array([1.0], [True]), "text", [[1], [1, 2]]):
        with pytest.raises((TypeError, ValueError), match=r"^weight: "):
            xentc.BCELoss(bad)
