# A piece of a row: loaded, cut into runs of whole groups, and added up lane by lane. At most CHUNK of its columns, or
# many times as many where nothing has to be loaded.
#
# a) The group of logits that holds the hole is read from a copy with -inf in its place. The tail of a row is padded the
#    same way, so that no length has code of its own. Both copies come last, in a run of their own.
# b) Float lanes are added up in pairs of groups and folded into double ones every GROUPS pairs: 32 float lanes alone
#    drift by hundreds of ULP. Where they are folded depends on the number of columns and on the hole alone.
#    GROUPS divides a CHUNK, so that pieces of any number of them are folded alike.
# c) What a spread target needs (label smoothing, probabilities) rides along in the same pass.

cdef enum:
    GROUPS = 8              # pairs of groups of LANES, between two foldings of float sums into double ones


# What the lanes have come to.
cdef struct LaneSums:
    double sum_exp[LANES]
    double lost[LANES]          # what the sums of double terms were rounded by
    double spread_sum[LANES]
    double spread_mass[LANES]
    double highest[LANES]       # numbers of type real


# One row as a kernel reads it.
cdef struct RowView:
    const char *logits
    const char *probabilities
    int64_t hole                # -1: none
    double shift                # subtracted from every logit; 0 but for huge ones
    double origin               # see sample.pxi
    char *buffer


# Whole groups that lie side by side: logits (numbers of type real, or halves as they are stored), and the weights and
# probabilities that go with them. `memory` is the caller's, which is prefetched, a group of which is `step`
# bytes, also where the logits are a copy of it.
cdef struct Run:
    const char *logits
    const char *weight
    const char *given
    const char *memory
    Py_ssize_t step
    Py_ssize_t first            # which of the span's columns this begins with
    Py_ssize_t n_groups


# A piece of a row: what lies before the hole's group, what lies after it, and copies of that group and of the tail.
cdef struct Span:
    Run runs[3]
    Py_ssize_t n_runs           # without that of the copies, which comes after them
    Py_ssize_t n_pads
    Py_ssize_t pads[2]          # the columns that they begin with
    double pad_logits[2 * LANES]    # numbers of type real, or halves
    double pad_weight[2 * LANES]
    double pad_given[2 * LANES]


cdef inline void prefetch_group(const char *reading, int loop, real _) noexcept nogil:
    cdef Py_ssize_t offset, size = LANES * (2 if widens(loop) else <Py_ssize_t>sizeof(real))
    for offset from 0 <= offset < size by 64:
        prefetch_ahead(reading + offset)


cdef inline void take_group(const Run *run, real low, real magic, real origin, real keep, real share, int loop,
                            real *terms, real *highest, real *spread_sum, real *spread_mass) noexcept nogil:
    """The terms of a run's first group, and what else is known of it, added up."""
    cdef real values[LANES]
    cdef const real *x = <const real *>run.logits
    cdef const real *weight = <const real *>run.weight
    cdef const real *given = <const real *>run.given
    cdef Py_ssize_t lane
    cdef real mass
    prefetch_group(run.memory, loop, low)
    if takes_given(loop):
        prefetch_group(run.given, loop, low)
    if widens(loop):
        widen_group(<const uint16_t *>run.logits, loop == LOOP_BF16, values)
        x = values
    exp_terms(x, low, magic, terms)
    larger_terms(x, highest)
    if spreads(loop):
        for lane in range(LANES):
            mass = madd(given[lane], keep, share) if takes_given(loop) else <real>1
            mass = mass * weight[lane] if weighs(loop) else mass
            spread_mass[lane] += mass
            spread_sum[lane] += times(mass, madd(x[lane], -<real>SPREAD_SCALE, origin))


cdef inline void next_group(Run *run, int loop, real _) noexcept nogil:
    run.logits += LANES * (2 if widens(loop) else <Py_ssize_t>sizeof(real))
    run.memory += run.step
    if weighs(loop):
        run.weight += LANES * sizeof(real)
    if takes_given(loop):
        run.given += LANES * sizeof(real)


