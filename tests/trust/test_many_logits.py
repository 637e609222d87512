"""More than 2**31 logits: the right result, with and without writing one a sample."""

from __future__ import annotations

import numpy as np
import pytest
from entry_points import NAMES, bits, call, random_logits

CLASSES = 2**12
ROWS = 2**19 + 1  # of one row over and over, which takes no memory
SLOW = {"binary_cross_entropy", "binary_cross_entropy_with_logits", "hinge_embedding_loss", "multilabel_margin_loss"}
LOSSES = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in NAMES[:6]]
OTHERS = ["logsumexp", "score", "top_logprobs", "gather_logprobs"]


@pytest.mark.parametrize("name", LOSSES)
def test_a_sum(name: str) -> None:
    row = random_logits(1, CLASSES)
    one = call(name, row, reduction="sum", return_grad=False)
    if name == "nll_loss":  # the class is the last one of every row of the view
        one = -row[0, -1]
    elif name == "cross_entropy":
        one = np.log(np.exp(row[0].astype(float)).sum()) - row[0, -1]
    found = call(name, np.broadcast_to(row, (ROWS, CLASSES)), reduction="sum", return_grad=False)
    np.testing.assert_allclose(found, np.float64(one) * ROWS, rtol=3e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_each_row(name: str) -> None:
    row = random_logits(1, CLASSES)
    options = {} if name != "logsumexp" else {"return_grad": False}
    two = call(name, np.broadcast_to(row, (2, CLASSES)), **options)
    found = call(name, np.broadcast_to(row, (ROWS, CLASSES)), **options)
    pairs = zip(found, two, strict=True) if isinstance(found, tuple) else [(found, two)]
    for answer, expected in pairs:
        assert len(answer) == ROWS
        assert bits(answer[-1]) == bits(expected[1])
        assert (answer == answer[-1]).all()
