# score of samples side by side: what score.pxi says of a row, of each lane of lane.pxi.
#
# a) A lane's centre is its largest logit so far, that of the classes at hand included.
# b) The first pass compares, and is the only one in most tiles. Another, where a reference was wrong or a shift is
#    subtracted, only sums.

# Columns that the sums of a spread target, and their finish, have no use for here.
cdef enum:
    FALL = SPREAD_SUM
    FALL_LOST = SPREAD_MASS
    BEATEN = WEIGHT
    CENTRE = ORIGIN


cdef inline double *best_column(const Tile *tile) noexcept nogil:
    """The class of the largest logit but the target's, where probabilities would lie."""
    return <double *>tile.given


cdef void load_own(const Job *job, Tile *tile, real _) noexcept nogil:
    """The target's logit, before the pass; -inf where it is ignored, nan where it has changed since it was checked."""
    cdef real *own = column(tile, OWN, _)
    cdef Py_ssize_t i, stride = 0
    cdef const real *x = NULL
    cdef int64_t target
    if tile.direct or tile.capacity >= job.n_classes:
        x = load_classes(job, tile, 0, tile.capacity, &stride, _)
    for i in range(tile.width):
        own[i] = <real>-INFINITY
    for i in range(tile.n):
        target = tile.indices[i]
        if not is_class(job, target):
            own[i] = <real>-INFINITY if target == job.ignore_index else <real>NAN
        elif x != NULL:
            own[i] = x[target * stride + i]
        else:
            own[i] = <real>read_logit(job, sample_pointer(job, &job.input, tile.first + i)
                                      + target * job.input.class_stride_bytes)


cdef void reset_score(Tile *tile, real _) noexcept nogil:
    cdef real *highest = column(tile, HIGHEST, _)
    cdef Py_ssize_t i
    memset(double_column(tile, SUM), 0, 4 * tile.width * sizeof(double))
    memcpy(column(tile, CENTRE, _), column(tile, LOW, _), tile.width * sizeof(real))
    for i in range(tile.width):
        highest[i] = <real>-INFINITY


cdef inline void add_score(const real *x, real number, const real *columns, Py_ssize_t width, const real *centre,
                           real *terms, real *fall, bint compares) noexcept nogil:
    """One class of LANE_WIDTH samples, and how far below the centre it lies."""
    cdef const real *magic = columns + MAGIC * width
    cdef const real *low = columns + LOW * width
    cdef const real *hole = columns + HOLE * width
    cdef const real *shift = columns + SHIFT * width
    cdef real values[LANE_WIDTH]
    cdef real exps[LANE_WIDTH]
    cdef Py_ssize_t lane
    cdef real value
    for lane in range(LANE_WIDTH):
        value = x[lane]
        if not compares:
            value = value - shift[lane]
        value = <real>-INFINITY if hole[lane] == number else value
        values[lane] = at_least(value, low[lane])
    exp_lanes(values, low, magic, False, exps)
    for lane in range(LANE_WIDTH):
        terms[lane] += exps[lane]
        fall[lane] = madd(exps[lane], centre[lane] - values[lane], fall[lane])


