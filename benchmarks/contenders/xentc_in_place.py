"""xentc, the gradient written over the logits. They are put back before each timing."""

import numpy as np

from .xentc_ import bind_grad, kept


def forward(case):
    return None


def forward_grad(case):
    if case.operation == "binary_cross_entropy":
        return None  # short calls are repeated, and its gradient is no probability
    own = case.logits.copy()
    call = bind_grad(case, (own, *case.arguments[1:]), grad_out=own, **kept(case))
    if call is not None:
        call.prepare = lambda: np.copyto(own, case.logits)
    return call
