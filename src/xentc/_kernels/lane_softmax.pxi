# softmax, log_softmax and logsumexp of samples side by side: the tiles and sums of lane.pxi and lane_sum.pxi.
#
# a) A tile is small, and in cache after one read: the largest logit of each sample is found first. It is the reference,
#    and it is always left out of the sum (see softmax.pxi), so that no sum is done again.
# b) Of value and gradient, the one that is written over the input comes last.

# More columns of a tile (see lane.pxi), by what they hold here.
cdef enum:
    TOP = ORIGIN                # the largest logit; its class is in tile.indices
    PULL = PUSH                 # with AT_HOLE: as in RowPoint
cdef enum:
    OTHERS = SPREAD_SUM         # the upstream gradients, summed over all classes but that of TOP
    OWN_UPSTREAM = SPREAD_MASS
    IS_EMPTY = WEIGHT           # of logsumexp: whether the sample is -inf throughout
    OTHERS_LOST = WEIGHT        # of the others: what the sum of double terms was rounded by


cdef inline void seek_largest(const real *x, Py_ssize_t stride, Py_ssize_t n, const Tile *tile) noexcept nogil:
    """The largest logit, and its number among these n classes where it is larger than those before."""
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef real *columns = <real *>tile.reals
    cdef real top[LANE_WIDTH]
    cdef real at[LANE_WIDTH]
    cdef real value, number
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(top, columns + TOP * width + v, sizeof(top))
        for lane in range(LANE_WIDTH):
            at[lane] = -1
        for k in range(n):
            number = <real>k
            for lane in range(LANE_WIDTH):
                value = x[k * stride + v + lane]
                at[lane] = number if value > top[lane] else at[lane]
                top[lane] = larger(value, top[lane])
        memcpy(columns + TOP * width + v, top, sizeof(top))
        memcpy(columns + HOLE * width + v, at, sizeof(at))


cdef void find_tops(const Job *job, Tile *tile, real _) noexcept nogil:
    """The largest logit of each sample, its class, and the reference that it makes."""
    cdef real *top = column(tile, TOP, _)
    cdef const real *at = column(tile, HOLE, _)
    cdef real *shift = column(tile, SHIFT, _)
    cdef Py_ssize_t k, n, i, stride = 0
    cdef const real *x
    for i in range(tile.width):
        top[i] = <real>-INFINITY
        shift[i] = 0
    for i in range(tile.n):
        tile.indices[i] = -1
    for k from 0 <= k < job.n_classes by tile.capacity:
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        seek_largest(x, stride, n, tile)
        for i in range(tile.n):
            tile.indices[i] = k + <int64_t>at[i] if at[i] >= 0 else tile.indices[i]
    for i in range(tile.width):
        if needs_shift(top[i]) and top[i] != INFINITY:
            shift[i] = top[i]
            tile.shifted = True
        set_reference(tile, i, top[i] - shift[i] if shift[i] != 0 else top[i], _)


cdef void store_lse(const Job *job, const Tile *tile, real _) noexcept nogil:
    cdef const real *top = column(tile, TOP, _)
    cdef const double *nll = double_column(tile, NLL)
    cdef const double *inverse = double_column(tile, INVERSE)
    cdef Py_ssize_t i
    for i in range(tile.n):
        if inverse[i] != inverse[i]:
            store_loss(job, tile.first + i,
                       special_lse(job, tile.first + i, top[i], double_column(tile, IS_EMPTY)[i] != 0))
        else:
            store_loss(job, tile.first + i, top[i] + nll[i])


cdef void finish_softmax_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """From the sums to what the entries are made of; logsumexp is written here."""
    cdef const double *sums = double_column(tile, SUM)
    cdef double *is_empty = double_column(tile, IS_EMPTY)
    cdef real *scale = column(tile, SCALE, _)
    cdef Py_ssize_t i
    for i in range(tile.width):
        is_empty[i] = column(tile, TOP, _)[i] == -INFINITY and sums[i] == 0
    for i from 0 <= i < tile.width by FINISH_WIDTH:
        finish_lanes(tile, i, True, _)
    for i in range(tile.width):
        scale[i] = <real>one_nan_f64(skewed_inverse(tile, i, _))
    if job.operation == LOGSUMEXP:
        store_lse(job, tile, _)


