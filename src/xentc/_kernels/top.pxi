# top_logprobs and gather_logprobs: the log-probabilities of a few classes, x - lse, from one read of the logits.
#
# a) The best k so far are kept in order. Many logits at once are compared with the worst of them; what is not higher
#    is not looked at again, and an equal logit comes later, so that it has lost already. What is left is a few k even
#    of a long row, fewer with a bound from its first block (first_bound).
# b) x - lse of a class that outweighs all others is -log1p(rest / own), as in point.h, and needs the sum without it.
#    Which class that is, is known only behind the row: the column block of the largest logit so far is kept apart, and
#    it alone is summed again. Where samples lie side by side, all of a tile's classes are.
# c) A block is summed by row.pxi, then searched: the second time it comes from cache.

cdef enum:
    FEW_PICKS = 128             # among which a place is sought one by one
    BOUND_LANES = 256

cdef struct Apart:
    RowPart others              # all blocks but one
    double lost
    RowPart largest             # the one that the largest logit is in
    Py_ssize_t block            # its number


# What log-probabilities are made of, once a sample's sums are known.
cdef struct LogShare:
    double nll                  # of the hole
    double high                 # lse, in two parts
    double low
    int64_t hole                # the class that was left out of the sum, or -1
    double shift
    bint has_nan


cdef void set_share(const SoftmaxPoint *softmax, int64_t hole, double shift, bint has_nan,
                    LogShare *share) noexcept nogil:
    share.nll, share.hole, share.shift, share.has_nan = softmax.nll, hole, shift, has_nan
    share.high = softmax.exponent * LN2_HI_F64
    share.low = softmax.exponent * LN2_LO_F64 - log(softmax.inverse)


cdef inline double log_share(const LogShare *share, int64_t index, double x) noexcept nogil:
    if share.has_nan:
        return NAN
    if index == share.hole:
        return 0.0 - share.nll
    return ((x - share.shift) - share.high) - share.low


cdef inline Py_ssize_t first_pick(const PickOut *out, Py_ssize_t sample) noexcept nogil:
    """Where the first result of a sample goes; the others are out.inner apart."""
    return sample // out.inner * out.n_picks * out.inner + sample % out.inner


cdef void store_best(const Job *job, Py_ssize_t sample, const real *values, const int64_t *indices,
                     const LogShare *share) noexcept nogil:
    cdef const PickOut *out = job.pick_out
    cdef Py_ssize_t at = first_pick(out, sample), pick
    for pick in range(out.n_picks):
        store_real(out.logprobs, out.code, at, log_share(share, indices[pick], values[pick]))
        out.indices[at] = -1 if share.has_nan else indices[pick]
        at += out.inner


# The best so far: logits and their classes, beside each other.

cdef inline void insert_best(real *values, int64_t *indices, Py_ssize_t n, real x, int64_t index) noexcept nogil:
    """Into the n best, whose last one goes. Behind its equals: they came before."""
    cdef Py_ssize_t at = n - 1, half, left = n - 1
    if n <= FEW_PICKS:      # one by one: two calls of memmove cost more
        while at > 0 and values[at - 1] < x:
            values[at], indices[at] = values[at - 1], indices[at - 1]
            at -= 1
    else:
        at = 0
        while left > 0:
            half = (left + 1) // 2
            at += half if values[at + half - 1] >= x else 0
            left -= half
        memmove(values + at + 1, values + at, (n - 1 - at) * sizeof(real))
        memmove(indices + at + 1, indices + at, (n - 1 - at) * sizeof(int64_t))
    values[at], indices[at] = x, index


cdef inline bint many_above(const real *x, real bound) noexcept nogil:
    cdef Py_ssize_t k
    cdef int above = 0
    for k in range(FIND_GROUPS * LANES):
        above |= x[k] > bound
    return above


cdef inline uint32_t lanes_above(const real *x, real bound) noexcept nogil:
    """One bit a lane."""
    if real is float:
        return terms_above_f32(x, bound, False)
    else:
        return terms_above_f64(x, bound, False)


cdef inline Py_ssize_t partition(real *x, Py_ssize_t begin, Py_ssize_t end, real pivot, bint or_equal) noexcept nogil:
    """Brings what is above the pivot to the front, without a branch, and says where the rest begins."""
    cdef Py_ssize_t i, front = begin
    cdef real value
    for i in range(begin, end):
        value = x[i]
        x[i] = x[front]
        x[front] = value
        front += value >= pivot if or_equal else value > pivot
    return front


