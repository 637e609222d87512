"""torch, eager: cross_entropy, and its gradient by autograd. Every result is a fresh tensor, as torch has it."""

from functools import partial

import torch
from torch.nn.functional import cross_entropy

DISTRIBUTION = "torch"


def forward(case):
    torch.set_num_threads(case.threads)
    # No torch.no_grad(): nothing requires a gradient here, and entering it is a third of a tiny call.
    return partial(cross_entropy, torch.from_numpy(case.logits), torch.from_numpy(case.target))


def forward_grad(case):
    torch.set_num_threads(case.threads)
    target = torch.from_numpy(case.target)
    logits = torch.from_numpy(case.logits).requires_grad_()

    def call():
        loss = cross_entropy(logits, target)
        (gradient,) = torch.autograd.grad(loss, logits)
        return loss.detach(), gradient

    return call