cdef inline void weigh_classes(const real *x, Py_ssize_t stride, const real *numbers, Py_ssize_t n, const Tile *tile,
                               bint weighed) noexcept nogil:
    # weighed is a literal.
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef const real *columns = <const real *>tile.reals
    cdef double *doubles = tile.doubles
    cdef real magic[LANE_WIDTH]
    cdef real low[LANE_WIDTH]
    cdef real hole[LANE_WIDTH]
    cdef real shift[LANE_WIDTH]
    cdef double others[LANE_WIDTH]
    cdef double lost[LANE_WIDTH]
    cdef double own[LANE_WIDTH]
    cdef real values[LANE_WIDTH]
    cdef real exps[LANE_WIDTH]
    cdef double given, term, before
    cdef real number
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(magic, columns + MAGIC * width + v, sizeof(magic))
        memcpy(low, columns + LOW * width + v, sizeof(low))
        memcpy(hole, columns + HOLE * width + v, sizeof(hole))
        memcpy(shift, columns + SHIFT * width + v, sizeof(shift))
        memcpy(others, doubles + OTHERS * width + v, sizeof(others))
        memcpy(lost, doubles + OTHERS_LOST * width + v, sizeof(lost))
        memcpy(own, doubles + OWN_UPSTREAM * width + v, sizeof(own))
        for k in range(n):
            number = <real>k
            if weighed:
                for lane in range(LANE_WIDTH):
                    values[lane] = x[k * stride + v + lane] - shift[lane]
                exp_lanes(values, low, magic, True, exps)
            for lane in range(LANE_WIDTH):
                given = term = numbers[k * width + v + lane]
                if weighed:
                    term = term * <double>exps[lane]
                own[lane] = given if hole[lane] == number else own[lane]
                term = <double>0 if hole[lane] == number else term
                before = others[lane]
                others[lane] = before + term
                if real is double:
                    lost[lane] += two_sum_lost(before, term)
        memcpy(doubles + OTHERS * width + v, others, sizeof(others))
        memcpy(doubles + OTHERS_LOST * width + v, lost, sizeof(lost))
        memcpy(doubles + OWN_UPSTREAM * width + v, own, sizeof(own))


cdef const real *load_tile_upstream(const Job *job, const Tile *tile, Py_ssize_t k, Py_ssize_t n,
                                    real _) noexcept nogil:
    if not sums_upstream(job):
        return NULL
    gather(&job.grad_output, sample_pointer(job, &job.grad_output, tile.first) + k * job.grad_output.class_stride_bytes,
           job.grad_output.stride_bytes[job.n_axes - 1], n, tile.n, tile.width, <real *>tile.given)
    return <const real *>tile.given


cdef void set_pulls(const Job *job, Tile *tile, real _) noexcept nogil:
    """What the gradients of a tile need of the upstream ones."""
    cdef Py_ssize_t k, n, i, stride = 0
    cdef const real *x
    cdef const real *numbers
    cdef double pull = 0, at_hole = 0, others, lost
    memset(double_column(tile, OTHERS), 0, tile.width * sizeof(double))
    memset(double_column(tile, OTHERS_LOST), 0, tile.width * sizeof(double))
    memset(double_column(tile, OWN_UPSTREAM), 0, tile.width * sizeof(double))
    if sums_upstream(job):
        for k from 0 <= k < job.n_classes by tile.capacity:
            n = min(job.n_classes - k, tile.capacity)
            x = load_classes(job, tile, k, n, &stride, _)
            numbers = load_tile_upstream(job, tile, k, n, _)
            number_holes(tile, k, _)
            if job.operation == SOFTMAX:
                weigh_classes(x, stride, numbers, n, tile, True)
            else:
                weigh_classes(x, stride, numbers, n, tile, False)
    for i in range(tile.width):
        if i < tile.n and column(tile, SCALE, _)[i] != column(tile, SCALE, _)[i]:
            special_gradient(job, tile.first + i, column(tile, TOP, _)[i], &pull, &at_hole)
        elif job.operation == LOGSUMEXP:
            pull = upstream(job, tile.first + i) if i < tile.n else 0.0
            at_hole = double_column(tile, OWN_SHARE)[i] * pull
        else:
            lost = double_column(tile, OTHERS_LOST)[i]
            others = double_column(tile, OTHERS)[i] + (lost if lost == lost else 0.0)   # nan where a term is infinite
            if job.operation == SOFTMAX:
                others = others * skewed_inverse(tile, i, _)
            set_pull(job.operation, double_column(tile, OWN_UPSTREAM)[i], others, double_column(tile, OWN_SHARE)[i],
                     double_column(tile, REST_SHARE)[i], &pull, &at_hole)
        column(tile, PULL, _)[i] = <real>pull
        column(tile, AT_HOLE, _)[i] = <real>at_hole


