"""torch, eager: the function, and its gradient by autograd. Every result is a fresh tensor, as torch has it."""

from functools import partial

import numpy as np
import torch
from torch.nn import functional


def score(logits, target):
    log_probabilities = torch.log_softmax(logits, 1)
    index, positions = target.unsqueeze(1), torch.arange(logits.shape[1])
    own = logits.gather(1, index)
    nll = -log_probabilities.gather(1, index)
    rank = ((logits > own) | ((logits == own) & (positions < index))).sum(1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1)
    return nll.squeeze(1), (own + nll).squeeze(1), rank, logits.argmax(1), entropy


def top_logprobs(logits, k):
    return tuple(torch.topk(torch.log_softmax(logits, 1), k, 1))


OWN = {
    "softmax": partial(torch.softmax, dim=-1),
    "log_softmax": partial(torch.log_softmax, dim=-1),
    "logsumexp": partial(torch.logsumexp, dim=-1),
    "score": score,
    "top_logprobs": top_logprobs,
}


def function_of(case):
    return OWN.get(case.operation) or getattr(functional, case.operation)


def tensor(array):
    if array.dtype.name == "bfloat16":  # torch takes it from NumPy under no name of its own
        return torch.from_numpy(array.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def forward(case, function=None):
    torch.set_num_threads(case.threads)
    # No torch.no_grad(): nothing requires a gradient here, and entering it is a third of a tiny call.
    return partial(function or function_of(case), *map(tensor, case.arguments), **case.options)


def forward_grad(case, function=None):
    if not case.spec.gradient:
        return None
    torch.set_num_threads(case.threads)
    logits, *others = map(tensor, case.arguments)
    logits.requires_grad_()
    function, options = function or function_of(case), case.options
    upstream = None if case.grad_output is None else tensor(case.grad_output)

    def call():
        result = function(logits, *others, **options)
        (gradient,) = torch.autograd.grad(result, logits, upstream)
        return result.detach(), gradient

    return call
