"""What a type checker knows of each call. Checked by mypy and basedpyright, and run by test_typing.py."""

import warnings
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeAlias, assert_type

import numpy as np
from numpy.typing import NDArray

from xentc import (
    CrossEntropyLoss,
    MultiLabelMarginLoss,
    NLLLoss,
    cross_entropy,
    get_num_threads,
    multilabel_margin_loss,
    nll_loss,
    set_num_threads,
    show_config,
)

Scalar: TypeAlias = np.floating[Any]
Losses: TypeAlias = NDArray[np.floating[Any]]
Loss: TypeAlias = Scalar | Losses
Grad: TypeAlias = NDArray[Any]

logits = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)
target = np.array([0, 2])
weight = np.array([0.5, 2.0, 0.25])
losses = np.empty(2, np.float32)
grad = np.empty_like(logits)


class Tensor:
    """Of a library that NumPy knows only by its capsule."""

    def __dlpack__(self, *, stream: int | None = None, **versions: object) -> object:
        return logits.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class Column:
    """Of a library that makes an array of itself."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.int64]:
        return target


def function(reduction: str, return_grad: bool) -> None:
    # A scalar: 'mean', which is the default, and 'sum'.
    assert_type(cross_entropy(logits, target), Scalar)
    assert_type(cross_entropy(logits, target, reduction="sum"), Scalar)
    assert_type(cross_entropy(logits, target, weight, None, -100, None, "sum", 0.1), Scalar)
    assert_type(cross_entropy(logits, target, return_grad=False), Scalar)
    assert_type(cross_entropy(logits, target, return_grad=True), tuple[Scalar, Grad])
    assert_type(cross_entropy(logits, target, reduction="sum", return_grad=True, grad_out=grad), tuple[Scalar, Grad])
    # One loss a sample.
    assert_type(cross_entropy(logits, target, reduction="none"), Losses)
    assert_type(cross_entropy(logits, target, weight, reduction="none", out=losses), Losses)
    assert_type(
        cross_entropy(logits, target, reduction="none", return_grad=True, grad_output=[1.0, 2.0]), tuple[Losses, Grad]
    )
    # A reduction that is not known here, or given by position where it may be any.
    assert_type(cross_entropy(logits, target, reduction=reduction), Loss)
    assert_type(cross_entropy(logits, target, None, None, -100, None, "none"), Loss)
    assert_type(cross_entropy(logits, target, reduction=reduction, return_grad=True), tuple[Loss, Grad])
    # Whether the gradient comes is not known here.
    assert_type(cross_entropy(logits, target, return_grad=return_grad), Loss | tuple[Loss, Grad])
    assert_type(cross_entropy(logits, target, reduction="none", return_grad=return_grad), Loss | tuple[Loss, Grad])


def deprecated() -> None:
    assert_type(cross_entropy(logits, target, reduce=False), Loss)
    assert_type(cross_entropy(logits, target, size_average=False, return_grad=True), tuple[Loss, Grad])


def what_is_read() -> None:
    assert_type(cross_entropy([[4.0, 1.0, 2.0]], [0]), Scalar)
    assert_type(cross_entropy([4.0, 1.0, 2.0], 0), Scalar)
    assert_type(cross_entropy(logits, [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), Scalar)
    assert_type(cross_entropy(Tensor(), Column(), (1, 2, 3), sample_weight=[1, 2]), Scalar)
    options = cross_entropy(
        logits,
        target,
        ignore_index=np.int64(7),
        label_smoothing=np.float32(0.5),
        axis=np.int8(1),
        softcap=30,
        temperature=2,
        lse_square_scale=1e-4,
        num_threads=np.int64(2),
    )
    assert_type(options, Scalar)


def what_can_be_done_with_it() -> float:
    loss, gradient = cross_entropy(logits, target, return_grad=True)
    each = cross_entropy(logits, target, reduction="none")
    assert_type(gradient.shape, tuple[Any, ...])
    return float(loss) + float(each[0]) + float(each[target == 0].sum())


def object_with_options(return_grad: bool) -> None:
    criterion = CrossEntropyLoss(weight, None, -100, None, "mean", 0.1, axis=1, temperature=2.0)
    assert_type(criterion, CrossEntropyLoss)
    assert_type(criterion(logits, target), Loss)
    assert_type(criterion(logits, target, sample_weight=[1, 2], num_threads=1), Loss)
    assert_type(criterion(logits, target, return_grad=True, grad_output=2.0, grad_out=grad), tuple[Loss, Grad])
    assert_type(criterion(logits, target, return_grad=return_grad), Loss | tuple[Loss, Grad])
    assert_type(CrossEntropyLoss(reduction="none")(logits, target, out=losses), Loss)
    assert_type(float(criterion(Tensor(), Column())), float)
    assert_type(criterion == CrossEntropyLoss(), bool)
    assert_type(criterion.reduction, str)


def siblings(reduction: str, return_grad: bool) -> None:
    assert_type(nll_loss(logits, target, weight, sample_weight=[1, 2], axis=1), Scalar)
    assert_type(nll_loss(logits, target, reduction="sum", return_grad=True), tuple[Scalar, Grad])
    assert_type(nll_loss(logits, target, reduction="none", out=losses), Losses)
    assert_type(nll_loss(logits, target, reduction="none", return_grad=True, grad_output=2.0), tuple[Losses, Grad])
    assert_type(nll_loss(logits, target, reduction=reduction), Loss)
    assert_type(nll_loss(logits, target, reduction=reduction, return_grad=return_grad), Loss | tuple[Loss, Grad])
    assert_type(NLLLoss(weight, ignore_index=1, axis=1)(logits, target, sample_weight=[1, 2]), Loss)
    assert_type(NLLLoss()(logits, target, return_grad=True, grad_out=grad), tuple[Loss, Grad])
    assert_type(NLLLoss()(logits, target, return_grad=return_grad), Loss | tuple[Loss, Grad])
    lists = [[0, -1, 0], [2, 1, -1]]
    assert_type(multilabel_margin_loss(logits, lists), Scalar)
    assert_type(multilabel_margin_loss(3, 0, return_grad=True), tuple[Scalar, Grad])
    assert_type(multilabel_margin_loss(logits, lists, reduction="none", out=losses), Losses)
    assert_type(multilabel_margin_loss(logits, lists, reduction="none", return_grad=True), tuple[Losses, Grad])
    assert_type(multilabel_margin_loss(logits, lists, None, None, reduction), Loss)
    assert_type(
        multilabel_margin_loss(logits, lists, reduction=reduction, return_grad=return_grad), Loss | tuple[Loss, Grad]
    )
    assert_type(MultiLabelMarginLoss(reduction="sum")(logits, lists), Loss)
    assert_type(MultiLabelMarginLoss()(logits, lists, return_grad=True, grad_out=grad), tuple[Loss, Grad])
    assert_type(MultiLabelMarginLoss()(logits, lists, return_grad=return_grad), Loss | tuple[Loss, Grad])


def settings() -> None:
    assert_type(get_num_threads(), int)
    set_num_threads(None)
    assert_type(show_config("dicts"), dict[str, object] | None)


if TYPE_CHECKING:
    # Refused: each of these is an error, and an ignore that hides none would be one too.
    criterion = CrossEntropyLoss()
    cross_entropy(logits)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    cross_entropy(logits, target, reduction=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    cross_entropy(logits, target, axis=1.0)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    cross_entropy(logits, target, grad_out=grad)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    criterion(logits, target, grad_output=1.0)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    multilabel_margin_loss(logits, target, weight)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    nll_loss(logits, target, label_smoothing=0.1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    criterion(logits, target, weight=weight)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    criterion.reduction = "sum"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    key: Hashable = criterion  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


if __name__ == "__main__":
    for known in ("mean", "sum", "none"):
        function(known, False)
        function(known, True)
        siblings(known, False)
        siblings(known, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        deprecated()
    what_is_read()
    what_can_be_done_with_it()
    object_with_options(False)
    object_with_options(True)
    settings()
