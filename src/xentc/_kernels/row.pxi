# Class axis contiguous, or too many classes to transpose: one sample at a time, its logits read once.
#
# a) The reference of a column block is a power of two near the largest of its first logits. Should a later logit lie
#    far above it, the block is done again: rare, and the block is still in cache.
# b) The target is left out of the sum (see point.h): the group of logits that holds it is summed from a copy with
#    -inf in its place. The tail of a row is padded the same way, so that no length has code of its own.
# c) float lanes are folded into double ones every GROUPS groups: 32 float lanes alone drift by hundreds of ULP.
# d) A row is cut into blocks of COLUMN_BLOCK columns, folded in order, whether one thread works through them or many.

cdef enum:
    GROUPS = 16
    COLUMN_BLOCK = 16384
    FIRST_LOOK = 64         # logits that the reference is taken from


cdef void add_groups(const real *restrict x, Py_ssize_t n_groups, real low, real magic,
                     double *restrict sums, real *restrict maxes) noexcept nogil:
    cdef real partial[LANES]
    cdef real highest[LANES]
    cdef Py_ssize_t g = 0, stop, lane, line, n_lines = LANES * sizeof(real) // 64
    cdef real value
    for lane in range(LANES):
        highest[lane] = maxes[lane]
    while g < n_groups:
        stop = min(g + GROUPS, n_groups)
        for lane in range(LANES):
            partial[lane] = 0
        while g < stop:
            for line in range(n_lines):
                prefetch(<const char *>x + PREFETCH_BYTES + 64 * line)
            for lane in range(LANES):
                value = x[lane]
                highest[lane] = larger(value, highest[lane])
                partial[lane] += exp_over(at_least(value, low), magic)
            x += LANES
            g += 1
        for lane in range(LANES):
            sums[lane] += partial[lane]
    for lane in range(LANES):
        maxes[lane] = highest[lane]


cdef void add_padded(const real *x, Py_ssize_t n, Py_ssize_t hole, real low, real magic,
                     double *sums, real *maxes) noexcept nogil:
    """One group, at most: its missing logits and its hole are -inf, and add exactly 0."""
    cdef real group[LANES]
    cdef Py_ssize_t lane
    for lane in range(LANES):
        group[lane] = <real>-INFINITY
    memcpy(group, x, min(n, <Py_ssize_t>LANES) * sizeof(real))
    if 0 <= hole < LANES:
        group[hole] = <real>-INFINITY
    add_groups(group, 1, low, magic, sums, maxes)


cdef void add_run(const real *x, Py_ssize_t n, Py_ssize_t hole, real low, real magic,
                  double *sums, real *maxes) noexcept nogil:
    cdef Py_ssize_t n_groups = n // LANES, g = 0
    if 0 <= hole < n_groups * LANES:
        g = hole // LANES
        add_groups(x, g, low, magic, sums, maxes)
        add_padded(x + g * LANES, LANES, hole - g * LANES, low, magic, sums, maxes)
        g += 1
    add_groups(x + g * LANES, n_groups - g, low, magic, sums, maxes)
    if n > n_groups * LANES:
        add_padded(x + n_groups * LANES, n - n_groups * LANES, hole - n_groups * LANES, low, magic, sums, maxes)


cdef const real *load_logits(const Job *job, const char *row, Py_ssize_t k, Py_ssize_t n, double shift,
                             real *buffer) noexcept nogil:
    cdef Py_ssize_t stride = job.input.class_stride_bytes, i
    cdef const real *x = load_run(row + k * stride, n, stride, buffer)
    if shift == 0:
        return x
    for i in range(n):
        buffer[i] = x[i] - <real>shift
    return buffer


