# score of rows: beside the sum of row.pxi the rank of the target, the class of the largest logit, and the entropy.
#
# a) The sum is that of row.pxi, term by term and fold by fold: the nll of score has the bits of cross_entropy's loss.
# b) The target's logit is known before the row is read. Classes before it beat it from an equal logit on, classes
#    behind it from a higher one: one comparison a logit, of a kind that is fixed for a run of groups.
# c) The entropy needs the mean of x under p. What is added is exp(x) (centre - x), the centre being at most STALE below
#    the largest logit so far, this fold's included: no difference is large where it counts. Where a fold rises above
#    that, which is rare, the centre is raised, what was added before is lowered in double, and the fold is done again.
# d) The largest logit is found with its chunk; its class only afterwards, in that chunk alone.
# e) Where the sum is done again with the largest logit subtracted, ranks and classes stay those of the first time:
#    differences may be equal where logits are not.

cdef enum:
    FIND_GROUPS = 8             # groups that are searched at a time
    STALE = 1                   # how far the largest logit may be above the centre

cdef struct ScoreLanes:
    double sum_exp[LANES]
    double lost[LANES]
    double fall[LANES]          # sum of exp(x) (centre - x)
    double fall_lost[LANES]
    double highest[LANES]       # numbers of type real, like those below
    double beaten[LANES]        # how often the target was
    double centre


cdef struct ScorePart:
    RowPart sums
    double fall
    double centre
    double beaten
    Py_ssize_t best             # the chunk that the largest logit is in


cdef inline bint any_above(const real *x, real bound) noexcept nogil:
    cdef Py_ssize_t lane
    cdef int above = 0
    for lane in range(LANES):
        above |= x[lane] > bound
    return above


cdef void raise_centre(const real *partial, real low, ScoreLanes *sums) noexcept nogil:
    cdef real lanes[LANES]
    cdef Py_ssize_t lane
    cdef double centre, rise
    memcpy(lanes, sums.highest, sizeof(lanes))
    centre = at_least(largest_lane(lanes), low)
    rise = centre - sums.centre
    sums.centre = centre
    for lane in range(LANES):
        sums.fall[lane] += (sums.sum_exp[lane] + sums.lost[lane] + partial[lane]) * rise


cdef inline int score_group(Run *run, real low, real magic, real own, bint or_equal, real centre, real *terms,
                            real *fall, real *highest, real *beaten) noexcept nogil:
    """Adds to fall, highest and beaten; what it returns adds to the sum of beaten."""
    cdef const real *x = <const real *>run.logits
    prefetch_group(run.memory, LOOP_NONE, low)
    exp_falling_terms(x, low, magic, centre, terms, fall)
    larger_terms(x, highest)
    next_group(run, LOOP_NONE, low)
    if real is float:
        return count_above_f32(x, own, or_equal, beaten)
    else:
        return count_above_f64(x, own, or_equal, beaten)


cdef inline void score_groups(Run *run, Py_ssize_t n, real low, real magic, real own, bint or_equal,
                              ScoreLanes *sums, real *partial) noexcept nogil:
    """n groups of a run, whose terms are added to partial in pairs, as add_groups does. or_equal is a literal."""
    cdef real terms[LANES]
    cdef real second[LANES]
    cdef real fall[LANES]
    cdef real highest[LANES]
    cdef real beaten[LANES]
    cdef real sum_terms[LANES]
    cdef real centre = <real>sums.centre
    cdef Py_ssize_t lane, count = 0
    for lane in range(LANES):
        fall[lane] = beaten[lane] = 0
        highest[lane] = (<real *>sums.highest)[lane]
        sum_terms[lane] = partial[lane]
    while n > 1:
        count += score_group(run, low, magic, own, or_equal, centre, terms, fall, highest, beaten)
        count += score_group(run, low, magic, own, or_equal, centre, second, fall, highest, beaten)
        for lane in range(LANES):
            sum_terms[lane] += terms[lane] + second[lane]
        n -= 2
    if n > 0:
        count += score_group(run, low, magic, own, or_equal, centre, terms, fall, highest, beaten)
        for lane in range(LANES):
            sum_terms[lane] += terms[lane]
    for lane in range(LANES):
        (<real *>sums.highest)[lane] = highest[lane]
    if any_above(highest, centre + <real>STALE):
        return
    (<real *>sums.beaten)[0] += <real>count
    for lane in range(LANES):
        (<real *>sums.beaten)[lane] += beaten[lane]
        partial[lane] = sum_terms[lane]
        if real is double:
            sums.fall_lost[lane] += two_sum_lost(sums.fall[lane], fall[lane])
        sums.fall[lane] += fall[lane]


