# nll_loss. Of a sample's log-probabilities only the target's is read; its gradient is zeros but for that entry.
#
# a) The losses are a pass of their own, which checks the targets as it goes: it writes nothing of the caller's unless
#    `out` is given, and then the targets have been checked before.
# b) The gradient is another, of blocks of another size: it is a matter of filling memory, and reads no input, which it
#    may therefore overwrite.
# c) A block's losses are added by their place in the block, not in a tile, which depends on the layout.

cdef enum:
    NLL_TILE = 512
    NLL_LANES = 8


cdef inline bint is_plain(const Operand *operand, const char *source, Py_ssize_t stride_bytes) noexcept nogil:
    """Whether every number along these strides is aligned and of the native byte order."""
    cdef int item = item_bytes(operand.code)
    return (not operand.swapped and <size_t>source % item == 0 and stride_bytes % item == 0
            and operand.class_stride_bytes % item == 0)


cdef void own_losses(const Job *job, Py_ssize_t sample, Py_ssize_t n, const int64_t *indices,
                     double *loss) noexcept nogil:
    """The losses of n samples on one run, whose targets are classes or ignored; there is a class."""
    cdef const char *source = sample_pointer(job, &job.input, sample)
    cdef Py_ssize_t stride = job.input.stride_bytes[job.n_axes - 1], class_bytes = job.input.class_stride_bytes, i
    cdef bint plain = is_plain(&job.input, source, stride)
    cdef int code = job.input.code
    cdef int64_t ignored = job.ignore_index, k
    if plain and code == F32:
        for i in range(n):
            k = 0 if indices[i] == ignored else indices[i]      # read and dropped: a branch would cost more
            loss[i] = -(<const float *>(source + i * stride + k * class_bytes))[0]
    elif plain and code == F64:
        for i in range(n):
            k = 0 if indices[i] == ignored else indices[i]
            loss[i] = -(<const double *>(source + i * stride + k * class_bytes))[0]
    else:
        for i in range(n):
            if indices[i] != ignored:
                loss[i] = -read_number(source + i * stride + indices[i] * class_bytes, code, job.input.swapped)
    for i in range(n):
        loss[i] = 0 if indices[i] == ignored else one_nan_f64(loss[i])
    if job.weight != NULL or job.sample_weight.data != NULL:
        for i in range(n):
            if indices[i] != ignored:
                loss[i] = one_nan_f64(times_f64(target_coefficient(job, sample + i, indices[i]), loss[i]))


cdef void nll_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    cdef int64_t indices[NLL_TILE]
    cdef double loss[NLL_TILE]
    cdef double narrowed[NLL_TILE]
    cdef double total[NLL_LANES]
    cdef Py_ssize_t n, i, place_in_block = 0
    memset(total, 0, sizeof(total))
    while begin < end:
        n = min(run_length(job, begin, end), <Py_ssize_t>NLL_TILE)
        load_indices(job, begin, n, indices)
        if not check_tile(job, indices, begin, n, totals):
            return
        if job.n_classes > 0:
            own_losses(job, begin, n, indices, loss)
        else:
            memset(loss, 0, sizeof(loss))
        for i in range(n):
            total[(place_in_block + i) % NLL_LANES] += loss[i]
        if job.loss_out.data != NULL:
            store_run(&job.loss_out, loss, n, sample_pointer(job, &job.loss_out, begin),
                      job.loss_out.stride_bytes[job.n_axes - 1], False, <char *>narrowed)
        begin += n
        place_in_block += n
    for i in range(NLL_LANES):
        totals.loss += total[i]


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


cdef void own_grads(const Job *job, Py_ssize_t sample, Py_ssize_t n, char *to) noexcept nogil:
    """The targets' entries. These are looked at again, as they may have changed since they were checked."""
    cdef int64_t indices[NLL_TILE]
    cdef Py_ssize_t stride = job.grad_out.stride_bytes[job.n_axes - 1], i
    cdef double coefficient
    load_indices(job, sample, n, indices)
    for i in range(n):
        if indices[i] != job.ignore_index and 0 <= indices[i] < job.n_classes:
            coefficient = product(target_coefficient(job, sample + i, indices[i]), upstream(job, sample + i))
            write_number(to + i * stride + indices[i] * job.grad_out.class_stride_bytes, job.grad_out.code,
                         0.0 - coefficient)


cdef void nll_grad_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                         Totals *totals) noexcept nogil:
    cdef Py_ssize_t run, i
    cdef char *to
    while begin < end:
        run = run_length(job, begin, end)
        to = sample_pointer(job, &job.grad_out, begin)
        clear_grad(job, to, run)
        for i from 0 <= i < run by NLL_TILE:
            own_grads(job, begin + i, min(run - i, <Py_ssize_t>NLL_TILE),
                      to + i * job.grad_out.stride_bytes[job.n_axes - 1])
        begin += run