cdef void sum_block(const Job *job, const char *row, Py_ssize_t begin, Py_ssize_t end, int64_t target, double shift,
                    real *buffer, RowPart *part) noexcept nogil:
    """part.sum_exp and part.row_max of columns begin to end, over the reference part.exponent."""
    cdef double sums[LANES]
    cdef real maxes[LANES]
    cdef real low = lowest_of(part.exponent, <real>0), magic = magic_of(part.exponent, <real>0)
    cdef Py_ssize_t k, lane, n, width
    for lane in range(LANES):
        sums[lane] = 0
        maxes[lane] = <real>-INFINITY
    for k from begin <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        add_run(load_logits(job, row, k, n, shift, buffer), n, <Py_ssize_t>target - k, low, magic, sums, maxes)
    width = LANES // 2
    while width > 0:
        for lane in range(width):
            sums[lane] += sums[lane + width]
            maxes[lane] = larger(maxes[lane + width], maxes[lane])
        width //= 2
    part.sum_exp = sums[0]
    part.row_max = maxes[0]


cdef void row_part(const Job *job, const char *row, Py_ssize_t column_block, int64_t target, double shift,
                   real *buffer, RowPart *part) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK, k
    cdef Py_ssize_t end = min(begin + COLUMN_BLOCK, job.n_classes)
    cdef Py_ssize_t look = min(end - begin, <Py_ssize_t>FIRST_LOOK)
    cdef const real *first = load_logits(job, row, begin, look, shift, buffer)
    cdef real highest = <real>-INFINITY
    for k in range(look):
        highest = larger(first[k], highest)
    part.exponent = reference_exponent(highest)
    sum_block(job, row, begin, end, target, shift, buffer, part)
    if part.row_max * LOG2E > part.exponent + HEADROOM and not needs_shift(part.row_max):
        part.exponent = reference_exponent(part.row_max)
        sum_block(job, row, begin, end, target, shift, buffer, part)


cdef inline void scale_down(double *x, double exponent) noexcept nogil:
    x[0] = x[0] * pow2_f64(exponent) if exponent > -1000 else x[0] * 0.0


cdef void fold_part(RowPart *total, double *lost, const RowPart *part) noexcept nogil:
    """Neumaier's sum over powers of two: scaling is exact, and what an addition rounds away is kept in `lost`."""
    cdef double term = part.sum_exp, sum_exp
    if part.row_max > total.row_max:
        total.row_max = part.row_max
    if term == 0:
        return
    if part.exponent > total.exponent:
        scale_down(&total.sum_exp, total.exponent - part.exponent)
        scale_down(lost, total.exponent - part.exponent)
        total.exponent = part.exponent
    else:
        scale_down(&term, part.exponent - total.exponent)
    sum_exp = total.sum_exp + term
    if fabs(total.sum_exp) >= fabs(term):
        lost[0] += (total.sum_exp - sum_exp) + term
    else:
        lost[0] += (term - sum_exp) + total.sum_exp
    total.sum_exp = sum_exp


