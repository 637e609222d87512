# multilabel_margin_loss, one sample at a time: m listed classes j (with multiplicity), the others i, and the sum over
# pairs of max(0, 1 - x_j + x_i).
#
# a) A pair counts if 1 - x_j + x_i > 0 in `real`. A rounded sum has the sign of the exact one, so that this is
#    x_i > x_j - 1 with that threshold rounded, and infinities compare as they should: two of one sign are no pair.
# b) The thresholds are sorted. A class needs but its rank, the number of thresholds below it, and adds
#    rank (x_i - nearest threshold below) + the distances from that threshold to those below it. Only distances are
#    added, none of them negative: nothing cancels. O((m + C) log m).
# c) A rank is counted against every threshold, LANES classes side by side, while there are FEW_LISTED or fewer: a
#    function of m alone. Where there are more, it is found by bisection.
# d) Listed classes are -inf in the copy of the row, and so have rank 0. Ranks count pairs of an unlisted class; those
#    of a threshold are the classes of a higher rank. Counts are integers until the gradient is stored.
# e) Where few are listed, the pairs are added up one by one, which saves looking up what belongs to a rank.
# f) Sums of float64 rows keep what they are rounded by, and their thresholds what x_j - 1 was rounded by. In float32
#    neither comes near an ULP of the loss.

cdef enum:
    FEW_LISTED = LANES
    FEW_PAIRED = 4              # listed classes, of which each pair is added; ranks take as long as 5 of them
    MARGIN_ARRAYS = 10

# A thread's scratch, arrays of `width` numbers of 8 bytes.
cdef struct Margin:
    Py_ssize_t width            # classes and one more, in whole lanes
    Py_ssize_t n_listed
    int64_t *targets
    int64_t *counts             # of pairs a class, the listed ones negative
    int64_t *higher             # [r]: classes of rank r, then of rank r or higher
    double *origin              # [r]: the nearest threshold below a class of rank r
    double *origin_lost         # what that was rounded by
    double *below               # [r]: the distances from there to the thresholds further below
    double *bounds              # the thresholds once more, as doubles
    char *row                   # reals: the row, -inf at its listed classes; at last, the gradient
    char *listed                # reals: the listed logits, in the target's order
    char *thresholds            # reals, sorted


cdef inline Py_ssize_t margin_width(const Job *job) noexcept nogil:
    return (job.n_classes + LANES) // LANES * LANES


cdef size_t margin_scratch(const Job *job) noexcept nogil:
    return MARGIN_ARRAYS * margin_width(job) * 8


cdef void place_margin(const Job *job, char *scratch, Margin *margin) noexcept nogil:
    cdef Py_ssize_t width = margin_width(job)
    margin.width = width
    margin.targets = <int64_t *>scratch
    margin.counts = margin.targets + width
    margin.higher = margin.counts + width
    margin.origin = <double *>(margin.higher + width)
    margin.origin_lost = margin.origin + width
    margin.below = margin.origin_lost + width
    margin.bounds = margin.below + width
    margin.row = <char *>(margin.bounds + width)
    margin.listed = margin.row + width * 8
    margin.thresholds = margin.listed + width * 8


cdef void rank_few(const real *sorted, Py_ssize_t n, const real *x, int64_t *ranks) noexcept nogil:
    """How many of n numbers are below each of LANES others."""
    cdef real count[LANES]
    cdef Py_ssize_t p, lane
    for lane in range(LANES):
        count[lane] = 0
    for p in range(n):
        for lane in range(LANES):
            count[lane] += <real>1 if sorted[p] < x[lane] else <real>0
    for lane in range(LANES):
        ranks[lane] = <int64_t>count[lane]


cdef void rank_many(const double *sorted, Py_ssize_t n, const real *x, int64_t *ranks) noexcept nogil:
    """The same, n at least 1 and the numbers sorted: LANES bisections at a time. A comparison becomes a mask: of a
    choice gcc makes a branch, which is guessed wrong half of the time. All is 64 bits wide, so that it vectorises."""
    cdef double y[LANES]
    cdef Py_ssize_t half, lane
    for lane in range(LANES):
        ranks[lane] = 0
        y[lane] = x[lane]
    while n > 1:
        half = n // 2
        for lane in range(LANES):
            ranks[lane] += half & -<int64_t>(sorted[ranks[lane] + half - 1] < y[lane])
        n -= half
    for lane in range(LANES):
        ranks[lane] += sorted[ranks[lane]] < y[lane]


cdef inline void rank(const Margin *margin, const real *x, int64_t *ranks) noexcept nogil:
    """How many thresholds are below each of LANES numbers."""
    if margin.n_listed <= FEW_LISTED:
        rank_few(<const real *>margin.thresholds, margin.n_listed, x, ranks)
    else:
        rank_many(margin.bounds, margin.n_listed, x, ranks)


