# What this CPU and its operating system support. Compiled at the platform's floor, so that asking is always safe.

cdef extern from "cpu.h" nogil:
    bint cpu_supports(int level)

cdef dict LEVELS = {"x86_v3": 3, "x86_v4": 4}


def supports(str isa):
    """Whether this machine can run the kernels of an ISA by name. Below the baseline, their import says so."""
    return isa == "baseline" or (isa in LEVELS and cpu_supports(LEVELS[isa]))
