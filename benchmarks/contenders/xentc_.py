"""xentc, the gradient going into a buffer that the caller keeps."""

from functools import partial

import xentc

DISTRIBUTION = "xentc"


def options(case):
    # At the default the argument is left out, as a caller would: a keyword more is a measurable part of a tiny call.
    return {} if case.every_core else {"num_threads": case.threads}


def forward(case):
    return partial(xentc.cross_entropy, case.logits, case.target, **options(case))


def forward_grad(case):
    return partial(
        xentc.cross_entropy, case.logits, case.target, return_grad=True, grad_out=case.buffer, **options(case)
    )
