# The gradient of a row of row.pxi: its logits once more, from cache.


cdef inline void grad_groups(const real *restrict x, const real *weight, const real *given, Py_ssize_t n_groups,
                             real low, real magic, real scale, real push, real keep, real share, int loop,
                             real *restrict grad) noexcept nogil:
    # x and grad are never the same memory (see row_grad_part). loop is a literal.
    cdef real terms[LANES]
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
            grad[k + lane] = value


cdef void grad_dense(const Job *job, const real *x, const real *weight, const real *given, Py_ssize_t n_groups,
                     real low, real magic, real scale, real push, real *grad) noexcept nogil:
    cdef real keep = <real>job.keep, share = <real>job.share
    if job.spread == SPREAD_NONE:
        grad_groups(x, x, x, n_groups, low, magic, scale, push, keep, share, LOOP_NONE, grad)
    elif job.spread == SPREAD_EVEN:
        grad_groups(x, x, x, n_groups, low, magic, scale, push, keep, share, LOOP_EVEN, grad)
    elif job.spread == SPREAD_WEIGHT:
        grad_groups(x, weight, x, n_groups, low, magic, scale, push, keep, share, LOOP_WEIGHT, grad)
    elif weight == NULL:
        grad_groups(x, x, given, n_groups, low, magic, scale, push, keep, share, LOOP_GIVEN, grad)
    else:
        grad_groups(x, weight, given, n_groups, low, magic, scale, push, keep, share, LOOP_GIVEN_WEIGHT, grad)


cdef void grad_run(const Job *job, const real *x, const real *weight, const real *given, Py_ssize_t n, real low,
                   real magic, real scale, real push, real *grad) noexcept nogil:
    """n logits; the tail is padded to a group."""
    cdef real group[LANES]
    cdef real grad_group[LANES]
    cdef real weights[LANES]
    cdef real probabilities[LANES]
    cdef const real *padded = NULL
    cdef Py_ssize_t whole = n - n % LANES
    grad_dense(job, x, weight, given, whole // LANES, low, magic, scale, push, grad)
    if whole == n:
        return
    memset(group, 0, sizeof(group))
    memset(weights, 0, sizeof(weights))
    memset(probabilities, 0, sizeof(probabilities))
    memcpy(group, x + whole, (n - whole) * sizeof(real))
    if weight != NULL:
        memcpy(weights, weight + whole, (n - whole) * sizeof(real))
        padded = weights
    if given != NULL:
        memcpy(probabilities, given + whole, (n - whole) * sizeof(real))
    grad_dense(job, group, padded, probabilities, 1, low, magic, scale, push, grad_group)
    memcpy(grad + whole, grad_group, (n - whole) * sizeof(real))


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
    cdef real push = <real>(point.push / job.temperature)
    cdef Py_ssize_t stride = job.grad_out.class_stride_bytes, k, n, i
    cdef char *to = sample_pointer(job, &job.grad_out, sample)
    cdef const real *x
    cdef real *grad
    cdef real *spare = <real *>buffer + 2 * CHUNK
    cdef RowView row
    row.logits = sample_pointer(job, &job.input, sample)
    row.probabilities = sample_pointer(job, &job.target, sample)
    row.shift, row.buffer = point.shift, buffer
    for k from begin <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        grad = <real *>(to + k * stride)
        if job.stream_grad or job.softcap != 0 or not is_real(&job.grad_out, stride, to + k * stride, _):
            grad = spare
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
            grad_run(job, x, weights_from(job, k, _), load_given(job, &row, k, n, _), n,
                     low, magic, scale, push, grad)
            if k <= point.hole < k + n:
                grad[point.hole - k] = <real>(point.at_hole / job.temperature)
            if job.softcap != 0:
                apply_slopes(job, row.logits + k * job.input.class_stride_bytes, n, grad, spare + CHUNK)
        if grad == spare:
            store_run(&job.grad_out, grad, n, to + k * stride, stride, job.stream_grad, <char *>(spare + CHUNK))
