"""scikit-learn's metric log_loss, of scipy.special's softmax in float64: it clips probabilities at the dtype's eps."""

import numpy as np
from operations import HALVES
from scipy.special import softmax
from sklearn.metrics import log_loss

LARGEST = 2**26  # it makes the targets one-hot, in int64 and then in the probabilities' dtype: GiBs beyond this


def forward(case):
    plain = case.operation == "cross_entropy" and case.labels == "index" and len(case.shape) == 2
    if not plain or case.dtype in HALVES or case.shape[1] > case.size // 2 or case.size > LARGEST:
        return None
    logits, target, labels = case.logits, case.target, np.arange(case.shape[1])
    return lambda: log_loss(target, softmax(logits.astype(np.float64), axis=1), labels=labels)


def forward_grad(case):
    return None  # a metric has none
