# The gradient of a row of row.pxi: its logits once more, from cache.


cdef inline void grad_groups(const real *restrict x, const real *weight, const real *given, Py_ssize_t n_groups,
                             real low, real magic, real scale, real push, real keep, real share, bint streams,
                             int loop, real *restrict grad) noexcept nogil:
    # x and grad are never the same memory (see row_grad_part). streams and loop are literals. What is streamed begins
    # with a line.
    cdef real terms[LANES]
    cdef real entries[LANES]
    cdef Py_ssize_t g, lane, k
    cdef real value, mass
    for g in range(n_groups):
        k = g * LANES
        exp_scaled_terms(x + k, low, magic, scale, terms)
        for lane in range(LANES):
            value = terms[lane]
            if spreads(loop):
                mass = madd(given[k + lane], keep, share) if takes_given(loop) else share
                mass = mass * weight[k + lane] if weighs(loop) else mass
                value = (<real>0 if scale == 0 else value) - push * mass
            if streams:
                entries[lane] = value
            else:
                grad[k + lane] = value
        if streams:
            stream_terms(<char *>(grad + k), entries, sizeof(entries))


cdef inline void grad_loop(const real *x, const real *weight, const real *given, Py_ssize_t n_groups, real low,
                           real magic, real scale, real push, real keep, real share, bint streams, int loop,
                           real *grad) noexcept nogil:
    if streams:
        grad_groups(x, weight, given, n_groups, low, magic, scale, push, keep, share, True, loop, grad)
    else:
        grad_groups(x, weight, given, n_groups, low, magic, scale, push, keep, share, False, loop, grad)


cdef void grad_dense(const Job *job, const real *x, const real *weight, const real *given, Py_ssize_t n_groups,
                     real low, real magic, real scale, real push, bint streams, real *grad) noexcept nogil:
    cdef real keep = <real>job.keep, share = <real>job.share
    if job.spread == SPREAD_NONE:
        grad_loop(x, x, x, n_groups, low, magic, scale, push, keep, share, streams, LOOP_NONE, grad)
    elif job.spread == SPREAD_EVEN:
        grad_loop(x, x, x, n_groups, low, magic, scale, push, keep, share, streams, LOOP_EVEN, grad)
    elif job.spread == SPREAD_WEIGHT:
        grad_loop(x, weight, x, n_groups, low, magic, scale, push, keep, share, streams, LOOP_WEIGHT, grad)
    elif weight == NULL:
        grad_loop(x, x, given, n_groups, low, magic, scale, push, keep, share, streams, LOOP_GIVEN, grad)
    else:
        grad_loop(x, weight, given, n_groups, low, magic, scale, push, keep, share, streams, LOOP_GIVEN_WEIGHT, grad)


cdef void grad_few(const Job *job, const real *x, const real *weight, const real *given, Py_ssize_t n, real low,
                   real magic, real scale, real push, real *grad) noexcept nogil:
    """Fewer than LANES logits, padded to a group."""
    cdef real group[LANES]
    cdef real grad_group[LANES]
    cdef real weights[LANES]
    cdef real probabilities[LANES]
    cdef const real *padded = NULL
    memset(group, 0, sizeof(group))
    memcpy(group, x, n * sizeof(real))
    if weight != NULL:
        memset(weights, 0, sizeof(weights))
        memcpy(weights, weight, n * sizeof(real))
        padded = weights
    if given != NULL:
        memset(probabilities, 0, sizeof(probabilities))
        memcpy(probabilities, given, n * sizeof(real))
    grad_dense(job, group, padded, probabilities, 1, low, magic, scale, push, False, grad_group)
    memcpy(grad, grad_group, n * sizeof(real))


