"""What the memory can do: all that is read once, and all that is written once, by NumPy, one thread a core.

A loss has to read its operands, a gradient has to be written beside that, and so has a result as large as the input.
NumPy lets go of the GIL in both loops, so Python threads share the work as OpenMP threads would.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

# Below this the logits stay in cache, and handing parts to threads would be most of the time: memory is not the limit.
SMALLEST_BYTES = 16 * 2**20


def _parts(case, array):
    if array.dtype.itemsize == 2:
        array = array.view(np.int16)  # NumPy's max of half types is bound by arithmetic
    return np.array_split(array.reshape(-1), case.threads)


def _traffic(case, reads, copies):
    """A call that reads each array of `reads`, and copies each pair of `copies`: (to, from)."""
    if not case.spec.memory_bound or (case.logits.nbytes < SMALLEST_BYTES and not case.small):
        return None
    read_parts = [_parts(case, array) for array in reads]
    copy_parts = [(_parts(case, to), _parts(case, source)) for to, source in copies]
    pool = ThreadPoolExecutor(case.threads)

    def work(i):
        for parts in read_parts:
            parts[i].max()
        for to, source in copy_parts:
            np.copyto(to[i], source[i])

    def call():
        for _ in pool.map(work, range(case.threads)):
            pass

    return call


def _other_operands(case):
    return [array for array in case.arguments[1:] if array.shape == case.shape]


def forward(case):
    if case.spec.result == "each":
        return _traffic(case, _other_operands(case), [(case.result, case.logits)])
    return _traffic(case, [case.logits, *_other_operands(case)], [])


def forward_grad(case):
    if not case.spec.gradient:
        return None
    if case.spec.result == "each":
        return _traffic(case, [], [(case.result, case.logits), (case.buffer, case.grad_output)])
    reads = _other_operands(case)
    if case.spec.checked:
        reads = [case.logits, *reads, *reads]
    return _traffic(case, reads, [(case.buffer, case.logits)])
