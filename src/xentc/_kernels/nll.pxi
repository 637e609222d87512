# nll_loss. Of a sample's log-probabilities only the target's is read; its gradient is zeros but for that entry.
#
# A tile's entries are read before any of its gradient is written, so that the gradient may go over the input.

cdef enum:
    NLL_TILE = 512


cdef inline bint is_plain(const Operand *operand, const char *source, Py_ssize_t stride_bytes) noexcept nogil:
    """Whether every number along these strides is aligned and of the native byte order."""
    cdef int item = item_bytes(operand.code)
    return (not operand.swapped and <size_t>source % item == 0 and stride_bytes % item == 0
            and operand.class_stride_bytes % item == 0)


cdef void own_losses(const Job *job, Py_ssize_t sample, Py_ssize_t n, const int64_t *indices, double *coefficient,
                     double *loss) noexcept nogil:
    """The losses of n samples on one run, and what multiplies each. A target that is no class any more gives nan."""
    cdef const char *source = sample_pointer(job, &job.input, sample)
    cdef Py_ssize_t stride = job.input.stride_bytes[job.n_axes - 1], i
    cdef bint plain = is_plain(&job.input, source, stride)
    cdef int code = job.input.code
    cdef const char *at
    cdef double x
    for i in range(n):
        coefficient[i] = loss[i] = 0
        if indices[i] == job.ignore_index:
            continue
        if not 0 <= indices[i] < job.n_classes:
            loss[i] = NAN
            continue
        at = source + i * stride + indices[i] * job.input.class_stride_bytes
        if plain and code == F32:
            x = (<const float *>at)[0]
        elif plain and code == F64:
            x = (<const double *>at)[0]
        else:
            x = read_number(at, code, job.input.swapped)
        coefficient[i] = target_coefficient(job, sample + i, indices[i])
        loss[i] = one_nan_f64(times_f64(-coefficient[i], x))


cdef void clear_grad(const Job *job, char *to, Py_ssize_t n) noexcept nogil:
    """Zeros over n samples on one run, in the longest stretches that their layout allows."""
    cdef Py_ssize_t stride = job.grad_out.stride_bytes[job.n_axes - 1], class_bytes = job.grad_out.class_stride_bytes
    cdef Py_ssize_t item = item_bytes(job.grad_out.code), i, k
    if class_bytes == item and (n == 1 or stride == item * job.n_classes):
        memset(to, 0, n * job.n_classes * item)
    elif class_bytes == item:
        for i in range(n):
            memset(to + i * stride, 0, job.n_classes * item)
    elif stride == item:
        for k in range(job.n_classes):
            memset(to + k * class_bytes, 0, n * item)
    elif llabs(class_bytes) < llabs(stride):
        for i in range(n):
            for k in range(job.n_classes):
                write_number(to + i * stride + k * class_bytes, job.grad_out.code, 0)
    else:
        for k in range(job.n_classes):
            for i in range(n):
                write_number(to + i * stride + k * class_bytes, job.grad_out.code, 0)


cdef void own_grads(const Job *job, Py_ssize_t sample, Py_ssize_t n, const int64_t *indices,
                    const double *coefficient) noexcept nogil:
    cdef char *to = sample_pointer(job, &job.grad_out, sample)
    cdef Py_ssize_t stride = job.grad_out.stride_bytes[job.n_axes - 1], i
    clear_grad(job, to, n)
    for i in range(n):
        if coefficient[i] != 0:
            write_number(to + i * stride + indices[i] * job.grad_out.class_stride_bytes, job.grad_out.code,
                         0.0 - product(coefficient[i], upstream(job, sample + i)))


cdef void nll_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    cdef int64_t indices[NLL_TILE]
    cdef double coefficient[NLL_TILE]
    cdef double loss[NLL_TILE]
    cdef double narrowed[NLL_TILE]
    cdef Py_ssize_t n, i
    while begin < end:
        n = min(run_length(job, begin, end), <Py_ssize_t>NLL_TILE)
        load_indices(job, begin, n, indices)
        own_losses(job, begin, n, indices, coefficient, loss)
        for i in range(n):
            totals.loss += loss[i]
        if job.loss_out.data != NULL:
            store_run(&job.loss_out, loss, n, sample_pointer(job, &job.loss_out, begin),
                      job.loss_out.stride_bytes[job.n_axes - 1], False, <char *>narrowed)
        if job.grad_out.data != NULL:
            own_grads(job, begin, n, indices, coefficient)
        begin += n