cdef void fold_terms(ScoreLanes *sums, real *partial) noexcept nogil:
    cdef Py_ssize_t lane
    cdef double before
    for lane in range(LANES):
        before = sums.sum_exp[lane]
        sums.sum_exp[lane] = before + partial[lane]
        if real is double:
            sums.lost[lane] += two_sum_lost(before, partial[lane])
        partial[lane] = 0


cdef void score_runs(const Span *span, Py_ssize_t hole, real low, real magic, real own,
                     ScoreLanes *sums) noexcept nogil:
    """Folds where add_groups folds, so that both come to the same sum. Classes before the hole beat it if they equal
    it; none of the copies counts here. A stretch that rose too far above the centre is done again."""
    cdef real partial[LANES]
    cdef real bound
    cdef Py_ssize_t r, n, n_left, room = 2 * GROUPS, lane
    cdef double centre
    cdef Run run, start
    for lane in range(LANES):
        partial[lane] = 0
    for r in range(span.n_runs + (span.n_pads > 0)):
        run = span.runs[r]
        bound = own if r < span.n_runs else <real>NAN
        n_left = run.n_groups
        while n_left > 0:
            n = min(n_left, room)
            start, centre = run, sums.centre
            if hole > run.first:
                score_groups(&run, n, low, magic, bound, True, sums, partial)
            else:
                score_groups(&run, n, low, magic, bound, False, sums, partial)
            if any_above(<const real *>sums.highest, <real>centre + <real>STALE):
                raise_centre(partial, low, sums)
                run = start
                continue
            n_left -= n
            room -= n
            if room == 0:
                fold_terms(sums, partial)
                room = 2 * GROUPS
    if room < 2 * GROUPS:
        fold_terms(sums, partial)


cdef void score_span(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t n, real low, real magic, real own,
                     ScoreLanes *sums) noexcept nogil:
    """As add_span of row_span.pxi. What the copies hold is compared here: it may lie on both sides of the hole."""
    cdef Span span
    cdef const real *x = cut_span(job, row, k, n, LOOP_NONE, &span, low)
    cdef Py_ssize_t hole = row.hole - k, i, lane, first
    cdef real *beaten = <real *>sums.beaten
    score_runs(&span, hole, low, magic, own, sums)
    for i in range(span.n_pads):
        first = span.pads[i]
        for lane in range(min(n - first, <Py_ssize_t>LANES)):
            beaten[lane] += <real>1 if (x[first + lane] > own) | ((x[first + lane] == own) & (first + lane < hole)) \
                else <real>0


cdef real first_centre(const Job *job, const RowView *row, Py_ssize_t begin, Py_ssize_t end,
                       real low) noexcept nogil:
    """The largest logit of the first stretch, which would be done twice; not the target, which may lie far above."""
    cdef real highest[LANES]
    cdef real group[LANES]
    cdef Py_ssize_t n = min(end - begin, <Py_ssize_t>(2 * GROUPS * LANES)), hole = row.hole - begin, k, lane
    cdef const real *x = load_logits(job, row, begin, n, low)
    for lane in range(LANES):
        highest[lane] = low
    for k from 0 <= k <= n - LANES by LANES:
        if 0 <= hole - k < LANES:
            pad_group(x + k, <Py_ssize_t>LANES, hole - k, low, group)
            larger_terms(group, highest)
        else:
            larger_terms(x + k, highest)
    return largest_lane(highest)


