"""torch with log_softmax into a kept buffer: the pages of a fresh one are most of its eager time at large sizes."""

import torch

DISTRIBUTION = "torch"


def forward(case):
    torch.set_num_threads(case.threads)
    logits, kept = torch.from_numpy(case.logits), torch.from_numpy(case.buffer)
    target = torch.from_numpy(case.target).unsqueeze(1)

    def call():
        torch.log_softmax(logits, 1, out=kept)
        return -kept.gather(1, target).mean()

    return call


def forward_grad(case):
    return None  # autograd has no `out`
