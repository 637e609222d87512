# Class axis strided, or few classes: LANE_WIDTH samples side by side, one class after another. Tiles of samples.
#
# a) A tile of samples is read group by group of classes, in place where a class's samples are dense, else through a
#    buffer (which is also where few contiguous classes are transposed). A small tile is loaded once and kept.
# b) What is known of a sample are its columns: one number each of the tile's samples, side by side.

cdef enum:
    LANE_WIDTH = 32
    REFERENCE_CLASSES = 4       # classes that a sample's reference is taken from
    TILE_LOGITS = 8192          # of a buffer
    ROWS_LOGITS = 1024          # of samples on their way to it that have to be widened, or from it narrowed
    ROWS_AT_ONCE = 16           # where each of these is a run of its own
    EXACT_CLASSES = 1 << 24     # class numbers that a float holds exactly

# A sample's numbers, one column each: those that are compared with logits of type real, the others double.
cdef enum:
    MAGIC, LOW, HOLE, HIGHEST, OWN, OWN_MASS, SHIFT, ORIGIN, FOUND, LARGEST, N_REALS
cdef enum:
    SUM, LOST, SPREAD_SUM, SPREAD_MASS, WEIGHT, REST_SHARE, OWN_SHARE, EXPONENT, N_DOUBLES

# The same columns again, once the sums are done with: doubles, then reals.
cdef enum:
    INVERSE = SUM
    NLL = LOST
    LOSS = LOST                 # nll times what multiplies it
cdef enum:
    SCALE = HIGHEST
    PUSH = OWN
    AT_HOLE = OWN_MASS


cdef struct Tile:
    Py_ssize_t first            # sample
    Py_ssize_t n                # samples
    Py_ssize_t width            # n rounded up to whole lanes
    Py_ssize_t capacity         # classes the buffers hold
    Py_ssize_t loaded           # the class the buffer begins with, or -1
    bint direct                 # read in place
    bint shifted
    char *reals
    double *doubles
    int64_t *indices            # the target, or where the largest logit is; -1: none
    char *logits
    char *given
    char *grad
    char *narrowed
    char *picks                 # of lane_top.pxi
    Ahead ahead                 # what is read after the classes at hand, of the first lanes
    Py_ssize_t ahead_bytes      # and from a sample to the next
    Ahead given_ahead           # the same of given probabilities
    Py_ssize_t given_ahead_bytes


cdef inline Py_ssize_t tile_capacity(const Job *job) noexcept nogil:
    """Whole class groups, so that the order of a sum does not depend on the width of the tile."""
    cdef Py_ssize_t groups = TILE_LOGITS // job.tile_samples // CLASS_GROUP
    return min(max(groups, <Py_ssize_t>1) * CLASS_GROUP, job.n_classes)


cdef size_t lane_scratch(const Job *job) noexcept nogil:
    cdef size_t width = job.tile_samples
    return width * 8 * (3 * tile_capacity(job) + N_REALS + N_DOUBLES + 2)


cdef void lay_out(const Job *job, char *scratch, Tile *tile) noexcept nogil:
    cdef Py_ssize_t width = job.tile_samples
    tile.capacity = tile_capacity(job)
    tile.doubles = <double *>scratch
    tile.indices = <int64_t *>(tile.doubles + N_DOUBLES * width)
    tile.reals = <char *>(tile.indices + width)
    tile.narrowed = tile.reals + N_REALS * width * 8
    tile.logits = tile.narrowed + width * 8
    tile.given = tile.logits + tile.capacity * width * 8
    tile.grad = tile.given + tile.capacity * width * 8


cdef inline real *column(const Tile *tile, int which, real _) noexcept nogil:
    return <real *>tile.reals + which * tile.width


cdef inline double *double_column(const Tile *tile, int which) noexcept nogil:
    return tile.doubles + which * tile.width


cdef void place_tile(const Job *job, Py_ssize_t begin, Py_ssize_t end, Tile *tile, real _) noexcept nogil:
    """The samples of the next tile: one run, in whole lanes if it can be read in place."""
    cdef const char *source = sample_pointer(job, &job.input, begin)
    tile.first = begin
    tile.n = min(run_length(job, begin, end), job.tile_samples)
    tile.direct = (tile.n >= LANE_WIDTH and is_real(&job.input, job.input.stride_bytes[job.n_axes - 1], source, _)
                   and job.input.class_stride_bytes % <Py_ssize_t>sizeof(real) == 0 and not transforms(job, 0))
    if tile.direct:
        tile.n -= tile.n % LANE_WIDTH
    tile.width = (tile.n + LANE_WIDTH - 1) // LANE_WIDTH * LANE_WIDTH
    tile.loaded = -1
    tile.shifted = False
    tile.ahead.near = tile.ahead.beyond = source
    tile.ahead.n_near = tile.ahead.step = tile.ahead_bytes = 0
    tile.given_ahead, tile.given_ahead_bytes = tile.ahead, 0