cdef inline void score_lanes(const real *x, Py_ssize_t stride, Py_ssize_t n, double k0, real first_number,
                             const Tile *tile, double *best, bint compares) noexcept nogil:
    """Adds at most CLASS_GROUP classes of every sample. compares is a literal: the first pass, without a shift."""
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef real *columns = <real *>tile.reals
    cdef double *doubles = tile.doubles
    cdef real low[LANE_WIDTH]
    cdef real hole[LANE_WIDTH]
    cdef real own[LANE_WIDTH]
    cdef real shift[LANE_WIDTH]
    cdef real highest[LANE_WIDTH]
    cdef real centre[LANE_WIDTH]
    cdef real rise[LANE_WIDTH]          # of the centre
    cdef real partial[LANE_WIDTH]
    cdef real fall[LANE_WIDTH]
    cdef real beaten[LANE_WIDTH]
    cdef real where[LANE_WIDTH]
    cdef real terms[LANE_WIDTH]
    cdef real value, number
    cdef double before, fallen, added
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(low, columns + LOW * width + v, sizeof(low))
        memcpy(hole, columns + HOLE * width + v, sizeof(hole))
        memcpy(own, columns + OWN * width + v, sizeof(own))
        memcpy(shift, columns + SHIFT * width + v, sizeof(shift))
        memcpy(highest, columns + HIGHEST * width + v, sizeof(highest))
        memcpy(rise, columns + CENTRE * width + v, sizeof(rise))
        for lane in range(LANE_WIDTH):
            partial[lane] = fall[lane] = beaten[lane] = 0
            where[lane] = -1
        for k in range(n):
            number = first_number + k
            for lane in range(LANE_WIDTH):
                value = x[k * stride + v + lane]
                if compares:
                    beaten[lane] += <real>1 if (value > own[lane]) | ((value == own[lane]) & (number < hole[lane])) \
                        else <real>0
                else:
                    value = value - shift[lane]
                value = <real>-INFINITY if hole[lane] == number else value
                if compares:
                    where[lane] = <real>k if value > highest[lane] else where[lane]
                highest[lane] = larger(value, highest[lane])
        for lane in range(LANE_WIDTH):
            centre[lane] = at_least(highest[lane], low[lane])
        for k from 0 <= k < n by 2:     # in pairs, as add_classes adds them
            for lane in range(LANE_WIDTH):
                terms[lane] = 0
            add_score(x + k * stride + v, first_number + k, columns + v, width, centre, terms, fall, compares)
            if k + 1 < n:
                add_score(x + (k + 1) * stride + v, first_number + (k + 1), columns + v, width, centre, terms, fall,
                          compares)
            for lane in range(LANE_WIDTH):
                partial[lane] += terms[lane]
        memcpy(columns + HIGHEST * width + v, highest, sizeof(highest))
        memcpy(columns + CENTRE * width + v, centre, sizeof(centre))
        for lane in range(LANE_WIDTH):
            before = doubles[SUM * width + v + lane]
            fallen = doubles[FALL * width + v + lane]
            added = fall[lane] + (before + doubles[LOST * width + v + lane]) * (<double>centre[lane] - rise[lane])
            doubles[SUM * width + v + lane] = before + partial[lane]
            doubles[FALL * width + v + lane] = fallen + added
            if real is double:
                doubles[LOST * width + v + lane] += two_sum_lost(before, partial[lane])
                doubles[FALL_LOST * width + v + lane] += two_sum_lost(fallen, added)
            if compares:
                doubles[BEATEN * width + v + lane] += beaten[lane]
                best[v + lane] = k0 + where[lane] if where[lane] >= 0 else best[v + lane]


cdef void score_classes(const Job *job, Tile *tile, bint compares, real _) noexcept nogil:
    """One pass over the logits of a tile."""
    cdef Py_ssize_t k, n, j, m, stride = 0, base = 0
    cdef double *best = best_column(tile)
    cdef const real *x
    cdef real number
    reset_score(tile, _)
    number_holes(tile, 0, _)
    for k from 0 <= k < job.n_classes by tile.capacity:
        if k - base + tile.capacity > EXACT_CLASSES:
            base = k
            number_holes(tile, base, _)
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        for j from 0 <= j < n by CLASS_GROUP:
            m = min(n - j, <Py_ssize_t>CLASS_GROUP)
            number = <real>(k - base + j)
            if compares:
                score_lanes(x + j * stride, stride, m, k + j, number, tile, best, True)
            else:
                score_lanes(x + j * stride, stride, m, k + j, number, tile, best, False)