cdef inline void fold_partial(LaneSums *sums, real *partial, real *spread_sum, real *spread_mass,
                              int loop) noexcept nogil:
    cdef Py_ssize_t lane
    cdef double before
    for lane in range(LANES):
        before = sums.sum_exp[lane]
        sums.sum_exp[lane] = before + partial[lane]
        if real is double:
            sums.lost[lane] += two_sum_lost(before, partial[lane])
        if spreads(loop):
            sums.spread_sum[lane] += spread_sum[lane]
            spread_sum[lane] = 0
        if takes_given(loop):
            sums.spread_mass[lane] += spread_mass[lane]
            spread_mass[lane] = 0
        partial[lane] = 0


cdef inline bint has_stretches(int loop, real _) noexcept nogil:
    if real is float:
        return HAS_STRETCH and not spreads(loop)
    else:
        return False


cdef inline void add_stretches(Run *run, real low, real magic, int loop, real *highest, LaneSums *sums) noexcept nogil:
    """As many times 2 GROUPS of a run as it has."""
    cdef Py_ssize_t n = run.n_groups // (2 * GROUPS), item = 2 if widens(loop) else <Py_ssize_t>sizeof(real)
    if real is float:
        add_stretches_f32(run.logits, loop == LOOP_BF16, loop == LOOP_F16, run.memory, run.step, n, GROUPS, low, magic,
                          highest, sums.sum_exp)
    n *= 2 * GROUPS
    run.logits += n * LANES * item
    run.memory += n * run.step
    run.n_groups -= n


cdef inline void add_groups(const Run *runs, Py_ssize_t n_runs, real low, real magic, real origin, real keep,
                            real share, int loop, LaneSums *restrict sums) noexcept nogil:
    # Called with loop as a literal: one body, compiled once for each. origin comes scaled.
    cdef real partial[LANES]
    cdef real terms[LANES]
    cdef real second[LANES]
    cdef real highest[LANES]
    cdef real spread_sum[LANES]
    cdef real spread_mass[LANES]
    cdef Py_ssize_t r, stop, n_left, room = 2 * GROUPS, lane
    cdef Run run
    for lane in range(LANES):
        highest[lane] = (<real *>sums.highest)[lane]
        partial[lane] = spread_sum[lane] = spread_mass[lane] = 0
    for r in range(n_runs):
        run = runs[r]
        if has_stretches(loop, low) and room == 2 * GROUPS:
            add_stretches(&run, low, magic, loop, highest, sums)
        n_left = run.n_groups
        while n_left > 0:
            stop = n_left - min(n_left, room)
            room -= n_left - stop
            while n_left > stop + 1:
                take_group(&run, low, magic, origin, keep, share, loop, terms, highest, spread_sum, spread_mass)
                next_group(&run, loop, low)
                take_group(&run, low, magic, origin, keep, share, loop, second, highest, spread_sum, spread_mass)
                next_group(&run, loop, low)
                for lane in range(LANES):
                    partial[lane] += terms[lane] + second[lane]
                n_left -= 2
            if n_left > stop:
                take_group(&run, low, magic, origin, keep, share, loop, terms, highest, spread_sum, spread_mass)
                next_group(&run, loop, low)
                for lane in range(LANES):
                    partial[lane] += terms[lane]
                n_left -= 1
            if room == 0:
                fold_partial(sums, partial, spread_sum, spread_mass, loop)
                room = 2 * GROUPS
    if room < 2 * GROUPS:
        fold_partial(sums, partial, spread_sum, spread_mass, loop)
    for lane in range(LANES):
        (<real *>sums.highest)[lane] = highest[lane]


cdef void add_runs(const Job *job, const Run *runs, Py_ssize_t n_runs, real low, real magic, real origin, int loop,
                   LaneSums *sums) noexcept nogil:
    cdef real keep = <real>job.keep, share = <real>job.share
    if loop == LOOP_NONE:
        add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_NONE, sums)
    elif loop == LOOP_BF16:
        if real is float:
            add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_BF16, sums)
    elif loop == LOOP_F16:
        if real is float:
            add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_F16, sums)
    elif loop == LOOP_EVEN:
        add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_EVEN, sums)
    elif loop == LOOP_WEIGHT:
        add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_WEIGHT, sums)
    elif loop == LOOP_GIVEN:
        add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_GIVEN, sums)
    else:
        add_groups(runs, n_runs, low, magic, origin, keep, share, LOOP_GIVEN_WEIGHT, sums)


