"""What a type checker knows of each call. Checked by mypy and basedpyright, and run by test_typing.py."""

import warnings
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypeAlias, assert_type

import numpy as np
from numpy.typing import NDArray

from xentc import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Evaluation,
    Evaluator,
    HingeEmbeddingLoss,
    MultiLabelMarginLoss,
    NLLLoss,
    Scores,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gather_logprobs,
    get_num_threads,
    hinge_embedding_loss,
    log_softmax,
    logsumexp,
    multilabel_margin_loss,
    nll_loss,
    score,
    set_num_threads,
    show_config,
    softmax,
    top_logprobs,
)

Scalar: TypeAlias = np.floating[Any]
Losses: TypeAlias = NDArray[np.floating[Any]]
Loss: TypeAlias = Scalar | Losses
Grad: TypeAlias = NDArray[Any]
Values: TypeAlias = NDArray[Any]

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


def elementwise(reduction: str, return_grad: bool) -> None:
    bits = np.array([[0, 1, 0], [1, 0, 1]])
    each = np.empty_like(logits)
    assert_type(binary_cross_entropy([0.7], [1.0]), Scalar)
    assert_type(binary_cross_entropy(0.7, True, 2.0, reduction="sum", return_grad=True), tuple[Scalar, Grad])
    assert_type(binary_cross_entropy_with_logits(logits, bits, pos_weight=weight), Scalar)
    assert_type(binary_cross_entropy_with_logits(logits, bits, weight, reduction="none", out=each), Losses)
    assert_type(hinge_embedding_loss(logits, [1, -1, 1], 0.5, reduction="none", return_grad=True), tuple[Losses, Grad])
    assert_type(hinge_embedding_loss(logits, bits, reduction=reduction), Loss)
    assert_type(hinge_embedding_loss(logits, bits, return_grad=return_grad), Loss | tuple[Loss, Grad])
    assert_type(BCELoss(weight)([0.7, 0.5, 0.1], [1, 0, 1]), Loss)
    assert_type(BCEWithLogitsLoss(pos_weight=weight)(logits, bits, return_grad=True), tuple[Loss, Grad])
    assert_type(HingeEmbeddingLoss(0.5)(logits, bits, return_grad=return_grad), Loss | tuple[Loss, Grad])


def softmax_family(return_grad: bool) -> None:
    assert_type(softmax(logits), Values)
    assert_type(softmax(logits, 0, out=np.empty_like(logits), num_threads=1), Values)
    assert_type(softmax(logits, return_grad=True, grad_output=logits, grad_out=grad), tuple[Values, Grad])
    assert_type(softmax(logits, return_grad=return_grad, grad_output=logits if return_grad else None),
                Values | tuple[Values, Grad])  # fmt: skip
    assert_type(log_softmax([[1.0, 2.0]], axis=np.int8(-1)), Values)
    assert_type(log_softmax(Tensor(), return_grad=True, grad_output=[[1] * 3] * 2), tuple[Values, Grad])
    assert_type(logsumexp(logits, 1, True), Losses)
    assert_type(logsumexp(logits, return_grad=True, grad_output=losses, out=np.empty(2, np.float32)),
                tuple[Losses, Grad])  # fmt: skip


def evaluation() -> None:
    evaluator = Evaluator(weight=weight, ignore_index=np.int64(7), top_k=[1, np.int8(3)], bins=10, per_class=True)
    evaluator.update(logits, target, sample_weight=[1, 2], num_threads=1)
    evaluator.update([[1.0, 2.0, 3.0]], [0])
    other = Evaluator(weight=weight, ignore_index=7, top_k=(1, 3), bins=10, per_class=True)
    other.load_state_dict(evaluator.state_dict())
    other.merge(evaluator)
    assert_type(other.compute(), Evaluation)
    assert_type(other.compute().loss, float)
    assert_type(other.compute().top_k[3], float)
    assert_type(other.compute().class_loss, tuple[float, ...] | None)
    assert_type(other.compute().bins[0].samples, int)
    other.reset()


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
    softmax(logits, return_grad=True)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    softmax(logits, None)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    criterion(logits, target, grad_output=1.0)  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    multilabel_margin_loss(logits, target, weight)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    nll_loss(logits, target, label_smoothing=0.1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    criterion(logits, target, weight=weight)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    criterion.reduction = "sum"  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    Evaluator(weight)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Evaluator().compute().loss = 1.0  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    key: Hashable = criterion  # type: ignore[assignment] # pyright: ignore[reportAssignmentType]


def scores() -> None:
    assert_type(score(logits, target), Scores)
    assert_type(score(logits, target, axis=-1, ignore_index=0, num_threads=1).rank, NDArray[np.int64])
    assert_type(top_logprobs(logits, 2), tuple[Losses, NDArray[np.int64]])
    assert_type(gather_logprobs(logits, target), Losses)
    assert_type(gather_logprobs(Tensor(), [[0], [1]], axis=1), Losses)


if __name__ == "__main__":
    for known in ("mean", "sum", "none"):
        function(known, False)
        function(known, True)
        siblings(known, False)
        siblings(known, True)
    scores()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        deprecated()
    what_is_read()
    what_can_be_done_with_it()
    softmax_family(False)
    softmax_family(True)
    object_with_options(False)
    object_with_options(True)
    elementwise("none", True)
    evaluation()
    settings()
