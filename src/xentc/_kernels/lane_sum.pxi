# The sums of samples side by side, and what a sample's sum is taken over.
#
# a) A lane never looks at its neighbours: the reference of a sample, and whether its sum is done again, depend on its
#    own logits alone, so that a sample has the same bits in any tile.
# b) As in row.pxi, the reference is a power of two, one class is left out of the sum, a spread target rides along, and
#    float sums are folded into double ones, here every CLASS_GROUP classes.
# c) The loops over floats are those of lane_terms.h, for the sum alone (add_plain) and, where it is spelled out, for a
#    spread target (add_spread).

cdef void set_reference(Tile *tile, Py_ssize_t i, double highest, real _) noexcept nogil:
    cdef double exponent = reference_exponent(highest)
    column(tile, MAGIC, _)[i] = magic_of(exponent, _)
    column(tile, LOW, _)[i] = lowest_of(exponent, _)


cdef void first_references(const Job *job, Tile *tile, real _) noexcept nogil:
    """A reference, and an origin, for each sample from its first classes."""
    cdef real *magic = column(tile, MAGIC, _)
    cdef real *low = column(tile, LOW, _)
    cdef real *origin = column(tile, ORIGIN, _)
    cdef real highest[LANE_WIDTH]
    cdef real magics[LANE_WIDTH]
    cdef real lows[LANE_WIDTH]
    cdef Py_ssize_t n = min(job.n_classes, tile.capacity), stride = 0, v, lane, k
    cdef const real *x = load_classes(job, tile, 0, n, &stride, _)
    for v from 0 <= v < tile.width by LANE_WIDTH:
        for lane in range(LANE_WIDTH):
            highest[lane] = <real>-INFINITY
        for k in range(min(n, <Py_ssize_t>REFERENCE_CLASSES)):
            larger_terms(x + k * stride + v, highest)
        for lane in range(LANE_WIDTH):
            set_reference_near(highest[lane], &magics[lane], &lows[lane])
        for lane in range(LANE_WIDTH):
            magic[v + lane] = magics[lane]
        for lane in range(LANE_WIDTH):
            low[v + lane] = lows[lane]
        for lane in range(LANE_WIDTH):
            origin[v + lane] = highest[lane] if -INFINITY < highest[lane] < INFINITY else <real>0


cdef void reset_sums(const Job *job, Tile *tile, real _) noexcept nogil:
    """Before a pass. The hole's logit is added to own, 0 at first; a target that is no class (any more) gives nan. If
    every class has the same mass, the hole has it, too."""
    cdef real *highest = column(tile, HIGHEST, _)
    cdef real *own = column(tile, OWN, _)
    cdef real *own_mass = column(tile, OWN_MASS, _)
    cdef Py_ssize_t i
    memset(double_column(tile, SUM), 0, 2 * tile.width * sizeof(double))
    if job.spread != SPREAD_NONE:
        memset(double_column(tile, SPREAD_SUM), 0, 2 * tile.width * sizeof(double))
        memset(own_mass, 0, tile.width * sizeof(real))
    for i in range(tile.width):
        highest[i] = <real>-INFINITY
    for i in range(tile.n):
        own[i] = <real>0 if <uint64_t>tile.indices[i] < <uint64_t>job.n_classes else <real>NAN
    for i in range(tile.n, tile.width):
        own[i] = <real>NAN
    if job.spread == SPREAD_EVEN:
        for i in range(tile.n):
            own_mass[i] = <real>1 if own[i] == 0 else <real>0


cdef void number_holes(Tile *tile, int64_t first_class, real _) noexcept nogil:
    """Class numbers as real, so that finding the hole is one comparison of the same width as the logits."""
    cdef real *hole = column(tile, HOLE, _)
    cdef Py_ssize_t i
    cdef int64_t number
    for i in range(tile.n):
        number = min(tile.indices[i] - first_class, <int64_t>EXACT_CLASSES)     # behind all numbered now
        hole[i] = <real><int32_t>max(number, <int64_t>-1)
    for i in range(tile.n, tile.width):
        hole[i] = -1


cdef inline void widen_onto(double *restrict sums, const real *restrict terms) noexcept nogil:
    cdef Py_ssize_t lane
    for lane in range(LANE_WIDTH):
        sums[lane] += terms[lane]