cdef void sort_few(const real *values, Py_ssize_t n, real *sorted) noexcept nogil:
    """FEW_LISTED or fewer, each to its rank; of equal ones only the first place is taken by that, and a running maximum
    takes the others."""
    cdef int64_t ranks[LANES]
    cdef real x[LANES]
    cdef Py_ssize_t i
    for i in range(LANES):
        x[i] = values[i] if i < n else <real>0
    rank_few(values, n, x, ranks)
    for i in range(n):
        sorted[i] = <real>-INFINITY
    for i in range(n):
        sorted[ranks[i]] = x[i]
    for i in range(1, n):
        sorted[i] = larger(sorted[i], sorted[i - 1])


cdef void merge(const real *values, Py_ssize_t middle, Py_ssize_t end, real *merged) noexcept nogil:
    """Two sorted runs, values[:middle] and values[middle:end], into one."""
    cdef Py_ssize_t i = 0, j = middle, k = 0, second
    while i < middle and j < end:
        second = values[j] < values[i]
        merged[k] = values[i + ((j - i) & -second)]     # no branch, as in rank_many
        k, i, j = k + 1, i + 1 - second, j + second
    memcpy(merged + k, values + i, (middle - i) * sizeof(real))
    memcpy(merged + k + (middle - i), values + j, (end - j) * sizeof(real))


cdef real *sort(const real *values, Py_ssize_t n, real *sorted, real *other) noexcept nogil:
    """In `sorted` or in `other`, whichever is returned."""
    cdef Py_ssize_t width = FEW_LISTED, i, end
    for i from 0 <= i < n by FEW_LISTED:
        sort_few(values + i, min(n - i, <Py_ssize_t>FEW_LISTED), sorted + i)
    while width < n:
        for i from 0 <= i < n by 2 * width:
            end = min(n - i, 2 * width)
            merge(sorted + i, min(end, width), end, other + i)
        sorted, other = other, sorted
        width *= 2
    return sorted


cdef void set_thresholds(Margin *margin, real _) noexcept nogil:
    cdef real *thresholds = <real *>margin.thresholds
    cdef real *sorted = sort(<const real *>margin.listed, margin.n_listed, thresholds, <real *>margin.counts)
    cdef double total = 0, lost = 0, distance, step
    cdef Py_ssize_t p
    margin.origin[0] = margin.origin_lost[0] = margin.below[0] = 0
    for p in range(margin.n_listed):
        margin.origin[p + 1] = <double>sorted[p] - 1.0
        if real is double:
            margin.origin_lost[p + 1] = two_sum_lost(sorted[p], -1.0) if fabs(sorted[p]) < INFINITY else 0.0
        thresholds[p] = sorted[p] - <real>1
        margin.bounds[p] = thresholds[p]
        if p > 0:
            distance = 0
            if real is double:
                distance = margin.origin_lost[p + 1] - margin.origin_lost[p]
            if margin.origin[p + 1] != margin.origin[p]:        # two of -inf are no distance apart
                distance += margin.origin[p + 1] - margin.origin[p]
            step = p * distance
            if real is double:
                if total + step < INFINITY:
                    lost += two_sum_lost(total, step)
            total += step
        margin.below[p + 1] = total + lost


cdef inline void add_to_lane(double *total, double *lost, double term, real _) noexcept nogil:
    if real is double:
        lost[0] += two_sum_lost(total[0], term)
    total[0] += term


cdef inline double distance_above(const Margin *margin, Py_ssize_t r, double x, real _) noexcept nogil:
    """From the nearest threshold below a class of rank r."""
    if real is double:
        return (x - margin.origin[r]) - margin.origin_lost[r]
    else:
        return x - margin.origin[r]


cdef inline void add_ranked(const Margin *margin, const int64_t *ranks, const real *x, double *total,
                            double *lost) noexcept nogil:
    """The pairs of LANES classes, of known ranks."""
    cdef double term
    cdef Py_ssize_t lane
    for lane in range(LANES):
        term = times_f64(<double>ranks[lane], distance_above(margin, ranks[lane], x[lane], x[0]))
        add_to_lane(total + lane, lost + lane, term + margin.below[ranks[lane]], x[0])


cdef inline void add_pairs(const Margin *margin, const real *x, double *total, double *lost) noexcept nogil:
    """The same, a pair at a time."""
    cdef double term
    cdef Py_ssize_t p, lane
    for p in range(margin.n_listed):
        for lane in range(LANES):
            term = distance_above(margin, p + 1, x[lane], x[0])
            add_to_lane(total + lane, lost + lane, term if margin.bounds[p] < x[lane] else 0.0, x[0])


