"""More than 2**31 logits: right, whichever of the axes they lie along."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, NAMES, call, prepare, random_logits

MORE = 2**31 + 3
LOSSES = NAMES[:6]


@pytest.mark.parametrize("name", LOSSES)
def test_more_than_an_integer_counts(name: str) -> None:
    """Rows that are one row over and over: their sum is that of one, times their number."""
    classes = 2**12
    rows = MORE // classes + 1
    row = random_logits(1, classes)
    logits = np.broadcast_to(row, (rows, classes))
    one = call(name, row, reduction="sum", return_grad=False)
    if name == "multilabel_margin_loss":
        rows, logits = 2**19 + 1, np.broadcast_to(np.float32(0.5), (2**19 + 1, classes))
        one = 0.0  # no class is listed
    found = call(name, logits, reduction="sum", return_grad=False)
    np.testing.assert_allclose(found, np.float64(one) * rows, rtol=3e-7)
