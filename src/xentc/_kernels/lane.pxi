# Class axis strided, or few classes: LANE_WIDTH samples side by side, one class after another.
#
# a) A tile of samples is read group by group of classes, in place where a class's samples are dense, else through a
#    buffer (which is also where few contiguous classes are transposed). A small tile is loaded once and kept.
# b) A lane never looks at its neighbours: the reference of a sample, and whether its sum is done again, depend on its
#    own logits alone, so that a sample has the same bits in any tile.
# c) As in row.pxi, the reference is a power of two, the target is left out of the sum, and float sums are folded
#    into double ones, here every CLASS_GROUP classes.

cdef enum:
    LANE_WIDTH = 16
    CLASS_GROUP = 8
    REFERENCE_CLASSES = 4       # classes that a sample's reference is taken from
    TILE_LOGITS = 8192          # of a buffer
    TILE_COLUMNS = 7            # per-sample numbers of type real, in the order below
    EXACT_CLASSES = 1 << 24     # class numbers that a float holds exactly


# A tile and its state. One number a sample in each column: (reals) magic, low, target's class number, largest logit,
# target's logit, shift, the target's gradient; (doubles) sum, what the sum lost, coefficient, loss.
cdef struct Tile:
    Py_ssize_t first            # sample
    Py_ssize_t n                # samples
    Py_ssize_t width            # n rounded up to whole lanes
    Py_ssize_t capacity         # classes the buffers hold
    Py_ssize_t loaded           # the class the buffer begins with, or -1
    bint direct                 # read in place
    bint shifted
    char *reals
    double *sums
    double *losts
    double *coefficients
    int64_t *indices
    char *buffer
    char *grad_buffer


