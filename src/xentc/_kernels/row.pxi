# Class axis contiguous, or too many classes to transpose: one sample at a time, its logits read once, by row_span.pxi.
#
# a) The reference of a column block is a power of two near the largest of its first logits. Should the logits lie far
#    above it, or below, the block is done again: rare, and the block is still in cache.
# b) One class, the hole, is left out of the sum (see point.h): the target, or with probabilities the largest logit of a
#    confident row.
# c) A row is cut into blocks of COLUMN_BLOCK columns, folded in order, whether one thread works through them or many.

cdef enum:
    COLUMN_BLOCK = 16384
    FIRST_LOOK = 64         # logits that the reference is taken from, at most
    ROW_BUFFERS = 4         # of CHUNK numbers: logits, probabilities, gradient, and one for what follows it


cdef inline double fold_lanes(double *lanes) noexcept nogil:
    cdef Py_ssize_t lane
    for lane in range(16):
        lanes[lane] += lanes[lane + 16]
    for lane in range(8):
        lanes[lane] += lanes[lane + 8]
    for lane in range(4):
        lanes[lane] += lanes[lane + 4]
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3])


cdef inline real largest_lane(real *lanes) noexcept nogil:
    cdef Py_ssize_t lane
    for lane in range(16):
        lanes[lane] = larger(lanes[lane + 16], lanes[lane])
    for lane in range(8):
        lanes[lane] = larger(lanes[lane + 8], lanes[lane])
    for lane in range(4):
        lanes[lane] = larger(lanes[lane + 4], lanes[lane])
    return larger(larger(lanes[2], lanes[0]), larger(lanes[3], lanes[1]))


cdef double sum_short(const Job *job, const RowView *row, Py_ssize_t begin, Py_ssize_t n, int loop, real low,
                      real magic, real *row_max) noexcept nogil:
    """The sum and the largest of a block of at most CHUNK columns, by the loop of short_row.h."""
    cdef Py_ssize_t stride = job.input.class_stride_bytes
    cdef Py_ssize_t step = LANES * stride if 0 < stride <= <Py_ssize_t>sizeof(double) else 0
    cdef Py_ssize_t hole = row.hole - begin
    cdef const char *memory = row.logits + begin * stride
    if real is float:
        if loop == LOOP_BF16:
            return add_short_f32(memory, True, False, memory, step, n, hole, GROUPS, low, magic, row_max)
        if loop == LOOP_F16:
            return add_short_f32(memory, False, True, memory, step, n, hole, GROUPS, low, magic, row_max)
        return add_short_f32(<const char *>load_logits(job, row, begin, n, low), False, False, memory, step, n, hole,
                             GROUPS, low, magic, row_max)
    else:
        return NAN


cdef void sum_block(const Job *job, const RowView *row, Py_ssize_t begin, Py_ssize_t end, RowPart *part,
                    real _) noexcept nogil:
    """The sums of columns begin to end, over the reference part.exponent."""
    cdef LaneSums sums
    cdef real low = lowest_of(part.exponent, _), magic = magic_of(part.exponent, _)
    cdef real *highest = <real *>sums.highest
    cdef Py_ssize_t k = begin, n, lane
    cdef int loop = loop_over(job, row, _)
    if has_stretches(loop, _) and end - begin <= CHUNK:
        part.sum_exp = sum_short(job, row, begin, end - begin, loop, low, magic, highest)
        part.row_max, part.spread_sum, part.spread_mass = highest[0], 0, 0
        return
    for lane in range(LANES):
        highest[lane] = <real>-INFINITY
    memset(sums.sum_exp, 0, sizeof(sums.sum_exp))
    if real is double:
        memset(sums.lost, 0, sizeof(sums.lost))
    if job.spread != SPREAD_NONE:
        memset(sums.spread_sum, 0, sizeof(sums.spread_sum))
        memset(sums.spread_mass, 0, sizeof(sums.spread_mass))
    while k < end:
        n = span_length(job, row, k, end, loop, _)
        add_span(job, row, k, n, loop, low, magic, &sums)
        k += n
    part.sum_exp = fold_lanes(sums.sum_exp)
    if real is double:
        part.sum_exp += fold_lanes(sums.lost)
    part.spread_sum = fold_lanes(sums.spread_sum) if job.spread != SPREAD_NONE else 0.0
    part.spread_mass = fold_lanes(sums.spread_mass) if job.spread == SPREAD_GIVEN else 0.0
    part.row_max = largest_lane(highest)


cdef real first_look(const Job *job, const RowView *row, Py_ssize_t begin, real _) noexcept nogil:
    """The largest of the first logits: of a handful, or of many if these are masked."""
    cdef Py_ssize_t n = min(job.n_classes - begin, <Py_ssize_t>FIRST_LOOK), k
    cdef const real *x = load_logits(job, row, begin, n, _)
    cdef real highest = <real>-INFINITY
    if n >= 4:
        highest = larger(larger(x[3], x[2]), larger(x[1], x[0]))
        if highest == highest and highest > -LOGIT_LIMIT:
            return highest
    highest = <real>-INFINITY
    for k in range(n):
        highest = larger(x[k], highest)
    return highest


cdef void row_part(const Job *job, const RowView *row, Py_ssize_t column_block, RowPart *part, real _) noexcept nogil:
    cdef Py_ssize_t begin = column_block * COLUMN_BLOCK
    cdef Py_ssize_t end = min(begin + COLUMN_BLOCK, job.n_classes)
    part.exponent = reference_exponent(first_look(job, row, begin, _))
    sum_block(job, row, begin, end, part, _)
    if is_misplaced(part.row_max, part.exponent):
        part.exponent = reference_exponent(part.row_max)
        sum_block(job, row, begin, end, part, _)


