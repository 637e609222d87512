# From the sums of rows to their losses and gradients. Rows are finished ROW_BATCH at a time, as many as stay in cache
# until their gradient: a row ends in some 100 operations in a chain, and 16 side by side cost little more than one.

cdef enum:
    ROW_BATCH = 16
    BATCH_LOGITS = 1 << 14


# A row between its sums and its end.
cdef struct RowState:
    int64_t target
    int64_t hole
    double scale                # of the loss; 0: none of its terms are left
    double loss                 # nan where the target has changed since it was checked
    Sums sums


cdef struct RowPoints:
    double sum_exp[ROW_BATCH]
    double exponent[ROW_BATCH]
    double skew[ROW_BATCH]
    double own[ROW_BATCH]
    double nll[ROW_BATCH]
    double rest_share[ROW_BATCH]
    double own_share[ROW_BATCH]
    double inverse[ROW_BATCH]


cdef void find_points(RowPoints *points, real _) noexcept nogil:
    cdef Py_ssize_t i
    cdef SoftmaxPoint softmax
    cdef double *exponent = points.exponent
    for i in range(ROW_BATCH):
        softmax = softmax_point(points.sum_exp[i], exponent[i], points.skew[i], points.own[i], real is float)
        points.nll[i] = softmax.nll
        points.rest_share[i], points.own_share[i] = softmax.rest_share, softmax.own_share
        exponent[i], points.inverse[i] = softmax.exponent, softmax.inverse


cdef inline SoftmaxPoint point_of(const RowPoints *points, Py_ssize_t i) noexcept nogil:
    cdef SoftmaxPoint softmax
    softmax.nll, softmax.rest_share, softmax.own_share = points.nll[i], points.rest_share[i], points.own_share[i]
    softmax.exponent, softmax.inverse = points.exponent[i], points.inverse[i]
    return softmax


cdef inline Py_ssize_t row_batch(const Job *job, Py_ssize_t n_logits) noexcept nogil:
    """How many rows are finished together, so that they stay in cache until they are written."""
    return max(min(n_logits // job.n_classes, <Py_ssize_t>ROW_BATCH), <Py_ssize_t>1)


cdef void begin_row(const Job *job, Py_ssize_t sample, const RowPart *parts, char *buffer, RowState *state,
                    RowPoints *points, Py_ssize_t i, real _) noexcept nogil:
    """A row's sums, if any of its terms are left."""
    cdef RowView row
    cdef RowPart total
    state.target = -1
    state.scale, state.loss = sample_weight(job, sample), 0
    state.sums.target_weight = 0
    if job.spread != SPREAD_GIVEN:
        load_indices(job, sample, 1, &state.target)
        if state.target == job.ignore_index:
            state.scale = 0
        elif not 0 <= state.target < job.n_classes:     # changed since it was checked: nan, not a read out of bounds
            state.scale, state.loss = 0, NAN
        else:
            state.sums.target_weight = 1.0 if job.weight == NULL else job.weight[state.target]
            if not has_terms(job, state.sums.target_weight):
                state.scale = 0
    points.sum_exp[i], points.exponent[i], points.skew[i], points.own[i] = 1, 0, 0, 0
    state.hole = -1
    if state.scale != 0:
        look_at(job, sample, state.target, buffer, &row, _)
        sum_sample(job, &row, parts, &total, &state.sums, _)
        points.sum_exp[i], points.exponent[i], points.own[i] = total.sum_exp, total.exponent, state.sums.own
        points.skew[i] = skew_of(reference_exponent(total.row_max), _)
        state.hole = row.hole


cdef void end_row(const Job *job, Py_ssize_t sample, const RowState *state, const RowPoints *points, Py_ssize_t i,
                  Totals *totals, RowPoint *point, real _) noexcept nogil:
    """Writes a sample's loss, adds it to the totals, and leaves in point what the gradient needs."""
    cdef double loss = state.loss
    cdef bint spreads = job.spread != SPREAD_NONE, squares = job.lse_square_scale != 0
    cdef SoftmaxPoint softmax
    cdef Slopes slopes
    memset(point, 0, sizeof(RowPoint))
    point.target, point.hole = state.target, state.hole
    if loss != 0:
        point.inverse = point.pull = loss
    elif state.scale != 0:
        softmax = point_of(points, i)
        loss = one_nan_f64(state.scale * sample_loss(job.keep, spreads, squares, job.lse_square_scale, state.sums,
                                                     softmax))
        if job.grad_out.data != NULL:
            point.shift = state.sums.shift
            point.exponent = softmax.exponent
            point.inverse = softmax.inverse * unskew(skew_of(softmax.exponent, _))
            slopes = sample_slopes(job.keep, spreads, squares, job.lse_square_scale, state.sums, softmax, loss,
                                   product(state.scale, upstream(job, sample)))
            point.pull, point.push, point.at_hole = slopes.pull, slopes.push, slopes.at_hole
    totals.loss += loss
    store_loss(job, sample, loss)


cdef void finish_row(const Job *job, Py_ssize_t sample, const RowPart *parts, char *buffer, Totals *totals,
                     RowPoint *point, real _) noexcept nogil:
    """One row from its parts."""
    cdef RowState state
    cdef RowPoints points
    memset(&points, 0, sizeof(points))
    begin_row(job, sample, parts, buffer, &state, &points, 0, _)
    find_points(&points, _)
    end_row(job, sample, &state, &points, 0, totals, point, _)


cdef void row_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *buffer, Totals *totals,
                    real _) noexcept nogil:
    cdef RowState states[ROW_BATCH]
    cdef RowPoints points
    cdef RowPoint point
    cdef Py_ssize_t rows = row_batch(job, BATCH_LOGITS), sample, i, n
    memset(&points, 0, sizeof(points))
    for sample from begin <= sample < end by rows:
        n = min(rows, end - sample)
        for i in range(n):
            begin_row(job, sample + i, NULL, buffer, &states[i], &points, i, _)
        find_points(&points, _)
        for i in range(n):
            end_row(job, sample + i, &states[i], &points, i, totals, &point, _)
            if job.grad_out.data != NULL:
                row_grad_part(job, sample + i, 0, job.n_classes, &point, buffer, _)
    if job.stream_grad:
        stream_fence()


# One row shared among threads: its parts, then (finish_row, on one thread) their fold, then its gradient by columns.

cdef void one_part(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *buffer, RowPart *part,
                   real _) noexcept nogil:
    cdef int64_t target = -1
    cdef RowView row
    memset(part, 0, sizeof(RowPart))
    part.exponent, part.row_max = -REFERENCE_LIMIT, -INFINITY
    if job.spread != SPREAD_GIVEN:
        load_indices(job, sample, 1, &target)
        if target == job.ignore_index or not 0 <= target < job.n_classes:
            return
    look_at(job, sample, target, buffer, &row, _)
    row_part(job, &row, column_block, part, _)


cdef void one_grad(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *buffer, const RowPoint *point,
                   real _) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK
    row_grad_part(job, sample, begin, min(begin + COLUMN_BLOCK, job.n_classes), point, buffer, _)
    if job.stream_grad:
        stream_fence()