cdef void place(const Job *job, Py_ssize_t begin, Py_ssize_t end, Tile *tile, real _) noexcept nogil:
    """The next tile with its targets."""
    cdef Py_ssize_t i
    place_tile(job, begin, end, tile, _)
    if job.spread == SPREAD_GIVEN:
        for i in range(tile.n):
            tile.indices[i] = -1
    else:
        load_indices(job, begin, tile.n, tile.indices)


cdef inline void transpose(const real *source, Py_ssize_t source_stride, Py_ssize_t n_rows, Py_ssize_t n_columns,
                           real *to, Py_ssize_t to_stride) noexcept nogil:
    if real is float:
        transpose_f32(source, source_stride, n_rows, n_columns, to, to_stride)
    else:
        transpose_f64(source, source_stride, n_rows, n_columns, to, to_stride)


cdef void gather_rows(const Operand *operand, const char *source, Py_ssize_t stride, Py_ssize_t n,
                      Py_ssize_t n_samples, Py_ssize_t width, real *buffer) noexcept nogil:
    """Samples whose classes lie closer together than they do: some of them at a time, as rows of real, transposed."""
    cdef Py_ssize_t class_bytes = operand.class_stride_bytes, i, j, m, c, row
    cdef bint together = stride == n * class_bytes and n <= ROWS_LOGITS     # rows that are one run
    cdef Py_ssize_t columns = n if together else min(n, <Py_ssize_t>(ROWS_LOGITS // ROWS_AT_ONCE))
    cdef Py_ssize_t at_once = ROWS_LOGITS // n if together else <Py_ssize_t>ROWS_AT_ONCE
    cdef real rows[ROWS_LOGITS]
    cdef const real *x
    for i from 0 <= i < n_samples by at_once:
        m = min(at_once, n_samples - i)
        for j from 0 <= j < n by columns:
            c = min(columns, n - j)
            for row in range(1 if together else m):
                x = load_run(operand, source + (i + row) * stride + j * class_bytes, m * n if together else c,
                             class_bytes, rows + row * columns)
                if x != rows + row * columns:
                    memcpy(rows + row * columns, x, (m * n if together else c) * sizeof(real))
            transpose(rows, columns, m, c, buffer + j * width + i, width)


cdef void gather(const Operand *operand, const char *source, Py_ssize_t stride, Py_ssize_t n, Py_ssize_t n_samples,
                 Py_ssize_t width, real *buffer) noexcept nogil:
    """n classes as [class][sample]; samples beyond n_samples are 0."""
    cdef Py_ssize_t class_bytes = operand.class_stride_bytes, j
    cdef const real *row
    if n_samples < width:
        memset(buffer, 0, n * width * sizeof(real))
    if is_real(operand, class_bytes, source, <real>0) and stride % <Py_ssize_t>sizeof(real) == 0:
        transpose(<const real *>source, stride // <Py_ssize_t>sizeof(real), n_samples, n, buffer, width)
    elif llabs(class_bytes) < llabs(stride):
        gather_rows(operand, source, stride, n, n_samples, width, buffer)
    else:
        for j in range(n):
            row = load_run(operand, source + j * class_bytes, n_samples, stride, buffer + j * width)
            if row != buffer + j * width:
                memcpy(buffer + j * width, row, n_samples * sizeof(real))


cdef const real *load_classes(const Job *job, Tile *tile, Py_ssize_t k, Py_ssize_t n, Py_ssize_t *class_stride,
                              real _) noexcept nogil:
    """n classes from k on as [class][sample], n at most the capacity."""
    cdef const char *source = sample_pointer(job, &job.input, tile.first) + k * job.input.class_stride_bytes
    cdef real *buffer = <real *>tile.logits
    if tile.direct:
        class_stride[0] = job.input.class_stride_bytes // <Py_ssize_t>sizeof(real)
        return <const real *>source
    class_stride[0] = tile.width
    if tile.loaded != k:
        tile.loaded = k
        gather(&job.input, source, job.input.stride_bytes[job.n_axes - 1], n, tile.n, tile.width, buffer)
        if transforms(job, 0):
            transform(job, buffer, n * tile.width, 0, buffer)
    return buffer


cdef const real *load_probabilities(const Job *job, Tile *tile, Py_ssize_t k, Py_ssize_t n, real _) noexcept nogil:
    """The same of the given probabilities, with classes tile.width apart."""
    if job.spread != SPREAD_GIVEN:
        return NULL
    gather(&job.target, sample_pointer(job, &job.target, tile.first) + k * job.target.class_stride_bytes,
           job.target.stride_bytes[job.n_axes - 1], n, tile.n, tile.width, <real *>tile.given)
    return <const real *>tile.given