cdef void score_block(const Job *job, const RowView *row, Py_ssize_t begin, Py_ssize_t end, real own,
                      ScorePart *part, real _) noexcept nogil:
    """The sums of columns begin to end, over the reference part.sums.exponent."""
    cdef ScoreLanes sums
    cdef real low = lowest_of(part.sums.exponent, _), magic = magic_of(part.sums.exponent, _)
    cdef real *highest = <real *>sums.highest
    cdef real *beaten = <real *>sums.beaten
    cdef real lanes[LANES]
    cdef real row_max = <real>-INFINITY
    cdef Py_ssize_t k, lane
    memset(&sums, 0, sizeof(sums))
    for lane in range(LANES):
        highest[lane] = <real>-INFINITY
    sums.centre = first_centre(job, row, begin, end, low)
    part.best = begin
    part.beaten = 0
    for k from begin <= k < end by CHUNK:
        score_span(job, row, k, min(end - k, <Py_ssize_t>CHUNK), low, magic, own, &sums)
        if any_above(highest, row_max):
            memcpy(lanes, highest, sizeof(lanes))
            row_max = largest_lane(lanes)
            part.best = k
    part.sums.row_max = row_max
    for lane in range(LANES):
        part.beaten += beaten[lane]
        sums.fall[lane] += sums.fall_lost[lane]
    part.fall = fold_lanes(sums.fall)
    part.centre = sums.centre
    part.sums.sum_exp = fold_lanes(sums.sum_exp) + fold_lanes(sums.lost)


cdef void fold_score(ScorePart *total, double *lost, const ScorePart *part) noexcept nogil:
    """fold_part, and the same of what the sums are weighed with."""
    cdef double centre = max(total.centre, part.centre)
    cdef double fall = part.fall + part.sums.sum_exp * (centre - part.centre)
    total.fall += total.sums.sum_exp * (centre - total.centre)
    total.centre = centre
    if part.sums.sum_exp != 0:
        if part.sums.exponent > total.sums.exponent:
            scale_down(&total.fall, total.sums.exponent - part.sums.exponent)
        else:
            scale_down(&fall, part.sums.exponent - total.sums.exponent)
    total.fall += fall
    total.beaten += part.beaten
    if part.sums.row_max > total.sums.row_max:
        total.best = part.best
    fold_part(&total.sums, lost, &part.sums)


cdef void score_row(const Job *job, const RowView *row, real own, ScorePart *total, real _) noexcept nogil:
    """As sum_row of row.pxi. total.fall becomes a mean."""
    cdef Py_ssize_t begin, end
    cdef double lost = 0
    cdef ScorePart part
    memset(total, 0, sizeof(ScorePart))
    memset(&part, 0, sizeof(ScorePart))
    total.sums.exponent, total.sums.row_max, total.centre = -REFERENCE_LIMIT, -INFINITY, -1e300
    for begin from 0 <= begin < job.n_classes by COLUMN_BLOCK:
        end = min(begin + COLUMN_BLOCK, job.n_classes)
        part.sums.exponent = reference_exponent(first_look(job, row, begin, _))
        score_block(job, row, begin, end, own, &part, _)
        if is_misplaced(part.sums.row_max, part.sums.exponent):
            part.sums.exponent = reference_exponent(part.sums.row_max)
            score_block(job, row, begin, end, own, &part, _)
        fold_score(total, &lost, &part)
    total.sums.sum_exp += lost
    if total.sums.sum_exp != 0:
        total.fall = total.fall / total.sums.sum_exp + (total.sums.row_max - total.centre)


cdef inline bint any_equal(const real *x, real value) noexcept nogil:
    cdef Py_ssize_t k
    cdef int equal = 0
    for k in range(FIND_GROUPS * LANES):
        equal |= x[k] == value
    return equal


