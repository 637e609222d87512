"""xentc.cross_entropy of the same logits: what a function that tells more about them than the loss costs beside it."""

from dataclasses import replace

from operations import classes

from .xentc_ import bind

DOES_MORE = ("score", "top_logprobs")


def forward(case):
    if case.operation not in DOES_MORE:
        return None
    loss = bind(replace(case, operation="cross_entropy"), (case.logits, classes(case.shape, case.dtype)))

    def call():
        loss()  # and no answer: it is not the same one

    return call


def forward_grad(case):
    return None