cdef inline void add_wide(double *restrict sums, double *restrict lost, const real *restrict terms) noexcept nogil:
    """Float terms are far coarser than what a double sum of them loses; of double ones it is kept."""
    cdef Py_ssize_t lane
    cdef double before
    for lane in range(LANE_WIDTH):
        before = sums[lane]
        sums[lane] = before + terms[lane]
        if real is double:
            lost[lane] += two_sum_lost(before, terms[lane])


cdef inline void prefetch_lanes(const real *x) noexcept nogil:
    cdef Py_ssize_t offset
    for offset from 0 <= offset < <Py_ssize_t>(LANE_WIDTH * sizeof(real)) by 64:
        prefetch(<const char *>x + offset)


cdef inline void add_class(const real *x, const real *given, real weight, real number, real keep, real share,
                           real *columns, Py_ssize_t width, int loop, real *own, real *highest, real *terms,
                           real *own_mass, real *spread_sum, real *spread_mass) noexcept nogil:
    """One class of LANE_WIDTH samples."""
    cdef const real *magic = columns + MAGIC * width
    cdef const real *low = columns + LOW * width
    cdef const real *hole = columns + HOLE * width
    cdef const real *shift = columns + SHIFT * width
    cdef const real *origin = columns + ORIGIN * width
    cdef real values[LANE_WIDTH]
    cdef real exps[LANE_WIDTH]
    cdef Py_ssize_t lane
    cdef real value, mass
    if loop != LOOP_NONE:
        for lane in range(LANE_WIDTH):
            values[lane] = x[lane] - shift[lane]
        x = values
    part_hole(x, hole, number, own, values)
    exp_lanes(values, low, magic, False, exps)
    larger_terms(values, highest)
    for lane in range(LANE_WIDTH):
        value = values[lane]
        terms[lane] += exps[lane]
        if spreads(loop):
            mass = madd(given[lane], keep, share) if takes_given(loop) else <real>1
            mass = mass * weight if weighs(loop) else mass
            if weighs(loop) or takes_given(loop):
                own_mass[lane] += mass if hole[lane] == number else <real>0
            mass = <real>0 if hole[lane] == number else mass
            if takes_given(loop):
                spread_mass[lane] += mass
            spread_sum[lane] += times(mass, madd(value, -<real>SPREAD_SCALE, origin[lane] * <real>SPREAD_SCALE))


cdef inline void add_classes(const real *x, Py_ssize_t stride, const real *given, const real *weight, Py_ssize_t n,
                             real first_number, real keep, real share, const Tile *tile, int loop) noexcept nogil:
    """Adds at most CLASS_GROUP classes of every sample. loop is a literal."""
    cdef Py_ssize_t width = tile.width, v, lane, k, ahead = CLASS_GROUP
    cdef real *columns = <real *>tile.reals
    cdef double *sums = tile.doubles
    cdef real highest[LANE_WIDTH]
    cdef real own[LANE_WIDTH]
    cdef real own_mass[LANE_WIDTH]
    cdef real terms[LANE_WIDTH]
    cdef real partial[LANE_WIDTH]
    cdef real spread_sum[LANE_WIDTH]
    cdef real spread_mass[LANE_WIDTH]
    for v from 0 <= v < width by LANE_WIDTH:
        for lane in range(LANE_WIDTH):
            own[lane] = columns[OWN * width + v + lane]
            highest[lane] = columns[HIGHEST * width + v + lane]
            own_mass[lane] = columns[OWN_MASS * width + v + lane]
            partial[lane] = spread_sum[lane] = spread_mass[lane] = 0
        # In pairs, and the pairs in pairs: a sum of equal terms is then rounded once at most.
        for k from 0 <= k < n by 2:
            for lane in range(LANE_WIDTH):
                terms[lane] = 0
            prefetch_lanes(x + (k + ahead) * stride + v)
            prefetch_lanes(x + (k + 1 + ahead) * stride + v)
            add_class(x + k * stride + v, given + k * width + v, weight[k] if weighs(loop) else <real>0,
                      first_number + k, keep, share, columns + v, width, loop, own, highest, terms, own_mass,
                      spread_sum, spread_mass)
            if k + 1 < n:
                add_class(x + (k + 1) * stride + v, given + (k + 1) * width + v,
                          weight[k + 1] if weighs(loop) else <real>0, first_number + (k + 1), keep, share,
                          columns + v, width, loop, own, highest, terms, own_mass, spread_sum, spread_mass)
            for lane in range(LANE_WIDTH):
                partial[lane] += terms[lane]
        for lane in range(LANE_WIDTH):
            columns[OWN * width + v + lane] = own[lane]
        for lane in range(LANE_WIDTH):
            columns[HIGHEST * width + v + lane] = highest[lane]
        add_wide(sums + SUM * width + v, sums + LOST * width + v, partial)
        if spreads(loop):
            for lane in range(LANE_WIDTH):
                columns[OWN_MASS * width + v + lane] = own_mass[lane]
            widen_onto(sums + SPREAD_SUM * width + v, spread_sum)
        if takes_given(loop):
            widen_onto(sums + SPREAD_MASS * width + v, spread_mass)