cdef double fold_exact_lanes(double *total, double *lost, real _) noexcept nogil:
    cdef Py_ssize_t lane, half = LANES // 2
    if real is float:
        return fold_lanes(total)
    while half > 0:
        for lane in range(half):
            lost[lane] += lost[lane + half] + two_sum_lost(total[lane], total[lane + half])
            total[lane] += total[lane + half]
        half //= 2
    return total[0] + lost[0] if total[0] < INFINITY else total[0]      # what an infinity was rounded by is nan


cdef double sum_pairs(Margin *margin, bint count, real _) noexcept nogil:
    """The sum over all pairs; if wanted, ranks go to `counts`, and how often each occurs to `higher`."""
    cdef const real *row = <const real *>margin.row
    cdef bint few = margin.n_listed <= FEW_PAIRED
    cdef int64_t ranks[LANES]
    cdef double total[LANES]
    cdef double lost[LANES]
    cdef Py_ssize_t v, lane
    memset(total, 0, sizeof(total))
    memset(lost, 0, sizeof(lost))
    if count:
        memset(margin.higher, 0, (margin.n_listed + 1) * sizeof(int64_t))
    for v from 0 <= v < margin.width by LANES:
        if count or not few:
            rank(margin, row + v, ranks)
        if few:
            add_pairs(margin, row + v, total, lost)
        else:
            add_ranked(margin, ranks, row + v, total, lost)
        if count:
            memcpy(margin.counts + v, ranks, sizeof(ranks))
            for lane in range(LANES):
                margin.higher[ranks[lane]] += 1
    return fold_exact_lanes(total, lost, _)


cdef void count_listed(Margin *margin, real _) noexcept nogil:
    """The pairs of each listed class, as often as it is listed."""
    cdef const real *listed = <const real *>margin.listed
    cdef int64_t ranks[LANES]
    cdef real x[LANES]
    cdef Py_ssize_t i, lane, filled, r
    for r in range(margin.n_listed - 1, 0, -1):
        margin.higher[r] += margin.higher[r + 1]
    for i from 0 <= i < margin.n_listed by LANES:
        filled = min(margin.n_listed - i, <Py_ssize_t>LANES)
        for lane in range(LANES):
            x[lane] = listed[i + lane] - <real>1 if lane < filled else <real>0
        rank(margin, x, ranks)
        for lane in range(filled):
            margin.counts[margin.targets[i + lane]] -= margin.higher[ranks[lane] + 1]


cdef bint load_margin(const Job *job, Py_ssize_t sample, Margin *margin, real _) noexcept nogil:
    """The row and its listed classes. False if it holds a nan, or if a target is no class any more."""
    cdef const char *source = sample_pointer(job, &job.input, sample)
    cdef real *row = <real *>margin.row
    cdef real *listed = <real *>margin.listed
    cdef const real *x = load_run(&job.input, source, job.n_classes, job.input.class_stride_bytes, row)
    cdef Py_ssize_t k, n = 0
    cdef bint right = True
    if x != row:
        memcpy(row, x, job.n_classes * sizeof(real))
    for k in range(job.n_classes):
        right &= row[k] == row[k]
    for k in range(job.n_classes, margin.width):
        row[k] = <real>-INFINITY
    load_class_indices(job, sample, 0, job.n_classes, margin.targets)
    while n < job.n_classes and margin.targets[n] >= 0:
        if margin.targets[n] >= job.n_classes:
            return False
        listed[n] = row[margin.targets[n]]
        n += 1
    for k in range(n):
        row[margin.targets[k]] = <real>-INFINITY
    margin.n_listed = n
    return right


cdef void store_margin_grad(const Job *job, Py_ssize_t sample, Margin *margin, double scale, bint right,
                            real _) noexcept nogil:
    cdef real *grad = <real *>margin.row
    cdef Py_ssize_t k
    if not right or scale == 0:
        for k in range(job.n_classes):
            grad[k] = <real>0 if scale == 0 else <real>NAN
    else:
        count_listed(margin, _)
        for k in range(job.n_classes):
            grad[k] = <real>one_nan_f64(<double>margin.counts[k] * scale)
    store_run(&job.grad_out, grad, job.n_classes, sample_pointer(job, &job.grad_out, sample),
              job.grad_out.class_stride_bytes, False, margin.thresholds)


cdef void margin_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals,
                       real _) noexcept nogil:
    cdef bint want_grad = job.grad_out.data != NULL, right
    cdef Py_ssize_t sample
    cdef double loss
    cdef Margin margin
    place_margin(job, scratch, &margin)
    for sample in range(begin, end):
        loss = NAN
        right = load_margin(job, sample, &margin, _)
        if right:
            set_thresholds(&margin, _)
            loss = sum_pairs(&margin, want_grad, _) / job.n_classes
        totals.loss += loss
        store_loss(job, sample, loss)
        if want_grad:
            store_margin_grad(job, sample, &margin, upstream(job, sample) / job.n_classes, right, _)
