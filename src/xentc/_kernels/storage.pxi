# Between the caller's dtypes and `real`. Dense native memory is read in loops that vectorise, one a dtype; whatever is
# strided, misaligned or of the other byte order goes number by number.

cdef inline int item_bytes(int code) noexcept nogil:
    if code == F64 or code == I64 or code == U64:
        return 8
    if code == F32 or code == I32 or code == U32:
        return 4
    return 1 if code == I8 or code == U8 else 2


cdef inline uint64_t read_bits(const char *source, int n_bytes, bint swapped) noexcept nogil:
    """n_bytes as a little-endian number, whatever the alignment."""
    cdef uint64_t bits = 0
    cdef int i
    for i in range(n_bytes):
        bits |= <uint64_t>(<unsigned char>source[i]) << (8 * (n_bytes - 1 - i if swapped != BIG_ENDIAN_HOST else i))
    return bits


cdef double read_number(const char *source, int code, bint swapped) noexcept nogil:
    cdef uint64_t bits = read_bits(source, item_bytes(code), swapped)
    if code == F32:
        return from_bits_f32(<uint32_t>bits)
    if code == F64:
        return from_bits_f64(bits)
    if code == F16:
        return widen_f16(<uint16_t>bits)
    if code == BF16:
        return widen_bf16(<uint16_t>bits)
    if code == I64:
        return <double><int64_t>bits
    if code == I32:
        return <double><int32_t>bits
    if code == I16:
        return <double><int16_t>bits
    if code == I8:
        return <double><int8_t>bits
    return <double>bits


cdef inline bint is_dense(const char *source, Py_ssize_t stride_bytes, int code, bint swapped) noexcept nogil:
    return stride_bytes == item_bytes(code) and <size_t>source % item_bytes(code) == 0 and not swapped


cdef inline int code_of(real _) noexcept nogil:
    if real is float:
        return F32
    else:
        return F64


cdef inline const real *from_(const real *numbers, Py_ssize_t k) noexcept nogil:
    """numbers + k, where there are any."""
    if numbers == NULL:
        return NULL
    return numbers + k


cdef inline bint is_real(const Operand *operand, Py_ssize_t stride_bytes, const char *source, real _) noexcept nogil:
    """Whether the operand along this stride is an array of `real` already."""
    return operand.code == code_of(_) and is_dense(source, stride_bytes, operand.code, operand.swapped)


cdef const real *load_run(const Operand *operand, const char *source, Py_ssize_t n, Py_ssize_t stride_bytes,
                          real *buffer) noexcept nogil:
    """n numbers along one stride as dense `real`: where they lie, or in the buffer."""
    cdef Py_ssize_t k
    cdef int code = operand.code
    if is_real(operand, stride_bytes, source, <real>0):
        return <const real *>source
    if stride_bytes == 0 and n > 0:     # broadcast
        buffer[0] = <real>read_number(source, code, operand.swapped)
        for k in range(1, n):
            buffer[k] = buffer[0]
        return buffer
    if not is_dense(source, stride_bytes, code, operand.swapped):
        for k in range(n):
            buffer[k] = <real>read_number(source + k * stride_bytes, code, operand.swapped)
        return buffer
    if code == F32:
        for k in range(n):
            buffer[k] = <real>(<const float *>source)[k]
    elif code == F64:
        for k in range(n):
            buffer[k] = <real>(<const double *>source)[k]
    elif code == BF16:
        for k in range(n):
            buffer[k] = widen_bf16((<const uint16_t *>source)[k])
    elif code == F16:
        for k in range(n):
            buffer[k] = widen_f16((<const uint16_t *>source)[k])
    elif code == U8:
        for k in range(n):
            buffer[k] = (<const uint8_t *>source)[k]
    elif code == I64:
        for k in range(n):
            buffer[k] = <real>(<const int64_t *>source)[k]
    elif code == I32:
        for k in range(n):
            buffer[k] = <real>(<const int32_t *>source)[k]
    else:
        for k in range(n):
            buffer[k] = <real>read_number(source + k * stride_bytes, code, False)
    return buffer


cdef inline bint transforms(const Job *job, double shift) noexcept nogil:
    return shift != 0 or job.softcap != 0 or job.temperature != 1


cdef void transform(const Job *job, const real *x, Py_ssize_t n, double shift, real *buffer) noexcept nogil:
    """Softcap, temperature and the subtraction of the largest logit. `real` is double wherever the first two occur."""
    cdef Py_ssize_t k
    if job.softcap != 0:
        for k in range(n):
            buffer[k] = <real>softcap_f64(x[k], job.softcap)
        x = buffer
    if job.temperature != 1:
        for k in range(n):
            buffer[k] = <real>(x[k] / job.temperature)
        x = buffer
    for k in range(n):
        buffer[k] = x[k] - <real>shift


cdef inline double read_logit(const Job *job, const char *source) noexcept nogil:
    cdef double x = read_number(source, job.input.code, job.input.swapped)
    if job.softcap != 0:
        x = softcap_f64(x, job.softcap)
    return x / job.temperature


