# Between the caller's memory and the arithmetic: widen, gather, transpose on the way in, the reverse on the way out.
# A kernel sees dense `real` only, read in place where the memory already is that.

cdef enum:
    LANES = 32              # samples or logits side by side; a fixed number, so that every ISA sums in one order
    CHUNK = 2048            # logits of a row that are loaded at a time
    PREFETCH_BYTES = 16384  # how far ahead of a long read: the arithmetic keeps the core's own prefetcher from it
    REFERENCE_LIMIT = 1 << 17
    LOGIT_LIMIT = 65000     # in size; n of the reduction stays below 2^17
    HEADROOM = 60           # powers of two that a sum may rise above its reference before it is done again


cdef inline real exp_over(real x, real magic) noexcept nogil:
    if real is float:
        return exp_over_f32(x, magic)
    else:
        return exp_over_f64(x, magic)


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


cdef inline bint needs_shift(double row_max) noexcept nogil:
    """Beyond this the reduction loses bits; such rows have their largest logit subtracted first."""
    return row_max > LOGIT_LIMIT or -INFINITY < row_max < -LOGIT_LIMIT


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


cdef inline real read_real(const char *source, real _) noexcept nogil:
    cdef real x
    memcpy(&x, source, sizeof(real))
    return x


cdef inline bint is_dense(const char *source, Py_ssize_t stride_bytes, real _) noexcept nogil:
    return stride_bytes == sizeof(real) and <size_t>source % sizeof(real) == 0


cdef const real *load_run(const char *source, Py_ssize_t n, Py_ssize_t stride_bytes, real *buffer) noexcept nogil:
    """n logits along one stride as dense `real`: where they lie, or in the buffer."""
    cdef Py_ssize_t k
    if is_dense(source, stride_bytes, <real>0):
        return <const real *>source
    for k in range(n):
        buffer[k] = read_real(source + k * stride_bytes, <real>0)
    return buffer


cdef void store_run(const real *values, Py_ssize_t n, char *target, Py_ssize_t stride_bytes,
                    bint stream) noexcept nogil:
    cdef Py_ssize_t k
    if stride_bytes == sizeof(real):
        if stream:
            stream_copy(target, <const char *>values, n * sizeof(real))
        else:
            memcpy(target, values, n * sizeof(real))
        return
    for k in range(n):
        memcpy(target + k * stride_bytes, &values[k], sizeof(real))


cdef inline void store_loss(const Job *job, Py_ssize_t sample, double loss) noexcept nogil:
    cdef char *target
    cdef float narrow
    if job.loss_out.data == NULL:
        return
    target = sample_pointer(job, &job.loss_out, sample)
    if job.loss_out.code == F32:
        narrow = <float>loss
        memcpy(target, &narrow, sizeof(float))
    else:
        memcpy(target, &loss, sizeof(double))


cdef inline int64_t read_index(const char *source, int code, int64_t unreachable) noexcept nogil:
    """A class index of any integer dtype; a uint64 that int64 cannot hold becomes one that is out of range."""
    cdef int8_t i8
    cdef int16_t i16
    cdef int32_t i32
    cdef int64_t i64
    cdef uint16_t u16
    cdef uint32_t u32
    if code == I64 or code == U64:
        memcpy(&i64, source, 8)
        return unreachable if code == U64 and i64 < 0 else i64
    if code == I32:
        memcpy(&i32, source, 4)
        return i32
    if code == U32:
        memcpy(&u32, source, 4)
        return u32
    if code == I16:
        memcpy(&i16, source, 2)
        return i16
    if code == U16:
        memcpy(&u16, source, 2)
        return u16
    memcpy(&i8, source, 1)
    return i8 if code == I8 else <int64_t>(<unsigned char>i8)


cdef inline void copy_indices(const char *source, Py_ssize_t n, Py_ssize_t stride_bytes, int code,
                              int64_t unreachable, int64_t *indices) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        indices[i] = read_index(source + i * stride_bytes, code, unreachable)


cdef void load_indices(const Job *job, Py_ssize_t sample, Py_ssize_t n, int64_t *indices) noexcept nogil:
    """The targets of n samples on one run. Written once; each literal below makes the compiler a loop of its own."""
    cdef const char *source = sample_pointer(job, &job.target, sample)
    cdef Py_ssize_t stride = job.target.stride_bytes[job.n_axes - 1]
    cdef int64_t unreachable = -1 if job.ignore_index != -1 else -2
    cdef int code = job.target.code
    if code == I64 and stride == 8:
        copy_indices(source, n, 8, I64, unreachable, indices)
    elif code == I32 and stride == 4:
        copy_indices(source, n, 4, I32, unreachable, indices)
    elif code == I64:
        copy_indices(source, n, stride, I64, unreachable, indices)
    elif code == I32:
        copy_indices(source, n, stride, I32, unreachable, indices)
    else:
        copy_indices(source, n, stride, code, unreachable, indices)


cdef inline double coefficient(const Job *job, Py_ssize_t sample, int64_t target) noexcept nogil:
    """What multiplies a sample's loss: its target's weight. The target is in range."""
    return job.weight[target] if job.weight != NULL else 1.0


cdef inline double grad_coefficient(const Job *job, Py_ssize_t sample, double coefficient) noexcept nogil:
    """What multiplies a sample's gradient; a factor of exactly 0 makes it 0, whatever the other is."""
    cdef double upstream = job.grad_scale
    cdef double given
    if job.grad_output.data != NULL:
        memcpy(&given, sample_pointer(job, &job.grad_output, sample), sizeof(double))
        upstream = given
    if coefficient == 0.0 or upstream == 0.0:
        return 0.0
    return coefficient * upstream
