"""CrossEntropyLoss's class weights: taken and refused as the function does, and out of the caller's reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import xentc

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5, 4))
TARGET = RNG.integers(5, size=(6, 4))
WEIGHT = np.array([0.5, 2.0, 0.25, 0.0, 1.0])


def test_weight_is_its_own() -> None:
    weight = WEIGHT.copy()
    criterion = xentc.CrossEntropyLoss(weight)
    before = criterion(LOGITS, TARGET)
    weight[:] = 7.0
    assert criterion(LOGITS, TARGET) == before
    assert weight.flags.writeable
    assert not criterion.weight.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        criterion.weight[0] = 5.0


class Capsule:
    """A tensor that NumPy knows by its capsule only."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.ndim = array, array.shape, array.ndim

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


WEIGHTS = {
    "list": WEIGHT.tolist(),
    "tuple": tuple(WEIGHT),
    "strided": np.repeat(WEIGHT, 2)[::2],
    "big-endian": WEIGHT.astype(">f8"),
    "float16": WEIGHT.astype(np.float16),
    "longdouble": WEIGHT.astype(np.longdouble),
    "bool": WEIGHT > 0.5,
    "read-only": np.frombuffer(WEIGHT.tobytes()),
    "capsule": Capsule(WEIGHT),
    "masked": np.ma.masked_array(WEIGHT, WEIGHT > 1),
    "matrix": WEIGHT,
    "object": WEIGHT.astype(object),
    "complex": WEIGHT.astype(complex),
    "strings": ["a"] * 5,
    "ragged": [[1.0], [2.0, 3.0], [], [], []],
    "text": "abcde",
    "two axes": WEIGHT[:, None],
    "scalar": 1.0,
    "array of no axes": np.array(1.0),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("kind", WEIGHTS)
def test_takes_and_refuses_the_weights_that_the_function_does(kind: str) -> None:
    weight = np.asmatrix(WEIGHT) if kind == "matrix" else WEIGHTS[kind]
    try:
        expected = xentc.cross_entropy(LOGITS, TARGET, weight)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error), match=r"^weight: got "):
            xentc.CrossEntropyLoss(weight)
    else:
        assert xentc.CrossEntropyLoss(weight)(LOGITS, TARGET) == expected


def test_takes_and_refuses_tensors_as_weight(torch: Any) -> None:
    weight = torch.tensor(WEIGHT)
    criterion = xentc.CrossEntropyLoss(weight)
    before = criterion(LOGITS, TARGET)
    weight[:] = 7.0
    assert criterion(LOGITS, TARGET) == before
    with pytest.raises(TypeError, match=r"^weight: .*\.detach\(\)"):
        xentc.CrossEntropyLoss(weight.requires_grad_())
    with pytest.raises(TypeError, match=r"^weight: .*bfloat16"):
        xentc.CrossEntropyLoss(torch.ones(5, dtype=torch.bfloat16))


def test_of_another_number_of_classes_is_the_calls_error() -> None:
    criterion = xentc.CrossEntropyLoss(WEIGHT)
    with pytest.raises(ValueError, match=r"^weight: got shape \(5,\), expected \(3,\)"):
        criterion([[1.0, 2.0, 3.0]], [0])