cdef inline void add_plain(const real *x, Py_ssize_t stride, Py_ssize_t n, real first_number, const Tile *tile,
                           int loop) noexcept nogil:
    """The same where the sum is all that is wanted; of floats, any number of classes. loop is a literal."""
    cdef Py_ssize_t width = tile.width, v
    cdef real *columns = <real *>tile.reals
    cdef Ahead ahead = tile.ahead
    if real is float:
        for v from 0 <= v < width by LANE_WIDTH:
            ahead.near = tile.ahead.near + v * tile.ahead_bytes
            ahead.beyond = tile.ahead.beyond + v * tile.ahead_bytes
            add_lanes_f32(x + v, stride, n, first_number, columns + MAGIC * width + v, columns + LOW * width + v,
                          columns + HOLE * width + v, columns + SHIFT * width + v, loop == LOOP_SHIFT,
                          columns + OWN * width + v, columns + HIGHEST * width + v, tile.doubles + SUM * width + v,
                          &ahead)
    else:
        add_classes(x, stride, x, x, n, first_number, 0, 0, tile, loop)


cdef inline void set_spread_lanes(const Tile *tile, Py_ssize_t v, SpreadLanes *lanes) noexcept nogil:
    cdef Py_ssize_t width = tile.width
    cdef float *columns = <float *>tile.reals + v
    lanes.magic, lanes.low = columns + MAGIC * width, columns + LOW * width
    lanes.hole, lanes.shift = columns + HOLE * width, columns + SHIFT * width
    lanes.origin, lanes.own = columns + ORIGIN * width, columns + OWN * width
    lanes.highest, lanes.own_mass = columns + HIGHEST * width, columns + OWN_MASS * width
    lanes.sum = tile.doubles + SUM * width + v
    lanes.spread_sum = tile.doubles + SPREAD_SUM * width + v
    lanes.spread_mass = tile.doubles + SPREAD_MASS * width + v


cdef inline void add_spread(const real *x, Py_ssize_t stride, const real *given, const real *weight, Py_ssize_t n,
                            real first_number, real keep, real share, const Tile *tile, int loop) noexcept nogil:
    """Classes with a spread target: of floats, where lane_terms.h has the loop, any number. loop is a literal."""
    cdef Py_ssize_t v
    cdef Ahead ahead = tile.ahead, given_ahead = tile.given_ahead
    cdef SpreadLanes lanes
    if real is float:
        if HAS_SPREAD_LANES:
            for v from 0 <= v < tile.width by LANE_WIDTH:
                ahead.near = tile.ahead.near + v * tile.ahead_bytes
                ahead.beyond = tile.ahead.beyond + v * tile.ahead_bytes
                given_ahead.near = given_ahead.beyond = tile.given_ahead.near + v * tile.given_ahead_bytes
                set_spread_lanes(tile, v, &lanes)
                add_spread_lanes_f32(x + v, stride, from_(given, v), tile.width, weight, takes_given(loop),
                                     weighs(loop), n, first_number, keep, share, &lanes, &ahead, &given_ahead)
            return
    add_classes(x, stride, given, weight, n, first_number, keep, share, tile, loop)