cdef void grad_run(const Job *job, const real *x, const real *weight, const real *given, Py_ssize_t head,
                   Py_ssize_t n, Py_ssize_t hole, real at_hole, real low, real magic, real scale, real push,
                   bint streams, real *grad) noexcept nogil:
    """n logits: `head` of them, whole groups, and what is left. hole: -1 if it is none of them."""
    cdef Py_ssize_t whole = (n - head) // LANES, tail = head + whole * LANES, n_before = whole, k
    cdef real entries[LANES]
    if streams and head <= hole < tail:
        n_before = (hole - head) // LANES
    if head > 0:
        grad_few(job, x, weight, given, head, low, magic, scale, push, grad)
    grad_dense(job, x + head, from_(weight, head), from_(given, head), n_before, low, magic, scale, push, streams,
               grad + head)
    if n_before < whole:
        # A line that is written to once it is streamed would be fetched again: 1.1 times the time at 1000 classes.
        k = head + n_before * LANES
        grad_dense(job, x + k, from_(weight, k), from_(given, k), 1, low, magic, scale, push, False, entries)
        entries[hole - k] = at_hole
        stream_terms(<char *>(grad + k), entries, sizeof(entries))
        k += LANES
        grad_dense(job, x + k, from_(weight, k), from_(given, k), whole - n_before - 1, low, magic, scale, push,
                   streams, grad + k)
    if tail < n:
        grad_few(job, x + tail, from_(weight, tail), from_(given, tail), n - tail, low, magic, scale, push,
                 grad + tail)
    if n_before == whole and hole >= 0:
        grad[hole] = at_hole


cdef void apply_slopes(const Job *job, const char *logits, Py_ssize_t n, real *grad, real *buffer) noexcept nogil:
    """The chain rule through the softcap."""
    cdef const real *x = load_run(&job.input, logits, n, job.input.class_stride_bytes, buffer)
    cdef Py_ssize_t k
    for k in range(n):
        grad[k] = times(grad[k], <real>softcap_slope_f64(x[k], job.softcap))


cdef void row_grad_part(const Job *job, Py_ssize_t sample, Py_ssize_t begin, Py_ssize_t end, const RowPoint *point,
                        char *buffer, real _) noexcept nogil:
    cdef real low = lowest_of(point.exponent, _), magic = magic_of(point.exponent, _)
    cdef real scale = <real>(product(point.pull, point.inverse) / job.temperature)
    cdef real push = <real>(point.push / job.temperature), at_hole = <real>(point.at_hole / job.temperature)
    cdef Py_ssize_t stride = job.grad_out.class_stride_bytes, k = begin, n, i, head
    cdef char *to = sample_pointer(job, &job.grad_out, sample)
    cdef const real *x
    cdef real *grad
    cdef real *spare = <real *>buffer + 2 * CHUNK
    cdef RowView row
    row.logits = sample_pointer(job, &job.input, sample)
    row.probabilities = sample_pointer(job, &job.target, sample)
    row.shift, row.buffer = point.shift, buffer
    cdef bint direct = job.softcap == 0 and is_real(&job.grad_out, stride, to, _)
    cdef bint streams = direct and job.stream_grad
    while k < end:
        # What is streamed is written by lines, which begin where they do: no entry knows what it is grouped with.
        n = min(end - k, <Py_ssize_t>CHUNK)
        grad = <real *>(to + k * stride) if direct else spare
        head = before_line(grad, n, streams)
        if head > 0:
            n = min(n, head + CHUNK - LANES)
        if scale != scale:
            for i in range(n):
                grad[i] = <real>NAN
        elif point.pull == 0 and point.push == 0:
            memset(grad, 0, n * sizeof(real))
        else:
            x = load_logits(job, &row, k, n, _)
            if <const real *>grad == x:     # in place: gcc would read and write number by number, lest they overlap
                memcpy(buffer, x, n * sizeof(real))
                x = <const real *>buffer
            grad_run(job, x, weights_from(job, k, _), load_given(job, &row, k, n, _), head, n,
                     point.hole - k if k <= point.hole < k + n else -1, at_hole, low, magic, scale, push, streams, grad)
            if job.softcap != 0:
                apply_slopes(job, row.logits + k * job.input.class_stride_bytes, n, grad, spare + CHUNK)
        if grad == spare:
            store_run(&job.grad_out, grad, n, to + k * stride, stride, job.stream_grad, <char *>(spare + CHUNK))
        k += n