cdef inline void write_number(char *target, int code, double x) noexcept nogil:
    cdef float single = <float>x
    cdef uint16_t half
    if code == F64:
        memcpy(target, &x, 8)
    elif code == F32:
        memcpy(target, &single, 4)
    else:
        half = narrow_bf16(single) if code == BF16 else narrow_f16(single)
        memcpy(target, &half, 2)


cdef void store_run(const Operand *operand, const real *values, Py_ssize_t n, char *target, Py_ssize_t stride_bytes,
                    bint stream, char *narrowed) noexcept nogil:
    """Dense `real` into the caller's memory. `narrowed` has room for n numbers."""
    cdef int code = operand.code
    cdef Py_ssize_t k
    cdef const char *source = <const char *>values
    if not is_dense(target, stride_bytes, code, False):
        for k in range(n):
            write_number(target + k * stride_bytes, code, values[k])
        return
    if code != code_of(<real>0):
        source = narrowed
        if code == F32:
            for k in range(n):
                (<float *>narrowed)[k] = <float>values[k]
        elif code == BF16:
            for k in range(n):
                (<uint16_t *>narrowed)[k] = narrow_bf16(<float>values[k])
        elif code == F16:
            for k in range(n):
                (<uint16_t *>narrowed)[k] = narrow_f16(<float>values[k])
    if stream:
        stream_copy(target, source, n * item_bytes(code))
    else:
        memcpy(target, source, n * item_bytes(code))


cdef inline Py_ssize_t before_line(const real *to, Py_ssize_t n, bint streams) noexcept nogil:
    """How many of n entries lie before the first line that begins with one; 0 where nothing is streamed."""
    return min(<Py_ssize_t>(line_ahead(<const char *>to) // sizeof(real)), n) if streams else 0


cdef inline void store_loss(const Job *job, Py_ssize_t sample, double loss) noexcept nogil:
    if job.loss_out.data != NULL:
        write_number(sample_pointer(job, &job.loss_out, sample), job.loss_out.code, loss)


cdef inline void copy_indices(const char *source, Py_ssize_t n, Py_ssize_t stride_bytes, int code, bint swapped,
                              int64_t unreachable, int64_t *indices) noexcept nogil:
    """Class indices of any integer dtype; a uint64 that int64 cannot hold becomes one that is out of range."""
    cdef Py_ssize_t i
    cdef uint64_t bits
    for i in range(n):
        bits = read_bits(source + i * stride_bytes, item_bytes(code), swapped)
        if code == I32:
            indices[i] = <int32_t>bits
        elif code == I16:
            indices[i] = <int16_t>bits
        elif code == I8:
            indices[i] = <int8_t>bits
        elif code == U64 and bits >> 63 != 0:
            indices[i] = unreachable
        else:
            indices[i] = <int64_t>bits


cdef void load_index_run(const Job *job, const char *source, Py_ssize_t n, Py_ssize_t stride,
                         int64_t *indices) noexcept nogil:
    """n targets along one stride, as int64."""
    cdef int64_t unreachable = -1 if job.ignore_index != -1 else -2
    cdef int code = job.target.code
    cdef Py_ssize_t i
    if job.target.swapped or <size_t>source % item_bytes(code) or stride % item_bytes(code):
        copy_indices(source, n, stride, code, job.target.swapped, unreachable, indices)
    elif code == I64 and stride == 8:
        memcpy(indices, source, n * 8)
    elif code == I64:
        for i in range(n):
            indices[i] = (<const int64_t *>(source + i * stride))[0]
    elif code == I32 and stride == 4:
        for i in range(n):
            indices[i] = (<const int32_t *>source)[i]
    elif code == I32:
        for i in range(n):
            indices[i] = (<const int32_t *>(source + i * stride))[0]
    elif code == U8:
        for i in range(n):
            indices[i] = (<const unsigned char *>(source + i * stride))[0]
    else:
        copy_indices(source, n, stride, code, False, unreachable, indices)


cdef inline void load_indices(const Job *job, Py_ssize_t sample, Py_ssize_t n, int64_t *indices) noexcept nogil:
    """The targets of n samples on one run."""
    load_index_run(job, sample_pointer(job, &job.target, sample), n, job.target.stride_bytes[job.n_axes - 1], indices)


cdef inline void load_class_indices(const Job *job, Py_ssize_t sample, Py_ssize_t k, Py_ssize_t n,
                                    int64_t *indices) noexcept nogil:
    """n entries of one sample's list of classes, from the k-th on."""
    cdef Py_ssize_t stride = job.target.class_stride_bytes
    load_index_run(job, sample_pointer(job, &job.target, sample) + k * stride, n, stride, indices)


cdef inline double sample_weight(const Job *job, Py_ssize_t sample) noexcept nogil:
    if job.sample_weight.data == NULL:
        return 1.0
    return read_number(sample_pointer(job, &job.sample_weight, sample), job.sample_weight.code,
                       job.sample_weight.swapped)


cdef inline double upstream(const Job *job, Py_ssize_t sample) noexcept nogil:
    """What multiplies the gradient of a sample's loss."""
    if job.grad_output.data == NULL:
        return job.grad_scale
    return read_number(sample_pointer(job, &job.grad_output, sample), job.grad_output.code,
                       job.grad_output.swapped)
