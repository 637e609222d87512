# softmax, log_softmax and logsumexp of contiguous classes: the sums of row.pxi, and those of upstream gradients.
#
# a) The upstream sum of a column block is over the reference of the block's own sum, and folded with it.
# b) Of a row whose largest logit is left out, the one column block that holds it is summed again.

cdef enum:
    SMALL_LOGIT = 16        # in size: the sum of it and log1p of the others shows what these are known by


# What an upstream gradient is multiplied by.
cdef enum:
    BY_ONE, BY_EXP, BY_TERMS


cdef inline void add_upstream(const real *restrict x, const real *restrict numbers, Py_ssize_t n_groups, real low,
                              real magic, int by, double *restrict sums, double *restrict lost) noexcept nogil:
    # by is a literal; with BY_TERMS x are the terms. float terms are added up for some groups before they are folded
    # into double lanes.
    cdef double totals[LANES]
    cdef double errors[LANES]
    cdef real terms[LANES]
    cdef real partial[LANES]
    cdef Py_ssize_t left = n_groups, g, lane
    cdef double before
    for lane in range(LANES):
        totals[lane], errors[lane] = sums[lane], lost[lane]
    while left > 0:
        for lane in range(LANES):
            partial[lane] = 0
        for g in range(min(left, <Py_ssize_t>GROUPS) if real is float else 1):
            if by == BY_EXP:
                exp_terms(x, low, magic, terms)
            for lane in range(LANES):
                if by == BY_ONE:
                    partial[lane] += numbers[lane]
                else:
                    partial[lane] += numbers[lane] * (x[lane] if by == BY_TERMS else terms[lane])
            x += LANES
            numbers += LANES
            left -= 1
        for lane in range(LANES):
            before = totals[lane]
            totals[lane] = before + partial[lane]
            if real is double:
                errors[lane] += two_sum_lost(before, partial[lane])
    for lane in range(LANES):
        sums[lane], lost[lane] = totals[lane], errors[lane]


