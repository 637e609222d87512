"""xentc, what is as large as the logits going into buffers that the caller keeps."""

from functools import partial

import xentc


def bind(case, arguments=None, **more):
    # At the default the argument is left out, as a caller would: a keyword more is a measurable part of a tiny call.
    threads = {} if case.every_core else {"num_threads": case.threads}
    return partial(getattr(xentc, case.operation), *(arguments or case.arguments), **case.options, **threads, **more)


def bind_grad(case, arguments=None, **more):
    if not case.spec.gradient:
        return None
    upstream = {} if case.grad_output is None else {"grad_output": case.grad_output}
    return bind(case, arguments, return_grad=True, **upstream, **more)


def kept(case):
    return {"out": case.result} if case.spec.result == "each" else {}


def forward(case):
    return bind(case, **kept(case))


def forward_grad(case):
    return bind_grad(case, grad_out=case.buffer, **kept(case)) if case.spec.gradient else None
