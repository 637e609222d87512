"""xentc, large results in arrays made by each call: what the pages of a fresh result cost."""

from .xentc_ import bind, bind_grad


def forward(case):
    return bind(case) if case.spec.result == "each" else None  # elsewhere nothing of the logits' size is made


def forward_grad(case):
    return bind_grad(case)