cdef void look_at(const Job *job, Py_ssize_t sample, int64_t target, char *buffer, RowView *row, real _) noexcept nogil:
    """The first view of a row: the target, if it is an index, left out; nothing subtracted."""
    cdef double own = -INFINITY
    row.logits = sample_pointer(job, &job.input, sample)
    row.probabilities = NULL
    row.hole, row.shift, row.origin, row.buffer = target, 0, 0, buffer
    if job.spread == SPREAD_GIVEN:
        row.probabilities = sample_pointer(job, &job.target, sample)
        row.hole = -1
    elif target >= 0:
        own = read_logit(job, row.logits + target * job.input.class_stride_bytes)
    if job.spread != SPREAD_NONE:
        row.origin = max(<double>first_look(job, row, 0, _), own)
        if not -INFINITY < row.origin < INFINITY:
            row.origin = 0


cdef inline void scale_down(double *x, double exponent) noexcept nogil:
    x[0] = x[0] * pow2_f64(exponent) if exponent > -1000 else x[0] * 0.0


cdef inline void add_exactly(double *total, double *lost, double term) noexcept nogil:
    """Neumaier's sum: what an addition rounds away is kept in `lost`."""
    cdef double before = total[0]
    total[0] = before + term
    lost[0] += (before - total[0]) + term if fabs(before) >= fabs(term) else (term - total[0]) + before


cdef void fold_part(RowPart *total, double *lost, const RowPart *part) noexcept nogil:
    """Adds a part's sum over powers of two: scaling is exact."""
    cdef double term = part.sum_exp
    total.row_max = max(total.row_max, part.row_max)
    total.spread_sum += part.spread_sum
    total.spread_mass += part.spread_mass
    if term == 0:
        return
    if part.exponent > total.exponent:
        scale_down(&total.sum_exp, total.exponent - part.exponent)
        scale_down(lost, total.exponent - part.exponent)
        total.exponent = part.exponent
    else:
        scale_down(&term, part.exponent - total.exponent)
    add_exactly(&total.sum_exp, lost, term)


cdef void sum_row(const Job *job, const RowView *row, const RowPart *parts, RowPart *total, real _) noexcept nogil:
    """All of a row from its parts or, without any, from its logits."""
    cdef Py_ssize_t n_blocks = (job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK, b
    cdef double lost = 0
    cdef RowPart part
    memset(total, 0, sizeof(RowPart))
    total.exponent, total.row_max = -REFERENCE_LIMIT, -INFINITY
    if n_blocks == 1 and parts == NULL:
        row_part(job, row, 0, &part, _)
        if part.sum_exp != 0:       # as fold_part() would leave it
            total.exponent = part.exponent
        total.sum_exp = 0 + part.sum_exp
        total.spread_sum, total.spread_mass = 0 + part.spread_sum, 0 + part.spread_mass
        total.row_max = max(total.row_max, part.row_max)
        return
    for b in range(n_blocks):
        if parts != NULL:
            part = parts[b]
        else:
            row_part(job, row, b, &part, _)
        fold_part(total, &lost, &part)
    total.sum_exp += lost


cdef int64_t find_logit(const Job *job, const RowView *row, double wanted, real _) noexcept nogil:
    cdef Py_ssize_t k, i, n
    cdef const real *x
    for k from 0 <= k < job.n_classes by CHUNK:
        n = min(job.n_classes - k, <Py_ssize_t>CHUNK)
        x = load_logits(job, row, k, n, _)
        for i in range(n):
            if x[i] == wanted:
                return k + i
    return -1


cdef void set_hole(const Job *job, RowView *row, int64_t hole, Sums *sums, real _) noexcept nogil:
    """Leaves a class out of the sum, and notes its logit and its mass."""
    cdef real x = <real>-INFINITY
    cdef real mass = 1
    row.hole = hole
    sums.own, sums.own_mass = -INFINITY, 0
    if hole < 0:
        return
    sums.own = load_logits(job, row, hole, 1, _)[0]
    if job.spread == SPREAD_GIVEN:
        mass = madd(load_given(job, row, hole, 1, _)[0], <real>job.keep, <real>job.share)
    if job.real_weight != NULL:
        mass = mass * (<const real *>job.real_weight)[hole]
    if job.spread != SPREAD_NONE:
        sums.own_mass = mass


cdef void sum_sample(const Job *job, RowView *row, const RowPart *parts, RowPart *total, Sums *sums,
                     real _) noexcept nogil:
    """The sums of a row, done again where the first view was not the right one (see sample.pxi and real.pxi)."""
    cdef double row_max
    set_hole(job, row, row.hole, sums, _)
    sum_row(job, row, parts, total, _)
    row_max = max(total.row_max, sums.own)
    if needs_shift(row_max) and row_max != INFINITY:
        row.shift = row_max
        row.origin = 0
        set_hole(job, row, row.hole, sums, _)
        sum_row(job, row, NULL, total, _)
    if job.spread == SPREAD_GIVEN and is_confident(total.sum_exp, total.exponent, total.row_max):
        row.origin = total.row_max
        set_hole(job, row, find_logit(job, row, total.row_max, _), sums, _)
        sum_row(job, row, NULL, total, _)
    sums.origin, sums.shift = row.origin, row.shift
    finish_sums(job, total.spread_sum, total.spread_mass, sums)