cdef void score_samples(const Job *job, Tile *tile, real _) noexcept nogil:
    cdef real *own = column(tile, OWN, _)
    cdef const real *shift = column(tile, SHIFT, _)
    cdef Py_ssize_t i
    memset(column(tile, SHIFT, _), 0, tile.width * sizeof(real))
    memset(double_column(tile, BEATEN), 0, tile.width * sizeof(double))
    memset(best_column(tile), 0, tile.width * sizeof(double))
    load_own(job, tile, _)
    first_references(job, tile, _)
    score_classes(job, tile, True, _)
    if correct_references(tile, _):
        for i in range(tile.n):
            own[i] = own[i] - shift[i]
        score_classes(job, tile, False, _)
        if correct_references(tile, _):     # see sum_again
            score_classes(job, tile, False, _)


cdef bint sample_holds_nan(const Job *job, Py_ssize_t sample) noexcept nogil:
    cdef const char *source = sample_pointer(job, &job.input, sample)
    cdef Py_ssize_t k
    cdef double x
    for k in range(job.n_classes):
        x = read_logit(job, source + k * job.input.class_stride_bytes)
        if x != x:
            return True
    return False


cdef void finish_scores(const Job *job, const Tile *tile, Py_ssize_t v, real _) noexcept nogil:
    """LANE_WIDTH samples from their sums to what is stored."""
    cdef Py_ssize_t width = tile.width, lane
    cdef const double *doubles = tile.doubles + v
    cdef const real *reals = <real *>tile.reals + v
    cdef double fall[LANE_WIDTH]
    cdef double nll[LANE_WIDTH]
    cdef double lse[LANE_WIDTH]
    cdef double entropy[LANE_WIDTH]
    cdef double confidence[LANE_WIDTH]
    cdef bint has_nan[LANE_WIDTH]
    cdef double own
    cdef SoftmaxPoint softmax
    cdef ScorePoint point
    for lane in range(LANE_WIDTH):
        own = doubles[SUM * width + lane] + doubles[LOST * width + lane]
        has_nan[lane] = (own != own) | (reals[OWN * width + lane] != reals[OWN * width + lane])
        own = own if own != 0 else 1.0
        fall[lane] = (doubles[FALL * width + lane] + doubles[FALL_LOST * width + lane]) / own
    for lane from 0 <= lane < LANE_WIDTH by FINISH_WIDTH:
        finish_lanes(tile, v + lane, True, _)
    for lane in range(LANE_WIDTH):
        softmax.nll = doubles[NLL * width + lane]
        softmax.exponent, softmax.inverse = doubles[EXPONENT * width + lane], doubles[INVERSE * width + lane]
        softmax.rest_share = doubles[REST_SHARE * width + lane]
        softmax.own_share = doubles[OWN_SHARE * width + lane]
        point = score_point(softmax, reals[OWN * width + lane], reals[HIGHEST * width + lane], fall[lane],
                            reals[SHIFT * width + lane])
        nll[lane] = point.nll
        lse[lane] = point.lse
        entropy[lane] = point.entropy
        confidence[lane] = point.confidence
    for lane in range(min(tile.n - v, <Py_ssize_t>LANE_WIDTH)):
        point.nll, point.lse, point.entropy, point.confidence = nll[lane], lse[lane], entropy[lane], confidence[lane]
        if has_nan[lane] and larger(reals[OWN * width + lane], reals[HIGHEST * width + lane]) == INFINITY:
            has_nan[lane] = sample_holds_nan(job, tile.first + v + lane)
        store_score(job, tile.first + v + lane, tile.indices[v + lane], has_nan[lane],
                    doubles[BEATEN * width + lane], <int64_t>best_column(tile)[v + lane], &point)


cdef void lane_score_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, real _) noexcept nogil:
    cdef Tile tile
    cdef Py_ssize_t v
    lay_out(job, scratch, &tile)
    while begin < end:
        place(job, begin, end, &tile, _)
        score_samples(job, &tile, _)
        for v from 0 <= v < tile.width by LANE_WIDTH:
            finish_scores(job, &tile, v, _)
        begin += tile.n