cdef real nth_largest(real *x, Py_ssize_t n, Py_ssize_t nth) noexcept nogil:
    """Hoare's quickselect, nth counted from 0. Not for nan."""
    cdef Py_ssize_t begin = 0, end = n, above, rest
    cdef real pivot
    while True:
        pivot = x[(begin + end) // 2]
        above = partition(x, begin, end, pivot, False)
        rest = partition(x, above, end, pivot, True)
        if nth < above:
            end = above
        elif nth < rest:
            return pivot
        else:
            begin = rest


cdef real first_bound(const Job *job, const RowView *row, Py_ssize_t k_best, real _) noexcept nogil:
    """What at least k_best logits of the first block reach; -inf where that is not known. The largest of every
    BOUND_LANES-th logit is one logit, and the k_best-th of these numbers such a bound: most of what would be the best
    for a while is then never written down."""
    cdef real largest[BOUND_LANES]
    cdef Py_ssize_t end = min(job.n_classes, <Py_ssize_t>COLUMN_BLOCK), k, n, i, lane
    cdef const real *x
    if k_best > BOUND_LANES // 2 or end < 16 * BOUND_LANES:
        return <real>-INFINITY
    for lane in range(BOUND_LANES):
        largest[lane] = <real>-INFINITY
    for k from 0 <= k < end by CHUNK:
        n = min(end - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, row, k, n, _)
        for i from 0 <= i <= n - BOUND_LANES by BOUND_LANES:
            for lane in range(BOUND_LANES):
                largest[lane] = larger(x[i + lane], largest[lane])
    return nth_largest(largest, BOUND_LANES, k_best - 1)


cdef Py_ssize_t begin_best(real *values, int64_t *indices, Py_ssize_t k_best, real bound) noexcept nogil:
    """Fills the best with what lies just below the bound, and says how many classes come before any is compared."""
    cdef Py_ssize_t i
    if bound == -INFINITY:
        return k_best
    for i in range(k_best):
        values[i] = nextafterf(bound, -INFINITY) if real is float else <real>nextafter(bound, -INFINITY)
        indices[i] = -1
    return 0


cdef void pick_run(const real *x, Py_ssize_t n, int64_t first, Py_ssize_t n_unseen, real *values,
                   int64_t *indices, Py_ssize_t k_best) noexcept nogil:
    """Offers n logits, of classes from `first` on, to the best of a row, all classes before having been offered. The
    first n_unseen classes of the row are taken as they come."""
    cdef Py_ssize_t i = 0, j, stop
    cdef uint32_t above
    while i < n and first + i < n_unseen:
        insert_best(values, indices, first + i + 1, x[i], first + i)
        i += 1
    while i < n:
        stop = min(i + FIND_GROUPS * LANES, n)
        if stop - i == FIND_GROUPS * LANES and not many_above(x + i, values[k_best - 1]):
            i = stop
            continue
        while stop - i >= LANES:
            above = lanes_above(x + i, values[k_best - 1])
            while above != 0:
                j = i + lowest_bit(above)
                if x[j] > values[k_best - 1]:
                    insert_best(values, indices, k_best, x[j], first + j)
                above &= above - 1
            i += LANES
        while i < stop:
            if x[i] > values[k_best - 1]:
                insert_best(values, indices, k_best, x[i], first + i)
            i += 1


# One row.

cdef void sum_apart(const Job *job, const RowView *row, real *values, int64_t *indices, Py_ssize_t n_picks,
                    Apart *apart, real _) noexcept nogil:
    """All blocks, nothing left out. With values given, the best n_picks are picked on the way."""
    cdef Py_ssize_t n_blocks = (job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK, b, k, n
    cdef Py_ssize_t n_unseen = 0
    cdef RowPart part
    memset(apart, 0, sizeof(Apart))
    apart.others.exponent, apart.others.row_max = -REFERENCE_LIMIT, -INFINITY
    for b in range(n_blocks):
        memset(&part, 0, sizeof(RowPart))
        row_part(job, row, b, &part, _)
        if values != NULL:
            if b == 0:      # its logits are in the cache now
                n_unseen = begin_best(values, indices, n_picks, first_bound(job, row, n_picks, _))
            for k from b * COLUMN_BLOCK <= k < min((b + 1) * COLUMN_BLOCK, job.n_classes) by CHUNK:
                n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
                pick_run(load_logits(job, row, k, n, _), n, k, n_unseen, values, indices, n_picks)
        if b == 0:
            apart.largest = part
        elif part.row_max > apart.largest.row_max:
            fold_part(&apart.others, &apart.lost, &apart.largest)
            apart.largest, apart.block = part, b
        else:
            fold_part(&apart.others, &apart.lost, &part)


cdef void share_row(const Job *job, RowView *row, Apart *apart, int64_t candidate, LogShare *share,
                    real _) noexcept nogil:
    """From the sums of the first view. candidate is the class of the largest logit, if it is asked for, else -1."""
    cdef RowPart total
    cdef double lost, own = -INFINITY, sum_exp
    cdef double row_max = max(apart.others.row_max, apart.largest.row_max)
    cdef SoftmaxPoint softmax
    cdef bint has_nan = row_max == INFINITY and holds_nan(job, row, _)
    if needs_shift(row_max) and row_max != INFINITY:
        row.shift = row_max
        row_max = 0
        sum_apart(job, row, <real *>NULL, NULL, 0, apart, _)
    total, lost = apart.others, apart.lost
    fold_part(&total, &lost, &apart.largest)
    sum_exp = total.sum_exp + lost
    has_nan |= sum_exp != sum_exp and row_max != INFINITY
    if (0 <= candidate - apart.block * COLUMN_BLOCK < COLUMN_BLOCK
            and is_confident(sum_exp, total.exponent, row_max)):
        row.hole = candidate
        own = load_logits(job, row, candidate, 1, _)[0]
        row_part(job, row, apart.block, &apart.largest, _)
        total, lost = apart.others, apart.lost
        fold_part(&total, &lost, &apart.largest)
        sum_exp = total.sum_exp + lost
    softmax = softmax_point(sum_exp, total.exponent, skew_of(reference_exponent(total.row_max), _), own, real is float)
    set_share(&softmax, row.hole, row.shift, has_nan, share)


cdef void row_top_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *buffer, real _) noexcept nogil:
    cdef Py_ssize_t n_picks = job.pick_out.n_picks, sample
    cdef real *values = <real *>(buffer + row_scratch(job))
    cdef int64_t *indices = <int64_t *>(buffer + row_scratch(job) + n_picks * sizeof(double))
    cdef RowView row
    cdef Apart apart
    cdef LogShare share
    for sample in range(begin, end):
        look_at(job, sample, -1, buffer, &row, _)
        sum_apart(job, &row, values, indices, n_picks, &apart, _)
        share_row(job, &row, &apart, indices[0], &share, _)
        store_best(job, sample, values, indices, &share)


cdef inline int64_t given_class(const Job *job, Py_ssize_t sample, Py_ssize_t pick) noexcept nogil:
    """-1 where it is no class any more."""
    cdef int64_t index
    copy_indices(sample_pointer(job, &job.target, sample) + pick * job.target.class_stride_bytes, 1, 0,
                 job.target.code, job.target.swapped, -1, &index)
    return index if 0 <= index < job.n_classes else -1


cdef inline real given_logit(const Job *job, Py_ssize_t sample, int64_t index, real _) noexcept nogil:
    return <real>read_logit(job, sample_pointer(job, &job.input, sample) + index * job.input.class_stride_bytes)


cdef int64_t largest_given(const Job *job, Py_ssize_t sample, double row_max, double shift, real _) noexcept nogil:
    """The given class of this logit, or -1."""
    cdef Py_ssize_t pick
    cdef int64_t index
    for pick in range(job.pick_out.n_picks):
        index = given_class(job, sample, pick)
        if index >= 0 and given_logit(job, sample, index, _) - <real>shift == row_max:
            return index
    return -1


cdef void store_given(const Job *job, Py_ssize_t sample, const LogShare *share, real _) noexcept nogil:
    cdef const PickOut *out = job.pick_out
    cdef Py_ssize_t at = first_pick(out, sample), pick
    cdef int64_t index
    for pick in range(out.n_picks):
        index = given_class(job, sample, pick)
        store_real(out.logprobs, out.code, at + pick * out.inner, NAN if index < 0 else
                   log_share(share, index, given_logit(job, sample, index, _)))


cdef void row_gather_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *buffer, real _) noexcept nogil:
    cdef Py_ssize_t sample
    cdef int64_t candidate
    cdef RowView row
    cdef Apart apart
    cdef LogShare share
    for sample in range(begin, end):
        look_at(job, sample, -1, buffer, &row, _)
        sum_apart(job, &row, <real *>NULL, NULL, 0, &apart, _)
        candidate = largest_given(job, sample, max(apart.others.row_max, apart.largest.row_max), 0, _)
        share_row(job, &row, &apart, candidate, &share, _)
        store_given(job, sample, &share, _)