cdef void add_any(const Job *job, const real *x, Py_ssize_t stride, const real *given, Py_ssize_t n, Py_ssize_t k,
                  real number, const Tile *tile) noexcept nogil:
    cdef real keep = <real>job.keep, share = <real>job.share
    cdef const real *weight = weights_from(job, k, <real>0)
    if job.spread == SPREAD_NONE and tile.shifted:
        add_plain(x, stride, n, number, tile, LOOP_SHIFT)
    elif job.spread == SPREAD_NONE:
        add_plain(x, stride, n, number, tile, LOOP_NONE)
    elif job.spread == SPREAD_EVEN:
        add_spread(x, stride, x, x, n, number, keep, share, tile, LOOP_EVEN)
    elif job.spread == SPREAD_WEIGHT:
        add_spread(x, stride, x, weight, n, number, keep, share, tile, LOOP_WEIGHT)
    elif weight == NULL:
        add_spread(x, stride, given, x, n, number, keep, share, tile, LOOP_GIVEN)
    else:
        add_spread(x, stride, given, weight, n, number, keep, share, tile, LOOP_GIVEN_WEIGHT)


cdef inline Py_ssize_t classes_at_once(const Job *job, const Tile *tile, real _) noexcept nogil:
    """How many classes of a lane are worked through before the next lane. In place they are few, so that each class is
    read in long runs."""
    if real is float and (job.spread == SPREAD_NONE or HAS_SPREAD_LANES) and not tile.direct:
        return tile.capacity
    return CLASS_GROUP


cdef void look_at_next_tile(const Job *job, const Operand *operand, const Tile *tile, Py_ssize_t n, Ahead *ahead,
                            Py_ssize_t *ahead_bytes) noexcept nogil:
    """Of samples that are transposed, all n classes at once."""
    cdef Py_ssize_t sample_bytes = operand.stride_bytes[job.n_axes - 1]
    if n == job.n_classes and llabs(operand.class_stride_bytes) < llabs(sample_bytes):
        ahead.near = ahead.beyond = sample_pointer(job, operand, tile.first) + tile.n * sample_bytes
        ahead.step, ahead_bytes[0] = LANE_WIDTH * sample_bytes // n, sample_bytes


cdef void look_ahead(const Job *job, Py_ssize_t k, Py_ssize_t n, const real *x, Py_ssize_t stride,
                     Tile *tile) noexcept nogil:
    """What is read after classes k to k + n: in place, the classes after them and the first ones of the next tile; of
    samples that are transposed, the next tile."""
    if tile.direct:
        tile.ahead.near = <const char *>(x + CLASS_GROUP * stride)
        tile.ahead.beyond = <const char *>(x + (CLASS_GROUP - job.n_classes) * stride + tile.n)
        tile.ahead.n_near = max(job.n_classes - k - CLASS_GROUP, <Py_ssize_t>0)
        tile.ahead.step, tile.ahead_bytes = stride * sizeof(real), sizeof(real)
    else:
        look_at_next_tile(job, &job.input, tile, n, &tile.ahead, &tile.ahead_bytes)
    if job.spread == SPREAD_GIVEN:
        look_at_next_tile(job, &job.target, tile, n, &tile.given_ahead, &tile.given_ahead_bytes)


cdef void sum_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """One pass over the logits of a tile."""
    cdef Py_ssize_t k, n, j, step, stride = 0, base = 0
    cdef const real *x
    cdef const real *given
    cdef real *own = column(tile, OWN, _)
    reset_sums(job, tile, _)
    number_holes(tile, 0, _)
    for k from 0 <= k < job.n_classes by tile.capacity:
        if k - base + tile.capacity > EXACT_CLASSES:
            base = k
            number_holes(tile, base, _)
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        given = load_probabilities(job, tile, k, n, _)
        step = classes_at_once(job, tile, _)
        for j from 0 <= j < n by step:
            look_ahead(job, k + j, min(n - j, step), x + j * stride, stride, tile)
            add_any(job, x + j * stride, stride, from_(given, j * tile.width), min(n - j, step), k + j,
                    <real>(k - base + j), tile)
    if job.spread == SPREAD_GIVEN:      # the loop over floats leaves it as it is
        for j in range(tile.width):
            own[j] = column(tile, LARGEST, _)[j] - column(tile, SHIFT, _)[j]