cdef inline void write_classes(const real *x, Py_ssize_t stride, const real *numbers, Py_ssize_t numbers_stride,
                               Py_ssize_t n, const Tile *tile, int kind, real *to, Py_ssize_t to_stride) noexcept nogil:
    # x and `to` may be the same memory: lanes are read before they are written. kind is a literal.
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef const real *columns = <const real *>tile.reals
    cdef real magic[LANE_WIDTH]
    cdef real low[LANE_WIDTH]
    cdef real hole[LANE_WIDTH]
    cdef real shift[LANE_WIDTH]
    cdef real scale[LANE_WIDTH]
    cdef real top[LANE_WIDTH]
    cdef real nll[LANE_WIDTH]
    cdef real pull[LANE_WIDTH]
    cdef real at_hole[LANE_WIDTH]
    cdef real entries[LANE_WIDTH]
    cdef real values[LANE_WIDTH]
    cdef real exps[LANE_WIDTH]
    cdef bint special[LANE_WIDTH]
    cdef real logit, entry, otherwise, number
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(magic, columns + MAGIC * width + v, sizeof(magic))
        memcpy(low, columns + LOW * width + v, sizeof(low))
        memcpy(hole, columns + HOLE * width + v, sizeof(hole))
        memcpy(shift, columns + SHIFT * width + v, sizeof(shift))
        memcpy(scale, columns + SCALE * width + v, sizeof(scale))
        memcpy(top, columns + TOP * width + v, sizeof(top))
        memcpy(pull, columns + PULL * width + v, sizeof(pull))
        memcpy(at_hole, columns + AT_HOLE * width + v, sizeof(at_hole))
        for lane in range(LANE_WIDTH):
            nll[lane] = <real>tile.doubles[NLL * width + v + lane]
            special[lane] = scale[lane] != scale[lane]
        for k in range(n):
            number = <real>k
            for lane in range(LANE_WIDTH):
                values[lane] = x[k * stride + v + lane] - shift[lane]
            exp_lanes(values, low, magic, True, exps)
            for lane in range(LANE_WIDTH):
                logit = x[k * stride + v + lane]
                entry = softmax_entry(logit, exps[lane] * scale[lane], numbers[k * numbers_stride + v + lane],
                                      top[lane], nll[lane], pull[lane], kind)
                otherwise = scale[lane]
                if not is_value(kind):
                    entry = at_hole[lane] if hole[lane] == number else entry
                    otherwise = at_hole[lane] if logit == <real>INFINITY else pull[lane]
                entries[lane] = otherwise if special[lane] else entry
            for lane in range(LANE_WIDTH):      # not memcpy, which would go through memory
                to[k * to_stride + v + lane] = entries[lane]


cdef void write_any(const real *x, Py_ssize_t stride, const real *numbers, Py_ssize_t n, const Tile *tile, int kind,
                    real *to, Py_ssize_t to_stride) noexcept nogil:
    if kind == VALUE_SOFTMAX:
        write_classes(x, stride, x, stride, n, tile, VALUE_SOFTMAX, to, to_stride)
    elif kind == VALUE_LOG_SOFTMAX:
        write_classes(x, stride, x, stride, n, tile, VALUE_LOG_SOFTMAX, to, to_stride)
    elif kind == GRAD_SOFTMAX:
        write_classes(x, stride, numbers, tile.width, n, tile, GRAD_SOFTMAX, to, to_stride)
    elif kind == GRAD_LOG_SOFTMAX:
        write_classes(x, stride, numbers, tile.width, n, tile, GRAD_LOG_SOFTMAX, to, to_stride)
    else:
        write_classes(x, stride, x, stride, n, tile, GRAD_LOGSUMEXP, to, to_stride)


cdef void write_tile_entries(const Job *job, const Operand *operand, Tile *tile, const real *x, Py_ssize_t stride,
                             const real *numbers, Py_ssize_t k, Py_ssize_t n, int kind) noexcept nogil:
    """Entries k to k + n of every sample: where they belong, or in the tile's buffer first."""
    cdef char *to = sample_pointer(job, operand, tile.first) + k * operand.class_stride_bytes
    cdef bint direct = (tile.n == tile.width
                        and is_real(operand, operand.stride_bytes[job.n_axes - 1], to, <real>0)
                        and operand.class_stride_bytes % <Py_ssize_t>sizeof(real) == 0)
    if direct:
        write_any(x, stride, numbers, n, tile, kind, <real *>to, operand.class_stride_bytes // <Py_ssize_t>sizeof(real))
    else:
        write_any(x, stride, numbers, n, tile, kind, <real *>tile.grad, tile.width)
        store_classes(job, operand, tile, <real *>tile.grad, k, n)


cdef void write_softmax_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    cdef bint has_value = job.operation != LOGSUMEXP, has_grad = job.grad_out.data != NULL
    cdef bint grad_last = job.grad_out.data == job.input.data
    cdef Py_ssize_t k, n, turn, stride = 0
    cdef const real *x
    cdef const real *numbers
    for k from 0 <= k < job.n_classes by tile.capacity:
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        numbers = load_tile_upstream(job, tile, k, n, _)
        number_holes(tile, k, _)
        for turn in range(2):
            if has_grad and turn == grad_last:
                write_tile_entries(job, &job.grad_out, tile, x, stride, numbers, k, n, grad_kind(job))
            elif has_value and turn != grad_last:
                write_tile_entries(job, &job.loss_out, tile, x, stride, numbers, k, n, value_kind(job))


cdef void lane_softmax_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, real _) noexcept nogil:
    cdef Tile tile
    lay_out(job, scratch, &tile)
    while begin < end:
        place(job, begin, end, &tile, _)
        find_tops(job, &tile, _)
        sum_tile(job, &tile, _)
        finish_softmax_tile(job, &tile, _)
        if job.grad_out.data != NULL:
            set_pulls(job, &tile, _)
        if job.operation != LOGSUMEXP or job.grad_out.data != NULL:
            write_softmax_tile(job, &tile, _)
        begin += tile.n
