# What is written to the classes of a row, once its sums are known: its logits once more, from cache.

cdef inline void write_groups(const real *restrict x, const real *restrict numbers, Py_ssize_t n_groups, real low,
                              real magic, real scale, real top, real nll, real pull, bint streams, int kind,
                              real *restrict to) noexcept nogil:
    # streams and kind are literals. What is streamed begins with a line.
    cdef real terms[LANES]
    cdef real entries[LANES]
    cdef real entry
    cdef Py_ssize_t g, lane, k
    for g in range(n_groups):
        k = g * LANES
        if kind != GRAD_FROM_SOFTMAX:
            exp_scaled_terms(x + k, low, magic, scale, terms)
        for lane in range(LANES):
            if kind == GRAD_FROM_SOFTMAX:
                entry = softmax_entry(x[k + lane], x[k + lane], numbers[k + lane], top, nll, pull, GRAD_SOFTMAX)
            else:
                entry = softmax_entry(x[k + lane], terms[lane], numbers[k + lane], top, nll, pull, kind)
            if streams:
                entries[lane] = entry
            else:
                to[k + lane] = entry
        if streams:
            stream_terms(<char *>(to + k), entries, sizeof(entries))


cdef inline void write_loop(const real *x, const real *numbers, Py_ssize_t n_groups, real low, real magic, real scale,
                            real top, real nll, real pull, bint streams, int kind, real *to) noexcept nogil:
    if streams:
        write_groups(x, numbers, n_groups, low, magic, scale, top, nll, pull, True, kind, to)
    else:
        write_groups(x, numbers, n_groups, low, magic, scale, top, nll, pull, False, kind, to)


cdef void write_dense(const RowPoint *point, const real *x, const real *numbers, Py_ssize_t n_groups, int kind,
                      bint streams, real *to) noexcept nogil:
    cdef real low = lowest_of(point.exponent, <real>0), magic = magic_of(point.exponent, <real>0)
    cdef real scale = <real>point.inverse, top = <real>point.row_max, nll = <real>point.nll, pull = <real>point.pull
    if kind == VALUE_SOFTMAX:
        write_loop(x, x, n_groups, low, magic, scale, top, nll, pull, streams, VALUE_SOFTMAX, to)
    elif kind == VALUE_LOG_SOFTMAX:
        write_loop(x, x, n_groups, low, magic, scale, top, nll, pull, streams, VALUE_LOG_SOFTMAX, to)
    elif kind == GRAD_SOFTMAX:
        write_loop(x, numbers, n_groups, low, magic, scale, top, nll, pull, streams, GRAD_SOFTMAX, to)
    elif kind == GRAD_FROM_SOFTMAX:
        write_loop(x, numbers, n_groups, low, magic, scale, top, nll, pull, streams, GRAD_FROM_SOFTMAX, to)
    elif kind == GRAD_LOG_SOFTMAX:
        write_loop(x, numbers, n_groups, low, magic, scale, top, nll, pull, streams, GRAD_LOG_SOFTMAX, to)
    else:
        write_loop(x, x, n_groups, low, magic, scale, top, nll, pull, streams, GRAD_LOGSUMEXP, to)


cdef void write_few(const RowPoint *point, const real *x, const real *numbers, Py_ssize_t n, int kind,
                    real *to) noexcept nogil:
    """Fewer than LANES entries, padded to a group."""
    cdef real group[LANES]
    cdef real padded[LANES]
    cdef real entries[LANES]
    memset(group, 0, sizeof(group))
    memset(padded, 0, sizeof(padded))
    memcpy(group, x, n * sizeof(real))
    if numbers != NULL:
        memcpy(padded, numbers, n * sizeof(real))
    write_dense(point, group, padded, 1, kind, False, entries)
    memcpy(to, entries, n * sizeof(real))


cdef void write_run(const RowPoint *point, const real *x, const real *numbers, Py_ssize_t n, int kind, bint streams,
                    real *to) noexcept nogil:
    """n entries: those before a line, whole groups, and what is left. x and to are never the same memory."""
    cdef Py_ssize_t head = before_line(to, n, streams), whole = (n - head) // LANES, tail = head + whole * LANES
    if head > 0:
        write_few(point, x, numbers, head, kind, to)
    write_dense(point, x + head, from_(numbers, head), whole, kind, streams, to + head)
    if tail < n:
        write_few(point, x + tail, from_(numbers, tail), n - tail, kind, to + tail)


cdef void write_entries(const Job *job, const Operand *operand, const RowPoint *point, const real *x,
                        const real *numbers, char *to, Py_ssize_t k, Py_ssize_t n, int kind,
                        real *buffer) noexcept nogil:
    """Entries k to k + n of a row, at `to`."""
    cdef Py_ssize_t stride = operand.class_stride_bytes, i
    cdef real *spare = buffer + 2 * CHUNK
    cdef real *entries = spare
    cdef real elsewhere = <real>point.pull, at_infinity = <real>point.at_hole
    cdef bint direct = is_real(operand, stride, to, <real>0)
    if direct:
        entries = <real *>to
    if point.inverse != point.inverse:
        for i in range(n):
            entries[i] = <real>NAN if is_value(kind) else at_infinity if x[i] == INFINITY else elsewhere
    else:
        if <const real *>entries == x:  # in place
            memcpy(buffer, x, n * sizeof(real))
            x = <const real *>buffer
        write_run(point, x, numbers, n, kind, direct and job.stream_grad, entries)
        if not is_value(kind) and k <= point.hole < k + n:
            entries[point.hole - k] = <real>point.at_hole
    if entries == spare:
        store_run(operand, entries, n, to, stride, job.stream_grad, <char *>(spare + CHUNK))