cdef inline void pad_group(const real *x, Py_ssize_t n, Py_ssize_t hole, real blank, real *group) noexcept nogil:
    """A copy of at most LANES numbers; the missing ones and the hole are blank."""
    cdef int lane, size = <int>min(n, <Py_ssize_t>LANES), left_out = <int>hole if 0 <= hole < LANES else -1
    for lane in range(LANES):       # not memcpy, and not a store into the copy: a vector read after it would stall
        group[lane] = x[lane] if lane < size and lane != left_out else blank


cdef inline void pad_halves(const uint16_t *x, Py_ssize_t n, Py_ssize_t hole, bint bf16,
                            uint16_t *group) noexcept nogil:
    cdef int lane, size = <int>min(n, <Py_ssize_t>LANES), left_out = <int>hole if 0 <= hole < LANES else -1
    cdef uint16_t blank = 0xff80 if bf16 else 0xfc00     # -inf
    for lane in range(LANES):
        group[lane] = x[lane] if lane < size and lane != left_out else blank


cdef inline void pad_weights(const real *weight, Py_ssize_t n, Py_ssize_t hole, real *group) noexcept nogil:
    cdef Py_ssize_t lane
    if weight != NULL:
        pad_group(weight, n, hole, <real>0, group)
        return
    for lane in range(LANES):
        group[lane] = 1 if lane < n and lane != hole else 0


cdef const real *load_logits(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t n, real _) noexcept nogil:
    cdef Py_ssize_t stride = job.input.class_stride_bytes
    cdef real *buffer = <real *>row.buffer
    cdef const real *x = load_run(&job.input, row.logits + k * stride, n, stride, buffer)
    if not transforms(job, row.shift):
        return x
    transform(job, x, n, row.shift, buffer)
    return buffer


cdef const real *load_given(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t n, real _) noexcept nogil:
    cdef Py_ssize_t stride = job.target.class_stride_bytes
    if job.spread != SPREAD_GIVEN:
        return NULL
    return load_run(&job.target, row.probabilities + k * stride, n, stride, <real *>row.buffer + CHUNK)


cdef inline const real *weights_from(const Job *job, Py_ssize_t k, real _) noexcept nogil:
    return from_(<const real *>job.real_weight, k)


cdef inline int loop_of(const Job *job) noexcept nogil:
    if job.spread == SPREAD_NONE:
        return LOOP_NONE
    elif job.spread == SPREAD_EVEN:
        return LOOP_EVEN
    elif job.spread == SPREAD_WEIGHT:
        return LOOP_WEIGHT
    return LOOP_GIVEN if job.real_weight == NULL else LOOP_GIVEN_WEIGHT


cdef inline int loop_over(const Job *job, const RowView *row, real _) noexcept nogil:
    """Halves are widened on the way where nothing else is done to them: to the bit as from a widened copy."""
    if job.spread == SPREAD_NONE and real is float and not transforms(job, row.shift):
        if job.input.code == BF16 or job.input.code == F16:
            if is_dense(row.logits, job.input.class_stride_bytes, job.input.code, job.input.swapped):
                return LOOP_BF16 if job.input.code == BF16 else LOOP_F16
    return loop_of(job)


cdef inline void set_run(Run *run, const char *logits, Py_ssize_t item, const real *weight, const real *given,
                         const char *memory, Py_ssize_t step, Py_ssize_t g, Py_ssize_t n_groups) noexcept nogil:
    run.logits = logits + g * LANES * item
    run.weight = <const char *>from_(weight, g * LANES)
    run.given = <const char *>from_(given, g * LANES)
    run.memory, run.step = memory + g * step, step
    run.first, run.n_groups = g * LANES, n_groups


cdef void pad_span(const Job *job, const char *logits, const real *weight, const real *given, Py_ssize_t n,
                   Py_ssize_t hole, int loop, Span *span, real _) noexcept nogil:
    """The last run of a span: copies of the groups in span.pads, in which the hole and what is missing are -inf with a
    weight of 0, and add exactly 0."""
    cdef real *pad = <real *>span.pad_logits
    cdef real *pad_weight = <real *>span.pad_weight
    cdef real *pad_given = <real *>span.pad_given
    cdef Py_ssize_t i, g
    for i in range(span.n_pads):
        g = span.pads[i]
        if widens(loop):
            pad_halves(<const uint16_t *>logits + g, n - g, hole - g, loop == LOOP_BF16, <uint16_t *>pad + i * LANES)
        else:
            pad_group(<const real *>logits + g, n - g, hole - g, <real>-INFINITY, pad + i * LANES)
        if weight != NULL or spreads(loop):
            pad_weights(from_(weight, g), n - g, hole - g, pad_weight + i * LANES)
        if given != NULL:
            pad_group(given + g, n - g, hole - g, <real>0, pad_given + i * LANES)
    set_run(&span.runs[span.n_runs], <const char *>pad, 0, pad_weight, pad_given, logits, 0, 0, span.n_pads)


