"""scikit-learn's private losses, sklearn._loss: Cython with OpenMP, what its estimators are trained with."""

import numpy as np
from operations import HALVES
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss


def _bound(case):
    """The loss, and the arguments of its two methods; None for what it cannot do."""
    if case.dtype in HALVES:
        return None
    if case.operation == "binary_cross_entropy_with_logits":
        loss, raw, target = HalfBinomialLoss(), case.logits.reshape(-1), case.target.reshape(-1)
    elif case.operation == "cross_entropy" and case.labels == "index" and len(case.shape) == 2:
        loss, raw = HalfMultinomialLoss(n_classes=case.shape[1]), case.logits
        target = case.target.astype(raw.dtype)
    else:
        return None
    # The mean by equal weights: there is no other way to have its gradient too.
    options = {"sample_weight": np.full(len(raw), 1 / len(raw), raw.dtype), "n_threads": case.threads}
    options["loss_out"] = np.empty(len(raw), raw.dtype)
    return loss, {"y_true": target, "raw_prediction": raw} | options


def forward(case):
    bound = _bound(case)
    if bound is None:
        return None
    loss, options = bound
    return lambda: loss.loss(**options).sum()


def forward_grad(case):
    bound = _bound(case)
    if bound is None:
        return None
    loss, options = bound
    raw = options["raw_prediction"]
    options["gradient_out"] = gradient_out = case.buffer.reshape(raw.shape)

    def call():
        losses, _ = loss.loss_gradient(**options)
        return losses.sum(), gradient_out.reshape(case.shape)

    return call
