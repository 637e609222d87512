"""torch with log_softmax into a kept buffer: the pages of a fresh one are most of its eager time at large sizes."""

from functools import partial

import torch

from .torch_ import tensor


def forward(case):
    torch.set_num_threads(case.threads)
    logits, kept = tensor(case.logits), tensor(case.buffer)
    if case.operation in ("softmax", "log_softmax"):
        return partial(getattr(torch, case.operation), logits, -1, out=kept)
    if case.operation == "top_logprobs":
        return lambda: tuple(torch.topk(torch.log_softmax(logits, 1, out=kept), case.options["k"], 1))
    if case.operation != "cross_entropy" or case.labels != "index":
        return None
    target = tensor(case.target).unsqueeze(1)

    def call():
        torch.log_softmax(logits, 1, out=kept)
        return -kept.gather(1, target).mean(dtype=torch.float64 if case.dtype == "f64" else torch.float32)

    return call


def forward_grad(case):
    return None  # autograd has no `out`