cdef double fold_row(const Job *job, const char *row, const RowPart *parts, real *buffer,
                     RowPoint *point) noexcept nogil:
    """The nll of a row, and its point, from its parts or, without any, from its logits."""
    cdef Py_ssize_t n_blocks = (job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK, b
    cdef RowPart total, part
    cdef SoftmaxPoint softmax
    cdef double lost, row_max
    cdef double own = read_real(row + point.target * job.input.class_stride_bytes, <real>0)
    while True:
        total.sum_exp, total.exponent, total.row_max, lost = 0, -REFERENCE_LIMIT, -INFINITY, 0
        for b in range(n_blocks):
            if parts != NULL:
                part = parts[b]
            else:
                row_part(job, row, b, point.target, point.shift, buffer, &part)
            fold_part(&total, &lost, &part)
        row_max = own if own > total.row_max else total.row_max
        if point.shift != 0 or not needs_shift(row_max) or row_max == INFINITY:
            break
        point.shift = row_max
        parts = NULL
    softmax = softmax_point(total.sum_exp + lost, total.exponent, own - point.shift)
    point.rest_share, point.exponent, point.inverse = softmax.rest_share, softmax.exponent, softmax.inverse
    return softmax.nll


cdef void grad_groups(const real *x, Py_ssize_t n_groups, real low, real magic, real scale, real *grad) noexcept nogil:
    # x and grad may be the same memory: a group is read whole before it is written.
    cdef real values[LANES]
    cdef Py_ssize_t g, lane
    for g in range(n_groups):
        for lane in range(LANES):
            values[lane] = exp_over(at_least(x[g * LANES + lane], low), magic) * scale
        memcpy(grad + g * LANES, values, sizeof(values))


cdef void grad_run(const real *x, Py_ssize_t n, real low, real magic, real scale, real *grad) noexcept nogil:
    cdef real group[LANES]
    cdef Py_ssize_t whole = n - n % LANES
    grad_groups(x, whole // LANES, low, magic, scale, grad)
    if whole < n:
        memset(group, 0, sizeof(group))
        memcpy(group, x + whole, (n - whole) * sizeof(real))
        grad_groups(group, 1, low, magic, scale, group)
        memcpy(grad + whole, group, (n - whole) * sizeof(real))


cdef void row_grad_part(const Job *job, Py_ssize_t sample, Py_ssize_t begin, Py_ssize_t end, const RowPoint *point,
                        real *buffer) noexcept nogil:
    cdef const char *row = sample_pointer(job, &job.input, sample)
    cdef char *grad_row = sample_pointer(job, &job.grad_out, sample)
    cdef real low = lowest_of(point.exponent, <real>0), magic = magic_of(point.exponent, <real>0)
    cdef real scale = <real>(point.coefficient * point.inverse)
    cdef Py_ssize_t stride = job.grad_out.class_stride_bytes, k, n
    cdef real *grad
    for k from begin <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        grad = <real *>(grad_row + k * stride)
        if job.stream_grad or not is_dense(<const char *>grad, stride, <real>0):
            grad = buffer + CHUNK
        if point.coefficient == 0:
            memset(grad, 0, n * sizeof(real))
        else:
            grad_run(load_logits(job, row, k, n, point.shift, buffer), n, low, magic, scale, grad)
            if k <= point.target < k + n:
                grad[point.target - k] = <real>(-point.coefficient * point.rest_share)
        if grad == buffer + CHUNK:
            store_run(grad, n, grad_row + k * stride, stride, job.stream_grad)


cdef void finish_row(const Job *job, Py_ssize_t sample, const RowPart *parts, real *buffer, Totals *totals,
                     RowPoint *point) noexcept nogil:
    """Writes the sample's loss, adds it to the totals, and leaves in point what the gradient needs."""
    cdef double weight, loss = 0
    load_indices(job, sample, 1, &point.target)
    point.shift, point.exponent, point.rest_share, point.inverse = 0, 0, NAN, NAN
    if point.target == job.ignore_index:
        weight = 0
    elif not 0 <= point.target < job.n_classes:     # changed since it was checked: nan, never a read out of bounds
        weight = loss = NAN
    else:
        weight = coefficient(job, sample, point.target)
        if weight != 0:
            loss = weight * fold_row(job, sample_pointer(job, &job.input, sample), parts, buffer, point)
    totals.loss += loss
    store_loss(job, sample, loss)
    point.coefficient = grad_coefficient(job, sample, weight)


cdef void row_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, real *buffer, Totals *totals) noexcept nogil:
    cdef RowPoint point
    cdef Py_ssize_t sample
    for sample in range(begin, end):
        finish_row(job, sample, NULL, buffer, totals, &point)
        if job.grad_out.data != NULL:
            row_grad_part(job, sample, 0, job.n_classes, &point, buffer)
    if job.stream_grad:
        stream_fence()


# One row shared among threads: its parts, then (finish_row, on one thread) their fold, then its gradient by columns.

cdef void one_part(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, real *buffer,
                   RowPart *part) noexcept nogil:
    cdef int64_t target
    part.sum_exp, part.exponent, part.row_max = 0, -REFERENCE_LIMIT, -INFINITY
    load_indices(job, sample, 1, &target)
    if target == job.ignore_index or not 0 <= target < job.n_classes:
        return
    row_part(job, sample_pointer(job, &job.input, sample), column_block, target, 0, buffer, part)


cdef void one_grad(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, real *buffer,
                   const RowPoint *point) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK
    row_grad_part(job, sample, begin, min(begin + COLUMN_BLOCK, job.n_classes), point, buffer)
    if job.stream_grad:
        stream_fence()
