# softmax of contiguous classes that fit a column block: every exponential is taken once.
#
# a) The first pass leaves its terms in a room of the scratch while it adds them up, the second multiplies them by the
#    inverse of their sum. Not in the output: a row of it is seldom aligned, may be the input, and may be halves.
# b) A term stands for itself later on, so one below 2^-126 has to be 0. The reference is half of what sums are taken
#    over: it is never above the largest logit then, and a probability of 2^-126 is not lost.
# c) Whether a row is done so depends on the number of classes alone. Rows with nan or infinity go the other way.

cdef enum:
    PART_BYTES = 64         # room for the one part of such a row


cdef inline bint keeps_terms(const Job *job) noexcept nogil:
    return job.operation == SOFTMAX and job.n_classes <= COLUMN_BLOCK


cdef inline Py_ssize_t kept_room(const Job *job) noexcept nogil:
    """Terms of a row, padded."""
    return (job.n_classes + LANES - 1) // LANES * LANES


cdef inline void keep_group(const real *x, real low, real magic, real *highest, real *terms, real *to) noexcept nogil:
    cdef Py_ssize_t lane
    prefetch_group(<const char *>x, LOOP_NONE, low)
    exp_kept_terms(x, low, magic, terms)
    larger_terms(x, highest)
    for lane in range(LANES):
        to[lane] = terms[lane]


cdef void keep_groups(const real *restrict x, const real *restrict tail, Py_ssize_t n_groups, bint has_tail, real low,
                      real magic, LaneSums *restrict sums, real *restrict to) noexcept nogil:
    """Added up in the order of add_groups()."""
    cdef real partial[LANES]
    cdef real nothing[LANES]
    cdef real terms[LANES]
    cdef real second[LANES]
    cdef real highest[LANES]
    cdef Py_ssize_t room = 2 * GROUPS, left = n_groups, stop, lane
    cdef int r
    for lane in range(LANES):
        highest[lane] = (<real *>sums.highest)[lane]
        partial[lane] = nothing[lane] = 0
    for r in range(2):
        while left > 0:
            stop = left - min(left, room)
            room -= left - stop
            while left > stop + 1:
                keep_group(x, low, magic, highest, terms, to)
                keep_group(x + LANES, low, magic, highest, second, to + LANES)
                for lane in range(LANES):
                    partial[lane] += terms[lane] + second[lane]
                x += 2 * LANES
                to += 2 * LANES
                left -= 2
            if left > stop:
                keep_group(x, low, magic, highest, terms, to)
                for lane in range(LANES):
                    partial[lane] += terms[lane]
                x += LANES
                to += LANES
                left -= 1
            if room == 0:
                fold_partial(sums, partial, nothing, nothing, LOOP_NONE)
                room = 2 * GROUPS
        x, left = tail, has_tail
    if room < 2 * GROUPS:
        fold_partial(sums, partial, nothing, nothing, LOOP_NONE)
    for lane in range(LANES):
        (<real *>sums.highest)[lane] = highest[lane]