cdef Py_ssize_t find_first(const Job *job, const RowView *row, Py_ssize_t k, double wanted, real _) noexcept nogil:
    """The first class of this logit in the chunk that begins with class k."""
    cdef Py_ssize_t n = min(job.n_classes - k, <Py_ssize_t>CHUNK), i = 0
    cdef const real *x = load_logits(job, row, k, n, _)
    while i + FIND_GROUPS * LANES <= n and not any_equal(x + i, <real>wanted):
        i += FIND_GROUPS * LANES
    while i < n - 1 and x[i] != wanted:
        i += 1
    return k + i


cdef bint holds_nan(const Job *job, const RowView *row, real _) noexcept nogil:
    cdef Py_ssize_t k, i, n
    cdef const real *x
    for k from 0 <= k < job.n_classes by CHUNK:
        n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, row, k, n, _)
        for i in range(n):
            if x[i] != x[i]:
                return True
    return False


cdef inline bint is_class(const Job *job, int64_t target) noexcept nogil:
    """Also where it is ignored: it is left out of the sum all the same."""
    return 0 <= target < job.n_classes


cdef inline void store_real(char *array, int code, Py_ssize_t sample, double x) noexcept nogil:
    if code == F32:
        (<float *>array)[sample] = <float>one_nan_f64(x)
    else:
        (<double *>array)[sample] = one_nan_f64(x)


cdef void store_score(const Job *job, Py_ssize_t sample, int64_t target, bint has_nan, double beaten,
                      int64_t prediction, const ScorePoint *point) noexcept nogil:
    cdef const ScoreOut *out = job.score_out
    cdef bint ignored = target == job.ignore_index, valid = is_class(job, target)
    cdef double none = NAN
    store_real(out.nll, out.code, sample, 0 if ignored else
               point.nll if valid and not has_nan else none)
    store_real(out.lse, out.code, sample, none if has_nan else point.lse)
    store_real(out.entropy, out.code, sample, none if has_nan else point.entropy)
    store_real(out.confidence, out.code, sample, none if has_nan else point.confidence)
    out.rank[sample] = <int64_t>beaten if valid and not ignored and not has_nan else -1
    out.prediction[sample] = -1 if has_nan else target if valid and beaten == 0 else prediction


cdef void score_sample(const Job *job, Py_ssize_t sample, char *buffer, real _) noexcept nogil:
    cdef int64_t target, prediction = -1
    cdef bint valid, has_nan
    cdef double row_max, beaten
    cdef real bound = <real>INFINITY
    cdef RowView row
    cdef ScorePart total
    cdef Sums sums
    cdef SoftmaxPoint softmax
    cdef ScorePoint point
    load_indices(job, sample, 1, &target)
    valid = is_class(job, target)
    look_at(job, sample, target if valid else -1, buffer, &row, _)
    set_hole(job, &row, row.hole, &sums, _)
    if valid:
        bound = <real>sums.own
    score_row(job, &row, bound, &total, _)
    beaten = total.beaten
    row_max = max(total.sums.row_max, sums.own)
    has_nan = sums.own != sums.own
    if row_max == INFINITY and not has_nan:
        has_nan = holds_nan(job, &row, _)
    if not (valid and beaten == 0):
        prediction = find_first(job, &row, total.best, total.sums.row_max, _)
    if needs_shift(row_max) and row_max != INFINITY:
        row.shift = row_max
        set_hole(job, &row, row.hole, &sums, _)
        score_row(job, &row, bound, &total, _)
    if total.sums.sum_exp != total.sums.sum_exp and row_max != INFINITY:
        has_nan = True
    softmax = softmax_point(total.sums.sum_exp, total.sums.exponent,
                            skew_of(reference_exponent(total.sums.row_max), _), sums.own, real is float)
    point = score_point(softmax, sums.own, total.sums.row_max, total.fall, row.shift)
    store_score(job, sample, target, has_nan, beaten, prediction, &point)


cdef void row_score_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *buffer, real _) noexcept nogil:
    cdef Py_ssize_t sample
    for sample in range(begin, end):
        score_sample(job, sample, buffer, _)