cdef const real *cut_span(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t n, int loop, Span *span,
                          real _) noexcept nogil:
    """Columns k to k + n in runs: at most CHUNK, or what lies ready. Returns them where they are of type real."""
    cdef bint halves = widens(loop)
    cdef Py_ssize_t stride = job.input.class_stride_bytes, item = 2 if halves else <Py_ssize_t>sizeof(real)
    cdef Py_ssize_t step = LANES * stride if 0 < stride <= <Py_ssize_t>sizeof(double) else 0
    cdef const real *x = <const real *>NULL if halves else load_logits(job, row, k, n, _)
    cdef const char *logits = row.logits + k * stride if halves else <const char *>x
    cdef const real *weight = weights_from(job, k, _) if spreads(loop) else NULL
    cdef const real *given = load_given(job, row, k, n, _)
    cdef const char *memory = row.logits + k * stride
    cdef Py_ssize_t n_groups = n // LANES, hole = row.hole - k, hole_group = n_groups
    span.n_runs = span.n_pads = 0
    if 0 <= hole < n_groups * LANES:
        hole_group = hole // LANES
        span.pads[0], span.n_pads = hole_group * LANES, 1
    if n > n_groups * LANES:
        span.pads[span.n_pads] = n_groups * LANES
        span.n_pads += 1
    if hole_group > 0:
        set_run(&span.runs[0], logits, item, weight, given, memory, step, 0, hole_group)
        span.n_runs = 1
    if n_groups > hole_group + 1:
        set_run(&span.runs[span.n_runs], logits, item, weight, given, memory, step, hole_group + 1,
                n_groups - hole_group - 1)
        span.n_runs += 1
    pad_span(job, logits, weight, given, n, hole, loop, span, _)
    return x


cdef inline bint lies_ready(const Job *job, const RowView *row, int loop, real _) noexcept nogil:
    """Whether the logits, and the probabilities if there are any, are read where they lie."""
    if widens(loop):
        return True
    if transforms(job, row.shift) or not is_real(&job.input, job.input.class_stride_bytes, row.logits, _):
        return False
    return job.spread != SPREAD_GIVEN or is_real(&job.target, job.target.class_stride_bytes, row.probabilities, _)


cdef Py_ssize_t span_length(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t end, int loop,
                            real _) noexcept nogil:
    """How many columns from k on make the next span: a CHUNK, or as many whole ones as lie ready without the hole."""
    cdef Py_ssize_t n = (end - k) // CHUNK * CHUNK
    if k <= row.hole < k + n:
        n = (row.hole - k) // CHUNK * CHUNK
    if n <= CHUNK or not lies_ready(job, row, loop, _):
        return min(end - k, <Py_ssize_t>CHUNK)
    return n


cdef void add_span(const Job *job, const RowView *row, Py_ssize_t k, Py_ssize_t n, int loop, real low, real magic,
                   LaneSums *sums) noexcept nogil:
    """Columns k to k + n, as many as span_length() says, but for the hole."""
    cdef Span span
    cdef int pad_loop = loop if job.spread == SPREAD_NONE else \
        LOOP_GIVEN_WEIGHT if job.spread == SPREAD_GIVEN else LOOP_WEIGHT
    cdef real origin = <real>(row.origin * SPREAD_SCALE)
    cut_span(job, row, k, n, loop, &span, low)
    if loop == pad_loop:
        add_runs(job, span.runs, span.n_runs + (span.n_pads > 0), low, magic, origin, loop, sums)
    else:
        add_runs(job, span.runs, span.n_runs, low, magic, origin, loop, sums)
        add_runs(job, span.runs + span.n_runs, span.n_pads > 0, low, magic, origin, pad_loop, sums)