cdef void keep_block(const Job *job, const RowView *row, real *terms, RowPart *part, real _) noexcept nogil:
    """The terms of a row over the reference part.exponent, padded with 0 to a group, and their sum."""
    cdef LaneSums sums
    cdef real group[LANES]
    cdef real low = lowest_of(part.exponent, _), magic = magic_of(part.exponent, _), row_max
    cdef Py_ssize_t k, n, whole, lane
    cdef const real *x
    if real is float:
        if HAS_STRETCH and (job.n_classes <= CHUNK or lies_ready(job, row, LOOP_NONE, _)):
            x = load_logits(job, row, 0, job.n_classes, _)
            part.sum_exp = keep_terms_f32(x, job.n_classes, GROUPS, low, magic, terms, &row_max)
            part.row_max = row_max
            return
    for lane in range(LANES):
        (<real *>sums.highest)[lane] = <real>-INFINITY
    memset(sums.sum_exp, 0, sizeof(sums.sum_exp))
    if real is double:
        memset(sums.lost, 0, sizeof(sums.lost))
    for k from 0 <= k < job.n_classes by CHUNK:
        n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, row, k, n, _)
        whole = n - n % LANES
        if whole < n:
            pad_group(x + whole, n - whole, -1, <real>-INFINITY, group)
        keep_groups(x, group, whole // LANES, whole < n, low, magic, &sums, terms + k)
    part.sum_exp = fold_lanes(sums.sum_exp)
    if real is double:
        part.sum_exp += fold_lanes(sums.lost)
    part.row_max = largest_lane(<real *>sums.highest)


cdef void keep_row(const Job *job, RowView *row, real *terms, RowPart *part, real _) noexcept nogil:
    memset(part, 0, sizeof(RowPart))
    part.exponent = reference_exponent(first_look(job, row, 0, _)) - 1
    keep_block(job, row, terms, part, _)
    if is_misplaced(part.row_max, part.exponent):
        part.exponent = reference_exponent(part.row_max) - 1
        keep_block(job, row, terms, part, _)
    if row.shift == 0 and needs_shift(part.row_max) and part.row_max != INFINITY:
        row.shift = part.row_max
        keep_row(job, row, terms, part, _)


cdef inline void scale_plainly(const real *restrict terms, Py_ssize_t n, real scale, real *restrict to) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        to[k] = terms[k] * scale


cdef void scale_terms(const real *restrict terms, Py_ssize_t n, real scale, bint streams,
                      real *restrict to) noexcept nogil:
    cdef real entries[LANES]
    cdef Py_ssize_t k
    if not streams:
        scale_plainly(terms, n, scale, to)
        return
    k = before_line(to, n, streams)
    scale_plainly(terms, k, scale, to)
    while n - k >= LANES:
        scale_plainly(terms + k, LANES, scale, entries)
        stream_terms(<char *>(to + k), entries, sizeof(entries))
        k += LANES
    scale_plainly(terms + k, n - k, scale, to + k)


cdef void pull_terms(const real *restrict terms, const real *numbers, Py_ssize_t n, real scale, real pull,
                     real *to) noexcept nogil:
    """The gradient; it may be written over the upstream one."""
    cdef Py_ssize_t k
    for k in range(n):
        to[k] = (terms[k] * scale) * (numbers[k] - pull)


cdef void write_terms(const Job *job, Py_ssize_t sample, const RowPoint *point, real scale, const real *terms,
                      real *buffer) noexcept nogil:
    cdef const Operand *value = &job.loss_out
    cdef const Operand *grad = &job.grad_out
    cdef Py_ssize_t value_stride = value.class_stride_bytes, grad_stride = grad.class_stride_bytes, k, n
    cdef char *value_to = sample_pointer(job, value, sample)
    cdef char *grad_to = sample_pointer(job, grad, sample) if grad.data != NULL else NULL
    cdef bint value_direct = is_real(value, value_stride, value_to, <real>0)
    cdef bint grad_direct = grad_to != NULL and not job.stream_grad and is_real(grad, grad_stride, grad_to, <real>0)
    cdef real *entries
    cdef real *spare = buffer + 2 * CHUNK
    cdef const real *numbers = NULL
    for k from 0 <= k < job.n_classes by CHUNK:
        n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
        if grad_to != NULL:
            numbers = load_upstream(job, sample, k, n, buffer + CHUNK)
        entries = <real *>value_to + k if value_direct else spare
        scale_terms(terms + k, n, scale, value_direct and job.stream_grad, entries)
        if not value_direct:
            store_run(value, entries, n, value_to + k * value_stride, value_stride, job.stream_grad,
                      <char *>(spare + CHUNK))
        if grad_to == NULL:
            continue
        entries = <real *>grad_to + k if grad_direct else spare
        pull_terms(terms + k, numbers, n, scale, <real>point.pull, entries)
        if k <= point.hole < k + n:
            entries[point.hole - k] = <real>point.at_hole
        if not grad_direct:
            store_run(grad, entries, n, grad_to + k * grad_stride, grad_stride, job.stream_grad,
                      <char *>(spare + CHUNK))


cdef bint write_kept(const Job *job, Py_ssize_t sample, char *buffer, real _) noexcept nogil:
    """Value and gradient of a row, unless it has no softmax. (Rows together, to hide the chain from the terms to the
    inverse of their sum, are slower: the next row's terms do that, and more than one row's do not stay in L1.)"""
    cdef RowPart *part = room_for_parts(buffer, _)
    cdef real *terms = <real *>(<char *>part + PART_BYTES)
    cdef RowView row
    cdef RowPoint point
    look_at(job, sample, -1, buffer, &row, _)
    keep_row(job, &row, terms, part, _)
    if not 0 < part.sum_exp < INFINITY:
        return False
    if job.grad_out.data != NULL:
        part.spread_sum = sum_upstream(job, &row, sample, 0, job.n_classes, part.exponent, terms, _)
        find_softmax(job, &row, sample, part, &point, _)
    write_terms(job, sample, &point, <real>(1 / part.sum_exp), terms, <real *>buffer)
    return True