cdef void add_upstream_span(const real *x, const real *numbers, Py_ssize_t n, real low, real magic, int by,
                            double *sums, double *lost) noexcept nogil:
    """The tail is padded to a group, with an upstream gradient of 0."""
    cdef real group[LANES]
    cdef real padded[LANES]
    cdef Py_ssize_t whole = n - n % LANES
    if by == BY_EXP:
        add_upstream(x, numbers, whole // LANES, low, magic, BY_EXP, sums, lost)
    elif by == BY_TERMS:
        add_upstream(x, numbers, whole // LANES, low, magic, BY_TERMS, sums, lost)
    else:
        add_upstream(x, numbers, whole // LANES, low, magic, BY_ONE, sums, lost)
    if whole == n:
        return
    memset(group, 0, sizeof(group))
    memset(padded, 0, sizeof(padded))
    memcpy(group, x + whole, (n - whole) * sizeof(real))
    memcpy(padded, numbers + whole, (n - whole) * sizeof(real))
    add_upstream_span(group, padded, LANES, low, magic, by, sums, lost)


cdef const real *load_upstream(const Job *job, Py_ssize_t sample, Py_ssize_t k, Py_ssize_t n,
                               real *buffer) noexcept nogil:
    cdef Py_ssize_t stride = job.grad_output.class_stride_bytes
    return load_run(&job.grad_output, sample_pointer(job, &job.grad_output, sample) + k * stride, n, stride, buffer)


cdef double sum_upstream(const Job *job, const RowView *row, Py_ssize_t sample, Py_ssize_t begin, Py_ssize_t end,
                         double exponent, const real *terms, real _) noexcept nogil:
    """sum of g, for softmax of g exp(x) 2^-exponent, over columns begin to end but the hole; terms, if there are any,
    are those of the whole row."""
    cdef double sums[LANES]
    cdef double lost[LANES]
    cdef real low = lowest_of(exponent, _), magic = magic_of(exponent, _)
    cdef int by = BY_ONE if job.operation != SOFTMAX else BY_EXP if terms == NULL else BY_TERMS
    cdef Py_ssize_t k, n, hole
    cdef const real *x
    cdef const real *numbers
    cdef double error
    memset(sums, 0, sizeof(sums))
    memset(lost, 0, sizeof(lost))
    for k from begin <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        numbers = load_upstream(job, sample, k, n, <real *>row.buffer + CHUNK)
        x = load_logits(job, row, k, n, _) if by == BY_EXP else terms + k if by == BY_TERMS else numbers
        hole = <Py_ssize_t>row.hole - k
        if 0 <= hole < n:
            add_upstream_span(x, numbers, hole, low, magic, by, sums, lost)
            hole += 1
            add_upstream_span(x + hole, numbers + hole, n - hole, low, magic, by, sums, lost)
        else:
            add_upstream_span(x, numbers, n, low, magic, by, sums, lost)
    error = fold_lanes(lost)
    return fold_lanes(sums) + (error if error == error else 0.0)    # nan where a term is infinite


# A row from its column blocks.

cdef void softmax_part(const Job *job, const RowView *row, Py_ssize_t sample, Py_ssize_t column_block, RowPart *part,
                       real _) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK
    row_part(job, row, column_block, part, _)
    if sums_upstream(job):
        part.spread_sum = sum_upstream(job, row, sample, begin, min(begin + COLUMN_BLOCK, job.n_classes),
                                       part.exponent, NULL, _)


cdef void fold_softmax(const Job *job, const RowView *row, Py_ssize_t sample, const RowPart *parts,
                       Py_ssize_t again, RowPart *total, real _) noexcept nogil:
    """All of a row from its parts, of which one may have to be done again; its upstream sum is over total.exponent."""
    cdef Py_ssize_t b
    cdef double lost = 0, correction
    cdef RowPart part
    memset(total, 0, sizeof(RowPart))
    total.exponent, total.row_max = -REFERENCE_LIMIT, -INFINITY
    for b in range((job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK):
        part = parts[b]
        if b == again:
            softmax_part(job, row, sample, b, &part, _)
        if job.operation == SOFTMAX and part.sum_exp != 0:
            if part.exponent > total.exponent:
                scale_down(&total.spread_sum, total.exponent - part.exponent)
            else:
                scale_down(&part.spread_sum, part.exponent - total.exponent)
        fold_part(total, &lost, &part)
    correction = unskew(skew_of(reference_exponent(total.row_max), _))
    total.sum_exp = (total.sum_exp + lost) * correction
    if job.operation == SOFTMAX:
        total.spread_sum = total.spread_sum * correction


cdef int64_t find_largest(const Job *job, const RowView *row, const RowPart *parts, double row_max,
                          real _) noexcept nogil:
    cdef Py_ssize_t b = 0, k, i, lane, n
    cdef const real *x
    cdef real wanted = <real>row_max
    cdef int found
    while parts[b].row_max != row_max:
        b += 1
    for k from b * COLUMN_BLOCK <= k < job.n_classes by CHUNK:
        n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, row, k, n, _)
        for i from 0 <= i < n by LANES:
            found = 0
            if n - i >= LANES:
                for lane in range(LANES):
                    found |= x[i + lane] == wanted
                if not found:
                    continue
            for lane in range(min(n - i, <Py_ssize_t>LANES)):
                if x[i + lane] == wanted:
                    return k + i + lane
    return -1


cdef inline bint leaves_largest_out(const Job *job, const RowPart *total, double shift) noexcept nogil:
    """Whether what the row comes to shows more of the other classes than the sum over all of them holds."""
    if job.operation == SOFTMAX and job.grad_out.data == NULL:
        return False
    if job.operation == LOGSUMEXP and (shift != 0 or fabs(total.row_max) >= SMALL_LOGIT):
        return False
    return is_confident(total.sum_exp, total.exponent, total.row_max)


cdef inline double share_of(const RowPart *part, const RowPoint *point, double inverse) noexcept nogil:
    """A part's sum of g exp(x) as a sum of g p."""
    cdef double total = part.spread_sum
    scale_down(&total, part.exponent - point.exponent)
    return total * inverse


cdef void leave_largest_out(const Job *job, RowView *row, Py_ssize_t sample, const RowPart *parts, double inverse,
                            RowPoint *point, real _) noexcept nogil:
    """nll, and the gradient of the largest logit, from the sums over the others."""
    cdef RowPart rest
    cdef SoftmaxPoint softmax
    cdef double own, others
    row.hole = point.hole = find_largest(job, row, parts, point.row_max, _)
    if row.hole < 0:
        return      # the input has changed meanwhile
    fold_softmax(job, row, sample, parts, <Py_ssize_t>row.hole // COLUMN_BLOCK, &rest, _)
    softmax = softmax_point(rest.sum_exp, rest.exponent, 0, point.row_max, real is float)
    point.nll = softmax.nll
    if sums_upstream(job):
        own = read_number(sample_pointer(job, &job.grad_output, sample)
                          + row.hole * job.grad_output.class_stride_bytes, job.grad_output.code,
                          job.grad_output.swapped)
        others = share_of(&rest, point, inverse) if job.operation == SOFTMAX else rest.spread_sum
        set_pull(job.operation, own, others, softmax.own_share, softmax.rest_share, &point.pull, &point.at_hole)
    else:
        point.hole = -1


cdef void make_parts(const Job *job, const RowView *row, Py_ssize_t sample, RowPart *parts, real _) noexcept nogil:
    cdef Py_ssize_t b
    for b in range((job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK):
        softmax_part(job, row, sample, b, &parts[b], _)


cdef void set_softmax(const Job *job, RowView *row, Py_ssize_t sample, const RowPart *parts, const RowPart *total,
                      const SoftmaxPoint *softmax, RowPoint *point, real _) noexcept nogil:
    """Leaves in point what is to be written needs; logsumexp is written here."""
    memset(point, 0, sizeof(RowPoint))
    point.target = point.hole = -1
    point.shift, point.row_max = row.shift, total.row_max
    point.exponent = softmax.exponent
    point.inverse = softmax.inverse * unskew(skew_of(softmax.exponent, _))
    point.nll = lse_above(softmax[0], total.row_max)
    point.pull = share_of(total, point, softmax.inverse) if job.operation == SOFTMAX else total.spread_sum
    if job.operation == LOGSUMEXP and job.grad_out.data != NULL:
        point.pull = upstream(job, sample)
    if leaves_largest_out(job, total, row.shift):
        leave_largest_out(job, row, sample, parts, softmax.inverse, point, _)
    if softmax.inverse != softmax.inverse and job.grad_out.data != NULL:
        special_gradient(job, sample, total.row_max, &point.pull, &point.at_hole)
    if job.operation == LOGSUMEXP:
        if softmax.inverse != softmax.inverse:
            store_loss(job, sample, special_lse(job, sample, total.row_max, total.sum_exp == 0))
        else:
            store_loss(job, sample, (row.shift + total.row_max) + point.nll)


cdef void find_softmax(const Job *job, RowView *row, Py_ssize_t sample, const RowPart *parts, RowPoint *point,
                       real _) noexcept nogil:
    cdef RowPart total
    cdef SoftmaxPoint softmax
    fold_softmax(job, row, sample, parts, -1, &total, _)
    softmax = softmax_point(total.sum_exp, total.exponent, 0, -INFINITY, real is float)
    set_softmax(job, row, sample, parts, &total, &softmax, point, _)


cdef double largest_part(const Job *job, const RowPart *parts) noexcept nogil:
    cdef Py_ssize_t b
    cdef double row_max = -INFINITY
    for b in range((job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK):
        row_max = max(row_max, parts[b].row_max)
    return row_max


cdef const RowPart *sum_softmax(const Job *job, RowView *row, Py_ssize_t sample, const RowPart *parts, RowPart *made,
                                real _) noexcept nogil:
    """A row's parts, which are made here without any, or where they are not over the right reference."""
    cdef double row_max
    if parts == NULL:
        make_parts(job, row, sample, made, _)
        parts = made
    row_max = largest_part(job, parts)
    if needs_shift(row_max) and row_max != INFINITY:
        row.shift = row_max
        make_parts(job, row, sample, made, _)
        parts = made
    return parts


cdef inline RowPart *room_for_parts(char *buffer, real _) noexcept nogil:
    return <RowPart *>(buffer + ROW_BUFFERS * CHUNK * sizeof(real))


cdef void finish_softmax(const Job *job, Py_ssize_t sample, const RowPart *parts, char *buffer, RowPoint *point,
                         real _) noexcept nogil:
    """A row from its parts, which are made here without any."""
    cdef RowView row
    look_at(job, sample, -1, buffer, &row, _)
    parts = sum_softmax(job, &row, sample, parts, room_for_parts(buffer, _), _)
    find_softmax(job, &row, sample, parts, point, _)