cdef bint correct_references(Tile *tile, real _) noexcept nogil:
    """Where the logits are too far from their sample's reference: the right one. Says whether there was any."""
    cdef real *highest = column(tile, HIGHEST, _)
    cdef const real *own = column(tile, OWN, _)
    cdef real row_max, above
    cdef real *shift = column(tile, SHIFT, _)
    cdef real *magic = column(tile, MAGIC, _)
    cdef Py_ssize_t i
    cdef bint any_wrong = False
    for i in range(tile.width):
        above = highest[i] * <real>LOG2E - <real>exponent_of(magic[i])
        any_wrong |= (above > <real>HEADROOM) | ((above < -<real>DEPTH) & (highest[i] >= -<real>LOGIT_LIMIT))
        row_max = larger(own[i], highest[i])
        any_wrong |= (row_max > <real>LOGIT_LIMIT) | (row_max < -<real>LOGIT_LIMIT)
    if not any_wrong:
        return False
    any_wrong = False
    for i in range(tile.n):
        row_max = larger(own[i], highest[i])
        if needs_shift(row_max) and row_max != INFINITY:
            shift[i] = row_max
            column(tile, ORIGIN, _)[i] = 0
            set_reference(tile, i, 0, _)
            any_wrong = tile.shifted = True
        elif is_misplaced(highest[i], exponent_of(magic[i])):
            set_reference(tile, i, highest[i], _)
            any_wrong = True
    return any_wrong


cdef void sum_again(const Job *job, Tile *tile, real _) noexcept nogil:
    """Over the right references; twice where what is left of a row lies far below a logit that was subtracted."""
    cdef int turn
    for turn in range(2):
        if not correct_references(tile, _):
            return
        sum_tile(job, tile, _)


cdef inline void find_classes(const real *x, Py_ssize_t stride, Py_ssize_t n, real *largest, real *second,
                              real *found) noexcept nogil:
    """Of LANE_WIDTH samples: their largest logit so far, the next one, and where in these n classes the largest is."""
    cdef Py_ssize_t lane, k
    cdef real value
    if real is float:
        find_lanes_f32(x, stride, n, largest, second, found)
    else:
        for k in range(n):
            for lane in range(LANE_WIDTH):
                value = x[k * stride + lane]
                found[lane] = <real>k if value > largest[lane] else found[lane]
                second[lane] = larger(value if value < largest[lane] else largest[lane], second[lane])
                largest[lane] = larger(value, largest[lane])


cdef void hole_at_largest(const Job *job, Tile *tile, real _) noexcept nogil:
    """With probabilities: a sample's largest logit is its origin, and its class the hole; the reference is near the
    next one. However confident the sample, nothing cancels then, and no sum is done again."""
    cdef Py_ssize_t width = tile.width, v, i, k, n, stride = 0
    cdef real *largest = column(tile, LARGEST, _)
    cdef real *origin = column(tile, ORIGIN, _)
    cdef real *second = column(tile, HIGHEST, _)
    cdef real *found = column(tile, FOUND, _)
    cdef real *magic = column(tile, MAGIC, _)
    cdef real *low = column(tile, LOW, _)
    cdef const real *x
    for i in range(width):
        largest[i] = second[i] = <real>-INFINITY
    for k from 0 <= k < job.n_classes by tile.capacity:
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        for i in range(width):
            found[i] = -1
        for v from 0 <= v < width by LANE_WIDTH:
            find_classes(x + v, stride, n, largest + v, second + v, found + v)
        for i in range(tile.n):
            tile.indices[i] = k + <int64_t>found[i] if found[i] >= 0 else tile.indices[i]
    for i in range(width):
        set_reference_near(second[i], &magic[i], &low[i])
    for i in range(width):
        origin[i] = largest[i] if -INFINITY < largest[i] < INFINITY else <real>0


cdef void sum_samples(const Job *job, Tile *tile, real _) noexcept nogil:
    memset(column(tile, SHIFT, _), 0, tile.width * sizeof(real))
    if job.spread == SPREAD_GIVEN:
        hole_at_largest(job, tile, _)
    else:
        first_references(job, tile, _)
    sum_tile(job, tile, _)
    sum_again(job, tile, _)
