# What every kernel stands on: the arithmetic of a logit, references, and where a sample lies.

cdef enum:
    LANES = 32              # samples or logits side by side; a fixed number, so that every ISA sums in one order
    CHUNK = 2048            # logits of a row that are loaded at a time
    REFERENCE_LIMIT = 1 << 17
    LOGIT_LIMIT = 65000     # in size; see (c) of terms.h
    HEADROOM = 60           # powers of two that a sum may rise above its reference before it is done again
    DEPTH = 76              # and lie below it: 131072 terms that are wrong (terms.h) are then 2^-33 of it


# What the compiler makes a loop of its own for: job.spread, with GIVEN split by whether there are class weights, and,
# where samples lie side by side, NONE by whether a shift is subtracted, and in rows, by halves that are widened on the
# way. One literal argument, as gcc clones a function for one.
cdef enum:
    LOOP_NONE, LOOP_EVEN, LOOP_WEIGHT, LOOP_GIVEN, LOOP_GIVEN_WEIGHT, LOOP_SHIFT, LOOP_BF16, LOOP_F16


cdef inline bint spreads(int loop) noexcept nogil:
    return LOOP_EVEN <= loop <= LOOP_GIVEN_WEIGHT


cdef inline bint weighs(int loop) noexcept nogil:
    return loop == LOOP_WEIGHT or loop == LOOP_GIVEN_WEIGHT


cdef inline bint takes_given(int loop) noexcept nogil:
    return loop == LOOP_GIVEN or loop == LOOP_GIVEN_WEIGHT


cdef inline bint widens(int loop) noexcept nogil:
    return loop == LOOP_BF16 or loop == LOOP_F16


# exp(x) 2^-m of LANES logits at a time (terms.h): over one reference, over one a lane, and times a factor. flush, a
# literal: whether terms below 2^-126 are 0, as they have to be where they are not merely added up.
cdef inline void exp_terms(const real *x, real low, real magic, real *terms) noexcept nogil:
    if real is float:
        exp_terms_f32(x, low, magic, terms)
    else:
        exp_terms_f64(x, low, magic, terms)


cdef inline void exp_kept_terms(const real *x, real low, real magic, real *terms) noexcept nogil:
    """exp_terms that stand for themselves: 0 below 2^-126."""
    if real is float:
        exp_kept_terms_f32(x, low, magic, terms)
    else:
        exp_terms_f64(x, low, magic, terms)


cdef inline void exp_falling_terms(const real *x, real low, real magic, real centre, real *terms,
                                   real *fall) noexcept nogil:
    """exp_terms, and how far below the centre they lie: fall gets exp(x) (centre - x) added."""
    if real is float:
        exp_falling_terms_f32(x, low, magic, centre, terms, fall)
    else:
        exp_falling_terms_f64(x, low, magic, centre, terms, fall)


cdef inline void exp_lanes(const real *x, const real *low, const real *magic, bint flush, real *terms) noexcept nogil:
    if real is float:
        exp_lanes_f32(x, low, magic, flush, terms)
    else:
        exp_lanes_f64(x, low, magic, flush, terms)


cdef inline void exp_scaled_terms(const real *x, real low, real magic, real factor, real *terms) noexcept nogil:
    if real is float:
        exp_scaled_terms_f32(x, low, magic, factor, terms)
    else:
        exp_scaled_terms_f64(x, low, magic, factor, terms)


cdef inline void larger_terms(const real *x, real *best) noexcept nogil:
    if real is float:
        larger_terms_f32(x, best)
    else:
        larger_terms_f64(x, best)


cdef inline void part_hole(const real *x, const real *hole, real number, real *own, real *others) noexcept nogil:
    """Where the hole has this number, x is own, and -inf among the others."""
    if real is float:
        part_hole_f32(x, hole, number, own, others)
    else:
        part_hole_f64(x, hole, number, own, others)


cdef inline void widen_group(const uint16_t *halves, bint bf16, real *values) noexcept nogil:
    if real is float:
        if bf16:
            widen_bf16_terms(halves, values)
        else:
            widen_f16_terms(halves, values)


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


# A reference 2^m as the kernels carry it: the magic number of exp_terms, and the logit below which exp(x) 2^-m is
# rounded to exactly 0 (smaller ones are clamped to it).
cdef inline real magic_of(double exponent, real _) noexcept nogil:
    if real is float:
        return <real>(MAGIC_F32 + EXP_BIAS - EXP_STEPS * exponent)
    else:
        return MAGIC_F64 + 1023.0 - exponent


cdef inline void set_reference_near(real row_max, real *magic, real *low) noexcept nogil:
    """The same of the power of two near exp(row_max), in `real` alone: integers, and exact."""
    cdef real limit = <real>REFERENCE_LIMIT, exponent = min(max(row_max * <real>LOG2E, -limit), limit)
    if real is float:
        exponent = rintf(exponent)
        magic[0] = <real>(MAGIC_F32 + EXP_BIAS) - <real>EXP_STEPS * exponent
        low[0] = (exponent - <real>127) * <real>LN2
    else:
        exponent = rint(exponent)
        magic[0] = magic_of(exponent, <real>0)
        low[0] = lowest_of(exponent, <real>0)


cdef inline double exponent_of(real magic) noexcept nogil:
    if real is float:
        return (MAGIC_F32 + EXP_BIAS - <double>magic) * (1.0 / EXP_STEPS)
    else:
        return MAGIC_F64 + 1023.0 - magic


cdef inline real lowest_of(double exponent, real _) noexcept nogil:
    return <real>((exponent - (127.0 if real is float else 1023.0)) * LN2)


cdef inline double reference_exponent(double row_max) noexcept nogil:
    """The power of two nearest exp(row_max), within what the reduction is good for."""
    return rint(min(max(row_max * LOG2E, -<double>REFERENCE_LIMIT), <double>REFERENCE_LIMIT))


cdef inline double skew_of(double n, real _) noexcept nogil:
    """By how much, as a logarithm, a sum of exp_terms is too large whose terms are mostly of this n."""
    if real is float:
        return n * SKEW_F32
    else:
        return 0


cdef inline bint needs_shift(double row_max) noexcept nogil:
    """Beyond this the reduction loses bits; such rows have their largest logit subtracted first."""
    return row_max > LOGIT_LIMIT or -INFINITY < row_max < -LOGIT_LIMIT


cdef inline bint is_misplaced(double row_max, double exponent) noexcept nogil:
    """Whether a sum over this reference is to be done again over another. Above LOGIT_LIMIT it will be anyway; what is
    below -LOGIT_LIMIT, masked or beside a largest logit that was subtracted, may be 0."""
    cdef double above = row_max * LOG2E - exponent
    return above > HEADROOM and row_max <= LOGIT_LIMIT or above < -DEPTH and row_max >= -LOGIT_LIMIT


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