cdef inline Py_ssize_t tile_capacity(const Job *job) noexcept nogil:
    cdef Py_ssize_t most = max(TILE_LOGITS // job.tile_samples, <Py_ssize_t>CLASS_GROUP)
    return min(most, job.n_classes)


cdef size_t lane_scratch(const Job *job) noexcept nogil:
    cdef size_t width = job.tile_samples
    return width * (2 * tile_capacity(job) * 8 + TILE_COLUMNS * 8 + 4 * 8)


cdef void lay_out(const Job *job, char *scratch, Tile *tile) noexcept nogil:
    cdef Py_ssize_t width = job.tile_samples
    tile.capacity = tile_capacity(job)
    tile.sums = <double *>scratch
    tile.losts = tile.sums + width
    tile.coefficients = tile.losts + width
    tile.indices = <int64_t *>(tile.coefficients + width)
    tile.reals = <char *>(tile.indices + width)
    tile.buffer = tile.reals + TILE_COLUMNS * width * 8
    tile.grad_buffer = tile.buffer + tile.capacity * width * 8


cdef void place(const Job *job, Py_ssize_t begin, Py_ssize_t end, Tile *tile, real _) noexcept nogil:
    """The samples of the next tile: one run, in whole lanes if it can be read in place."""
    cdef const char *source = sample_pointer(job, &job.input, begin)
    tile.first = begin
    tile.n = min(run_length(job, begin, end), job.tile_samples)
    tile.direct = (tile.n >= LANE_WIDTH and is_dense(source, job.input.stride_bytes[job.n_axes - 1], _)
                   and job.input.class_stride_bytes % <Py_ssize_t>sizeof(real) == 0)
    if tile.direct:
        tile.n -= tile.n % LANE_WIDTH
    tile.width = (tile.n + LANE_WIDTH - 1) // LANE_WIDTH * LANE_WIDTH
    tile.loaded = -1
    tile.shifted = False
    load_indices(job, begin, tile.n, tile.indices)


cdef const real *load_classes(const Job *job, Tile *tile, Py_ssize_t k, Py_ssize_t n, Py_ssize_t *class_stride,
                              real _) noexcept nogil:
    """n classes from k on as [class][sample], n at most the capacity; samples beyond the tile's are 0."""
    cdef const char *source = sample_pointer(job, &job.input, tile.first) + k * job.input.class_stride_bytes
    cdef Py_ssize_t stride = job.input.stride_bytes[job.n_axes - 1], class_bytes = job.input.class_stride_bytes, i, j
    cdef real *buffer = <real *>tile.buffer
    if tile.direct:
        class_stride[0] = class_bytes // <Py_ssize_t>sizeof(real)
        return <const real *>source
    class_stride[0] = tile.width
    if tile.loaded == k:
        return buffer
    tile.loaded = k
    if class_bytes == sizeof(real):
        for i in range(tile.n):
            for j in range(n):
                buffer[j * tile.width + i] = read_real(source + i * stride + j * <Py_ssize_t>sizeof(real), _)
    elif llabs(class_bytes) < llabs(stride):
        for i in range(tile.n):
            for j in range(n):
                buffer[j * tile.width + i] = read_real(source + i * stride + j * class_bytes, _)
    else:
        for j in range(n):
            for i in range(tile.n):
                buffer[j * tile.width + i] = read_real(source + i * stride + j * class_bytes, _)
    for j in range(n):
        for i in range(tile.n, tile.width):
            buffer[j * tile.width + i] = 0
    return buffer


cdef void set_reference(Tile *tile, Py_ssize_t i, double highest, real _) noexcept nogil:
    cdef real *reals = <real *>tile.reals
    cdef double exponent = reference_exponent(highest)
    reals[i] = magic_of(exponent, _)
    reals[tile.width + i] = lowest_of(exponent, _)


cdef void first_reference(const Job *job, Tile *tile, real _) noexcept nogil:
    """A reference for each sample from its first classes."""
    cdef real *magic = <real *>tile.reals
    cdef real *low = magic + tile.width
    cdef real highest[LANE_WIDTH]
    cdef Py_ssize_t n = min(job.n_classes, tile.capacity), stride = 0, v, lane, k
    cdef const real *x = load_classes(job, tile, 0, n, &stride, _)
    cdef double exponent
    for v from 0 <= v < tile.width by LANE_WIDTH:
        for lane in range(LANE_WIDTH):
            highest[lane] = <real>-INFINITY
        for k in range(min(n, <Py_ssize_t>REFERENCE_CLASSES)):
            for lane in range(LANE_WIDTH):
                highest[lane] = larger(x[k * stride + v + lane], highest[lane])
        for lane in range(LANE_WIDTH):
            exponent = reference_exponent(highest[lane])
            magic[v + lane] = magic_of(exponent, _)
            low[v + lane] = lowest_of(exponent, _)


cdef void reset_sums(Tile *tile, real _) noexcept nogil:
    cdef real *highest = <real *>tile.reals + 3 * tile.width
    cdef real *own = <real *>tile.reals + 4 * tile.width
    cdef Py_ssize_t i
    for i in range(tile.width):
        tile.sums[i] = 0
        tile.losts[i] = 0
        highest[i] = <real>-INFINITY
        own[i] = <real>NAN


cdef void number_targets(Tile *tile, int64_t first_class, real _) noexcept nogil:
    """Class numbers as real, so that finding the target is one comparison of the same width as the logits."""
    cdef real *target = <real *>tile.reals + 2 * tile.width
    cdef Py_ssize_t i
    cdef int64_t number
    for i in range(tile.n):
        number = tile.indices[i] - first_class
        target[i] = <real>number if 0 <= number < EXACT_CLASSES else <real>-1
    for i in range(tile.n, tile.width):
        target[i] = -1


cdef void add_classes(const real *x, Py_ssize_t stride, Py_ssize_t n, real first_class, Tile *tile,
                      bint shifted) noexcept nogil:
    """Adds at most CLASS_GROUP classes of every sample of the tile."""
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef real *columns = <real *>tile.reals
    cdef real magic[LANE_WIDTH]
    cdef real low[LANE_WIDTH]
    cdef real target[LANE_WIDTH]
    cdef real highest[LANE_WIDTH]
    cdef real own[LANE_WIDTH]
    cdef real shift[LANE_WIDTH]
    cdef real partial[LANE_WIDTH]
    cdef real value, term, number
    cdef double before, term64
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(magic, columns + v, sizeof(magic))
        memcpy(low, columns + width + v, sizeof(low))
        memcpy(target, columns + 2 * width + v, sizeof(target))
        memcpy(highest, columns + 3 * width + v, sizeof(highest))
        memcpy(own, columns + 4 * width + v, sizeof(own))
        memcpy(shift, columns + 5 * width + v, sizeof(shift))
        for lane in range(LANE_WIDTH):
            partial[lane] = 0
        for k in range(n):
            number = first_class + k
            for lane in range(LANE_WIDTH):
                value = x[k * stride + v + lane]
                if shifted:
                    value = value - shift[lane]
                highest[lane] = larger(value, highest[lane])
                own[lane] = value if target[lane] == number else own[lane]
                term = exp_over(at_least(value, low[lane]), magic[lane])
                partial[lane] += <real>0 if target[lane] == number else term
        memcpy(columns + 3 * width + v, highest, sizeof(highest))
        memcpy(columns + 4 * width + v, own, sizeof(own))
        for lane in range(LANE_WIDTH):
            before = tile.sums[v + lane]
            term64 = partial[lane]
            tile.sums[v + lane] = before + term64
            if real is double:      # float terms are far coarser than what a double sum of them loses
                tile.losts[v + lane] += two_sum_lost(before, term64)


cdef void sum_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    cdef Py_ssize_t k, n, j, m, stride = 0, base = 0
    cdef const real *x
    reset_sums(tile, _)
    number_targets(tile, 0, _)
    for k from 0 <= k < job.n_classes by tile.capacity:
        if k - base + tile.capacity > EXACT_CLASSES:
            base = k
            number_targets(tile, base, _)
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        for j from 0 <= j < n by CLASS_GROUP:
            m = min(n - j, <Py_ssize_t>CLASS_GROUP)
            if tile.shifted:
                add_classes(x + j * stride, stride, m, <real>(k - base + j), tile, True)
            else:
                add_classes(x + j * stride, stride, m, <real>(k - base + j), tile, False)


cdef bint correct_references(Tile *tile, real _) noexcept nogil:
    """Where a logit rose too far above its sample's reference: the right one. Says whether there was any."""
    cdef real *highest = <real *>tile.reals + 3 * tile.width
    cdef real *shift = <real *>tile.reals + 5 * tile.width
    cdef real *magic = <real *>tile.reals
    cdef Py_ssize_t i
    cdef bint any_wrong = False
    for i in range(tile.width):
        any_wrong |= highest[i] * <real>LOG2E > <real>HEADROOM + <real>exponent_of(magic[i])
        any_wrong |= highest[i] < -<real>LOGIT_LIMIT
        shift[i] = 0
    if not any_wrong:
        return False
    any_wrong = False
    for i in range(tile.n):
        if needs_shift(highest[i]) and highest[i] != INFINITY:
            shift[i] = highest[i]
            set_reference(tile, i, 0, _)
            any_wrong = tile.shifted = True
        elif highest[i] * LOG2E > exponent_of(magic[i]) + HEADROOM and highest[i] != INFINITY:
            set_reference(tile, i, highest[i], _)
            any_wrong = True
    return any_wrong


cdef void weigh_tile(const Job *job, Tile *tile) noexcept nogil:
    """Each sample's coefficient: 0 where ignored, nan where the target has changed since it was checked."""
    cdef Py_ssize_t i
    for i in range(tile.n):
        if tile.indices[i] == job.ignore_index:
            tile.coefficients[i] = 0
        elif not 0 <= tile.indices[i] < job.n_classes:
            tile.coefficients[i] = NAN
        else:
            tile.coefficients[i] = coefficient(job, tile.first + i, tile.indices[i])
    for i in range(tile.n, tile.width):
        tile.coefficients[i] = 0


cdef void finish_lanes(double *restrict sums, double *restrict losts, const real *restrict own, real *restrict magic,
                       real *restrict low, real *restrict rest_share) noexcept nogil:
    """The points of LANE_WIDTH samples. In: sums, losts, magic, own. Out: losts = nll, sums = inverse, and the rest."""
    cdef double sum_exp[LANE_WIDTH]
    cdef double exponent[LANE_WIDTH]
    cdef double x[LANE_WIDTH]
    cdef Py_ssize_t lane
    cdef SoftmaxPoint point
    for lane in range(LANE_WIDTH):
        sum_exp[lane] = sums[lane] + losts[lane]
        exponent[lane] = exponent_of(magic[lane])
        x[lane] = own[lane]
    for lane in range(LANE_WIDTH):
        point = softmax_point(sum_exp[lane], exponent[lane], x[lane])
        losts[lane] = point.nll
        sums[lane] = point.inverse
        sum_exp[lane] = point.rest_share
        exponent[lane] = point.exponent
    for lane in range(LANE_WIDTH):
        magic[lane] = magic_of(exponent[lane], <real>0)
        low[lane] = lowest_of(exponent[lane], <real>0)
        rest_share[lane] = <real>sum_exp[lane]


cdef double finish_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """Every sample's point from its sum. Losses go to tile.losts, what the gradient needs into the columns."""
    cdef real *columns = <real *>tile.reals
    cdef Py_ssize_t width = tile.width, i, lane
    cdef double total[LANE_WIDTH]
    cdef double *losses
    cdef const double *coefficients
    memset(total, 0, sizeof(total))
    for i from 0 <= i < width by LANE_WIDTH:
        losses = tile.losts + i
        coefficients = tile.coefficients + i
        finish_lanes(tile.sums + i, losses, columns + 4 * width + i, columns + i, columns + width + i,
                     columns + 6 * width + i)
        for lane in range(LANE_WIDTH):
            losses[lane] = 0.0 if coefficients[lane] == 0.0 else coefficients[lane] * losses[lane]
            total[lane] += losses[lane]
    lane = LANE_WIDTH // 2
    while lane > 0:
        for i in range(lane):
            total[i] += total[i + lane]
        lane //= 2
    return total[0]


cdef void store_losses(const Job *job, const Tile *tile) noexcept nogil:
    cdef Py_ssize_t i
    if job.loss_out.data == NULL:
        return
    for i in range(tile.n):
        store_loss(job, tile.first + i, tile.losts[i])
