# The same of samples side by side: lane_sum.pxi's sums, and the best of each sample.

cdef inline real *best_values(const Job *job, const Tile *tile, Py_ssize_t i, real _) noexcept nogil:
    return <real *>(tile.picks + i * job.pick_out.n_picks * 16)


cdef inline int64_t *best_indices(const Job *job, const Tile *tile, Py_ssize_t i) noexcept nogil:
    return <int64_t *>(tile.picks + (i * 16 + 8) * job.pick_out.n_picks)


cdef inline bint any_lane_above(const real *x, const real *worst) noexcept nogil:
    cdef Py_ssize_t lane
    cdef int above = 0
    for lane in range(LANE_WIDTH):
        above |= x[lane] > worst[lane]
    return above


cdef void pick_classes(const Job *job, const Tile *tile, const real *x, Py_ssize_t stride, Py_ssize_t n, int64_t first,
                       real *worst) noexcept nogil:
    """Offers n classes of every sample. worst[i] is what they have to be above: the last of the best."""
    cdef Py_ssize_t k_best = job.pick_out.n_picks, v, k, i, n_best
    cdef const real *logits
    cdef real *values
    for k in range(n):
        logits = x + k * stride
        n_best = min(first + k + 1, k_best)
        for v from 0 <= v < tile.width by LANE_WIDTH:
            if first + k >= k_best and not any_lane_above(logits + v, worst + v):
                continue
            for i in range(v, min(v + LANE_WIDTH, tile.n)):
                if first + k >= k_best and not logits[i] > worst[i]:
                    continue
                values = best_values(job, tile, i, <real>0)
                insert_best(values, best_indices(job, tile, i), n_best, logits[i], first + k)
                worst[i] = values[n_best - 1]


cdef void sum_all_classes(const Job *job, Tile *tile, bint picks, real _) noexcept nogil:
    """As sum_tile, but what is picked is picked while the classes are in cache."""
    cdef Py_ssize_t k, n, j, m, stride = 0
    cdef real *worst = column(tile, OWN_MASS, _)
    cdef const real *x
    reset_sums(job, tile, _)
    number_holes(tile, 0, _)
    for j in range(tile.width):     # lanes without a sample, too
        worst[j] = <real>INFINITY
    for k from 0 <= k < job.n_classes by tile.capacity:
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        for j from 0 <= j < n by CLASS_GROUP:
            m = min(n - j, <Py_ssize_t>CLASS_GROUP)
            add_any(job, x + j * stride, stride, <const real *>NULL, m, k + j, <real>0, tile)
            if picks:
                pick_classes(job, tile, x + j * stride, stride, m, k + j, worst)


cdef void note_states(const Job *job, Tile *tile, real _) noexcept nogil:
    """Before a class is left out: which samples hold a nan."""
    cdef const real *highest = column(tile, HIGHEST, _)
    cdef const double *sums = double_column(tile, SUM)
    cdef double *has_nan = double_column(tile, WEIGHT)
    cdef Py_ssize_t i
    for i in range(tile.n):
        has_nan[i] = sums[i] != sums[i] and (highest[i] != INFINITY or sample_holds_nan(job, tile.first + i))


cdef bint leave_out_picked(const Job *job, Tile *tile, bint picks, real _) noexcept nogil:
    """The class of the largest logit of each confident sample becomes its hole, if it is asked for."""
    cdef const double *sums = double_column(tile, SUM)
    cdef const real *highest = column(tile, HIGHEST, _)
    cdef Py_ssize_t i
    cdef bint any_hole = False
    for i in range(tile.n):
        if is_confident(sums[i], exponent_of(column(tile, MAGIC, _)[i]), highest[i]):
            if picks:
                tile.indices[i] = best_indices(job, tile, i)[0]
            else:
                tile.indices[i] = largest_given(job, tile.first + i, highest[i], column(tile, SHIFT, _)[i], _)
            any_hole |= tile.indices[i] >= 0
    return any_hole


cdef void pick_tile(const Job *job, Tile *tile, bint picks, real _) noexcept nogil:
    cdef real *own = column(tile, OWN, _)
    cdef Py_ssize_t i
    for i in range(tile.n):
        tile.indices[i] = -1
    memset(column(tile, SHIFT, _), 0, tile.width * sizeof(real))
    first_references(job, tile, _)
    sum_all_classes(job, tile, picks, _)
    sum_again(job, tile, _)
    note_states(job, tile, _)
    if leave_out_picked(job, tile, picks, _):
        sum_tile(job, tile, _)
    for i in range(tile.n):
        if tile.indices[i] < 0:
            own[i] = <real>-INFINITY
    for i from 0 <= i < tile.n by FINISH_WIDTH:
        finish_lanes(tile, i, True, _)


cdef void lane_pick_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, bint picks,
                          real _) noexcept nogil:
    cdef Tile tile
    cdef SoftmaxPoint softmax
    cdef LogShare share
    cdef Py_ssize_t i
    lay_out(job, scratch, &tile)
    tile.picks = scratch + lane_scratch(job)
    while begin < end:
        place_tile(job, begin, end, &tile, _)
        pick_tile(job, &tile, picks, _)
        for i in range(tile.n):
            softmax.nll, softmax.exponent = double_column(&tile, NLL)[i], double_column(&tile, EXPONENT)[i]
            softmax.inverse = double_column(&tile, INVERSE)[i]
            set_share(&softmax, tile.indices[i], column(&tile, SHIFT, _)[i], double_column(&tile, WEIGHT)[i] != 0,
                      &share)
            if picks:
                store_best(job, tile.first + i, best_values(job, &tile, i, _), best_indices(job, &tile, i), &share)
            else:
                store_given(job, tile.first + i, &share, _)
        begin += tile.n
