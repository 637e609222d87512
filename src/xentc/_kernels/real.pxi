# What every kernel stands on: the arithmetic of a logit, references, and where a sample lies.

cdef enum:
    LANES = 32              # samples or logits side by side; a fixed number, so that every ISA sums in one order
    CHUNK = 2048            # logits of a row that are loaded at a time
    PREFETCH_BYTES = 16384  # how far ahead of a long read: the arithmetic keeps the core's own prefetcher from it
    REFERENCE_LIMIT = 1 << 17
    LOGIT_LIMIT = 65000     # in size; n of the reduction stays below 2^17
    HEADROOM = 60           # powers of two that a sum may rise above its reference before it is done again


# What the compiler makes a loop of its own for: job.spread, with GIVEN split by whether there are class weights, and,
# where samples lie side by side, NONE by whether a shift is subtracted. One literal argument, as gcc clones a function
# for one.
cdef enum:
    LOOP_NONE, LOOP_EVEN, LOOP_WEIGHT, LOOP_GIVEN, LOOP_GIVEN_WEIGHT, LOOP_SHIFT


cdef inline bint spreads(int loop) noexcept nogil:
    return loop != LOOP_NONE and loop != LOOP_SHIFT


cdef inline bint weighs(int loop) noexcept nogil:
    return loop == LOOP_WEIGHT or loop == LOOP_GIVEN_WEIGHT


cdef inline bint takes_given(int loop) noexcept nogil:
    return loop == LOOP_GIVEN or loop == LOOP_GIVEN_WEIGHT


cdef inline real exp_over(real x, real magic) noexcept nogil:
    if real is float:
        return exp_over_f32(x, magic)
    else:
        return exp_over_f64(x, magic)


cdef inline real exp_over_scaled(real x, real magic, real scale) noexcept nogil:
    if real is float:
        return exp_over_scaled_f32(x, magic, scale)
    else:
        return exp_over_scaled_f64(x, magic, scale)


cdef inline real larger(real x, real best) noexcept nogil:
    if real is float:
        return larger_f32(x, best)
    else:
        return larger_f64(x, best)


cdef inline real at_least(real x, real low) noexcept nogil:
    if real is float:
        return at_least_f32(x, low)
    else:
        return at_least_f64(x, low)


cdef inline real madd(real a, real b, real c) noexcept nogil:
    if real is float:
        return madd_f32(a, b, c)
    else:
        return madd_f64(a, b, c)


cdef inline real times(real coefficient, real x) noexcept nogil:
    if real is float:
        return times_f32(coefficient, x)
    else:
        return times_f64(coefficient, x)


# A reference 2^m as the kernels carry it: the magic number of exp_over, and the logit below which exp(x) 2^-m is
# rounded to exactly 0 (smaller ones are clamped to it).
cdef inline real magic_of(double exponent, real _) noexcept nogil:
    return <real>((MAGIC_F32 + 127.0 if real is float else MAGIC_F64 + 1023.0) - exponent)


cdef inline double exponent_of(real magic) noexcept nogil:
    return (MAGIC_F32 + 127.0 if real is float else MAGIC_F64 + 1023.0) - <double>magic


cdef inline real lowest_of(double exponent, real _) noexcept nogil:
    return <real>((exponent - (127.0 if real is float else 1023.0)) * LN2)


cdef inline double reference_exponent(double row_max) noexcept nogil:
    """The power of two nearest exp(row_max), within what the reduction is good for."""
    return rint(min(max(row_max * LOG2E, -<double>REFERENCE_LIMIT), <double>REFERENCE_LIMIT))


cdef inline double skew_of(double n, real _) noexcept nogil:
    """By how much, as a logarithm, a sum of exp_over is too large whose terms are mostly of this n."""
    if real is float:
        return n * SKEW_F32
    else:
        return 0


cdef inline bint needs_shift(double row_max) noexcept nogil:
    """Beyond this the reduction loses bits; such rows have their largest logit subtracted first."""
    return row_max > LOGIT_LIMIT or -INFINITY < row_max < -LOGIT_LIMIT


cdef inline bint outgrows(double row_max, double exponent) noexcept nogil:
    """Whether a sum over this reference is to be done again over a higher one. Above LOGIT_LIMIT it will be anyway."""
    return row_max * LOG2E > exponent + HEADROOM and row_max <= LOGIT_LIMIT


cdef inline double two_sum_lost(double a, double b) noexcept nogil:
    """What a + b is rounded by (Knuth)."""
    cdef double total = a + b
    cdef double b_part = total - a
    return (a - (total - b_part)) + (b - b_part)


cdef inline char *sample_pointer(const Job *job, const Operand *operand, Py_ssize_t sample) noexcept nogil:
    cdef Py_ssize_t offset = 0
    cdef int axis = job.n_axes - 1
    while axis > 0:
        offset += sample % job.length[axis] * operand.stride_bytes[axis]
        sample //= job.length[axis]
        axis -= 1
    return operand.data + offset + sample * operand.stride_bytes[0]


cdef inline Py_ssize_t run_length(const Job *job, Py_ssize_t sample, Py_ssize_t end) noexcept nogil:
    """How many samples from this one lie on one stride of the inner axis."""
    cdef Py_ssize_t inner = job.length[job.n_axes - 1]
    return min(end - sample, inner - sample % inner)