cdef void write_softmax(const Job *job, Py_ssize_t sample, Py_ssize_t begin, Py_ssize_t end, const RowPoint *point,
                        char *scratch, real _) noexcept nogil:
    cdef bint has_value = job.operation != LOGSUMEXP, has_grad = job.grad_out.data != NULL
    # Last is what may be written over the input. A gradient of softmax is made from a value that was written before it.
    cdef bint grad_last = job.grad_out.data == job.input.data or job.loss_out.data != job.input.data
    cdef int kind = grad_kind(job)
    cdef char *value_to = sample_pointer(job, &job.loss_out, sample) if has_value else NULL
    cdef char *grad_to = sample_pointer(job, &job.grad_out, sample) if has_grad else NULL
    cdef Py_ssize_t k, n, turn
    cdef real *buffer = <real *>scratch
    cdef const real *x
    cdef const real *numbers = NULL
    cdef RowView row
    if (grad_last and has_grad and kind == GRAD_SOFTMAX and point.inverse == point.inverse and not job.stream_grad
            and is_real(&job.loss_out, job.loss_out.class_stride_bytes, value_to, <real>0)):
        kind = GRAD_FROM_SOFTMAX
    row.logits = sample_pointer(job, &job.input, sample)
    row.shift, row.buffer = point.shift, scratch
    for k from begin <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, &row, k, n, _)
        if sums_upstream(job):
            numbers = load_upstream(job, sample, k, n, buffer + CHUNK)
        for turn in range(2):
            if has_grad and turn == grad_last:
                if kind == GRAD_FROM_SOFTMAX:
                    x = <const real *>(value_to + k * job.loss_out.class_stride_bytes)
                write_entries(job, &job.grad_out, point, x, numbers, grad_to + k * job.grad_out.class_stride_bytes,
                              k, n, kind, buffer)
            elif has_value and turn != grad_last:
                write_entries(job, &job.loss_out, point, x, numbers, value_to + k * job.loss_out.class_stride_bytes,
                              k, n, value_kind(job), buffer)


cdef void finish_and_write(const Job *job, Py_ssize_t sample, char *buffer, real _) noexcept nogil:
    cdef RowPoint point
    finish_softmax(job, sample, NULL, buffer, &point, _)
    if job.operation != LOGSUMEXP or job.grad_out.data != NULL:
        write_softmax(job, sample, 0, job.n_classes, &point, buffer, _)


cdef void finish_batch(const Job *job, Py_ssize_t begin, Py_ssize_t n, char *buffer, real _) noexcept nogil:
    """Rows of one column block, side by side as those of row_finish.pxi: at most ROW_BATCH."""
    cdef RowView rows[ROW_BATCH]
    cdef RowPart parts[ROW_BATCH]
    cdef RowPart totals[ROW_BATCH]
    cdef RowPoints points
    cdef SoftmaxPoint softmax
    cdef RowPoint point
    cdef Py_ssize_t i
    memset(&points, 0, sizeof(points))
    for i in range(ROW_BATCH):
        points.own[i] = -INFINITY
    for i in range(n):
        look_at(job, begin + i, -1, buffer, &rows[i], _)
        sum_softmax(job, &rows[i], begin + i, NULL, &parts[i], _)
        fold_softmax(job, &rows[i], begin + i, &parts[i], -1, &totals[i], _)
        points.sum_exp[i], points.exponent[i] = totals[i].sum_exp, totals[i].exponent
    find_points(&points, _)
    for i in range(n):
        softmax = point_of(&points, i)
        set_softmax(job, &rows[i], begin + i, &parts[i], &totals[i], &softmax, &point, _)
        if job.operation != LOGSUMEXP or job.grad_out.data != NULL:
            write_softmax(job, begin + i, 0, job.n_classes, &point, buffer, _)


cdef void softmax_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *buffer, real _) noexcept nogil:
    cdef Py_ssize_t rows = row_batch(job, BATCH_LOGITS // 4), sample
    if keeps_terms(job):
        for sample in range(begin, end):
            if not write_kept(job, sample, buffer, _):
                finish_and_write(job, sample, buffer, _)
    elif rows > 1:
        for sample from begin <= sample < end by rows:
            finish_batch(job, sample, min(rows, end - sample), buffer, _)
    else:
        for sample in range(begin, end):
            finish_and_write(job, sample, buffer, _)
    if job.stream_grad:
        stream_fence()


cdef void one_softmax_part(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *buffer, RowPart *part,
                           real _) noexcept nogil:
    cdef RowView row
    look_at(job, sample, -1, buffer, &row, _)
    softmax_part(job, &row, sample, column_block, part, _)


cdef void one_softmax_write(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *buffer,
                            const RowPoint *point, real _) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK
    write_softmax(job, sample, begin, min(begin + COLUMN_BLOCK, job.n_classes), point, buffer, _)
    if job.stream_grad:
        stream_fence()
