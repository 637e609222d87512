# From the sums of a tile to its losses and its gradient: the logits once more, from cache, and out as they came in.

cdef enum:
    FINISH_WIDTH = N_ENDS       # samples; a divisor of LANE_WIDTH


cdef void weigh_tile(const Job *job, Tile *tile) noexcept nogil:
    """What multiplies each sample's loss: 0 where ignored, nan where the target has changed since it was checked."""
    cdef double *weight = double_column(tile, WEIGHT)
    cdef double one
    cdef Py_ssize_t i
    if job.spread == SPREAD_GIVEN:
        for i in range(tile.n):
            weight[i] = 1
    else:
        for i in range(tile.n):
            one = 1 if <uint64_t>tile.indices[i] < <uint64_t>job.n_classes else NAN
            weight[i] = 0 if tile.indices[i] == job.ignore_index else one
        if job.weight != NULL and job.spread == SPREAD_NONE and job.lse_square_scale == 0:
            for i in range(tile.n):
                if weight[i] == 1:
                    weight[i] = job.weight[tile.indices[i]]
    if job.sample_weight.data != NULL:
        for i in range(tile.n):
            weight[i] = product(weight[i], sample_weight(job, tile.first + i))
    for i in range(tile.n, tile.width):
        weight[i] = 0


cdef inline double leading_n(double highest) noexcept nogil:
    """The n of the largest term, or near it; branch-free, unlike reference_exponent."""
    return at_least_f64(highest * LOG2E, -<double>REFERENCE_LIMIT)


cdef void finish_lanes(const Tile *tile, Py_ssize_t v, bint for_grad, real _) noexcept nogil:
    """The points of FINISH_WIDTH samples, into the columns; nll alone where that is all."""
    cdef Py_ssize_t width = tile.width, lane
    cdef double *doubles = tile.doubles + v
    cdef real *reals = <real *>tile.reals + v
    cdef double sum_exp[FINISH_WIDTH]
    cdef double exponent[FINISH_WIDTH]
    cdef double skew[FINISH_WIDTH]
    cdef double x[FINISH_WIDTH]
    cdef double nll[FINISH_WIDTH]
    cdef double own_share[FINISH_WIDTH]
    cdef double q[FINISH_WIDTH]
    cdef double n[FINISH_WIDTH]
    cdef double above_own[FINISH_WIDTH]
    cdef double far[FINISH_WIDTH]
    cdef SoftmaxPoint point
    cdef CoarseOdds odds
    for lane in range(FINISH_WIDTH):
        sum_exp[lane] = doubles[SUM * width + lane] + doubles[LOST * width + lane]
        skew[lane] = skew_of(leading_n(reals[HIGHEST * width + lane]), _)
        exponent[lane] = exponent_of(reals[MAGIC * width + lane])
        x[lane] = reals[OWN * width + lane]
    if real is float:
        for lane in range(FINISH_WIDTH):
            odds = coarse_odds(sum_exp[lane], exponent[lane], skew[lane], x[lane])
            q[lane], n[lane], above_own[lane], far[lane] = odds.q, odds.n, odds.above_own, odds.far
    if not for_grad:
        for lane in range(FINISH_WIDTH):
            if real is float:
                nll[lane] = coarse_nll(q[lane], far[lane])
            else:
                point = softmax_point(sum_exp[lane], exponent[lane], skew[lane], x[lane], False)
                nll[lane] = point.nll
        for lane in range(FINISH_WIDTH):
            doubles[NLL * width + lane] = nll[lane]
        return
    for lane in range(FINISH_WIDTH):
        if real is float:
            odds.q, odds.n, odds.above_own, odds.far = q[lane], n[lane], above_own[lane], far[lane]
            point = coarse_point(exponent[lane], skew[lane], odds)
        else:
            point = softmax_point(sum_exp[lane], exponent[lane], skew[lane], x[lane], False)
        nll[lane] = point.nll
        own_share[lane] = point.own_share
        sum_exp[lane] = point.inverse
        exponent[lane] = point.exponent
        x[lane] = point.rest_share
    # A loop for each, as gcc cannot tell the columns apart.
    for lane in range(FINISH_WIDTH):
        doubles[NLL * width + lane] = nll[lane]
    for lane in range(FINISH_WIDTH):
        doubles[INVERSE * width + lane] = sum_exp[lane]
    for lane in range(FINISH_WIDTH):
        doubles[EXPONENT * width + lane] = exponent[lane]
    for lane in range(FINISH_WIDTH):
        doubles[REST_SHARE * width + lane] = x[lane]
    for lane in range(FINISH_WIDTH):
        doubles[OWN_SHARE * width + lane] = own_share[lane]
    for lane in range(FINISH_WIDTH):
        reals[MAGIC * width + lane] = magic_of(exponent[lane], _)
    for lane in range(FINISH_WIDTH):
        reals[LOW * width + lane] = lowest_of(exponent[lane], _)


cdef inline double skewed_inverse(const Tile *tile, Py_ssize_t i, real _) noexcept nogil:
    """What exp_lanes is to be multiplied with to give a probability."""
    return double_column(tile, INVERSE)[i] * unskew(skew_of(double_column(tile, EXPONENT)[i], _))


cdef void load_target_weights(const Job *job, const Tile *tile, Py_ssize_t v, double *weights) noexcept nogil:
    """Of FINISH_WIDTH samples; 0 where the target is ignored or no class (any more)."""
    cdef const int64_t *indices = tile.indices + v
    cdef Py_ssize_t lane, n = min(tile.n - v, <Py_ssize_t>FINISH_WIDTH)
    memset(weights, 0, FINISH_WIDTH * sizeof(double))
    if job.spread == SPREAD_GIVEN:
        return
    for lane in range(n):
        weights[lane] = 1.0 if <uint64_t>indices[lane] < <uint64_t>job.n_classes else 0.0
    if job.weight != NULL:
        for lane in range(n):
            if weights[lane] != 0:
                weights[lane] = job.weight[indices[lane]]


cdef void load_ends(const Job *job, const Tile *tile, Py_ssize_t v, Ends *ends, real _) noexcept nogil:
    """What finish_lanes() and the sums have left of FINISH_WIDTH samples. As in finish_sums(), but for any of them."""
    cdef Py_ssize_t width = tile.width, lane
    cdef const double *doubles = tile.doubles + v
    cdef const real *reals = <const real *>tile.reals + v
    cdef bint given = job.spread == SPREAD_GIVEN
    cdef double share = 1 if given else job.share, total = 0 if given else job.share * job.weight_total
    load_target_weights(job, tile, v, ends.target_weight)
    for lane in range(FINISH_WIDTH):
        ends.own[lane], ends.origin[lane] = reals[OWN * width + lane], reals[ORIGIN * width + lane]
        ends.shift[lane], ends.own_mass[lane] = reals[SHIFT * width + lane], share * reals[OWN_MASS * width + lane]
        ends.spread_sum[lane] = share * (doubles[SPREAD_SUM * width + lane] / SPREAD_SCALE)
    if given:
        memcpy(ends.spread_mass, doubles + SPREAD_MASS * width, FINISH_WIDTH * sizeof(double))
    else:
        for lane in range(FINISH_WIDTH):
            ends.spread_mass[lane] = total - ends.own_mass[lane]
    memcpy(ends.scale, doubles + WEIGHT * width, FINISH_WIDTH * sizeof(double))
    memcpy(ends.nll, doubles + NLL * width, FINISH_WIDTH * sizeof(double))
    memcpy(ends.exponent, doubles + EXPONENT * width, FINISH_WIDTH * sizeof(double))
    memcpy(ends.inverse, doubles + INVERSE * width, FINISH_WIDTH * sizeof(double))
    memcpy(ends.rest_share, doubles + REST_SHARE * width, FINISH_WIDTH * sizeof(double))
    memcpy(ends.own_share, doubles + OWN_SHARE * width, FINISH_WIDTH * sizeof(double))


cdef void end_lanes(const Job *job, const Tile *tile, Py_ssize_t v, real _) noexcept nogil:
    """The losses of FINISH_WIDTH samples with more terms than nll and, if it is wanted, what their gradients need."""
    cdef Py_ssize_t width = tile.width, lane
    cdef double *doubles = tile.doubles + v
    cdef real *reals = <real *>tile.reals + v
    cdef double keep = job.keep, square = job.lse_square_scale, temperature = job.temperature
    cdef double each[FINISH_WIDTH]
    cdef Ends ends
    load_ends(job, tile, v, &ends, _)
    # Literals: the loop of each is vectorised for what it does.
    if square == 0 and real is float:
        end_coarse_losses(keep, &ends)
    elif square == 0:
        end_losses(keep, True, False, 0, &ends)
    elif job.spread == SPREAD_NONE:
        end_losses(keep, False, True, square, &ends)
    else:
        end_losses(keep, True, True, square, &ends)
    memcpy(doubles + LOSS * width, ends.loss, FINISH_WIDTH * sizeof(double))
    if job.grad_out.data == NULL:
        return
    for lane in range(FINISH_WIDTH):
        each[lane] = job.grad_scale
    if job.grad_output.data != NULL:
        for lane in range(min(<Py_ssize_t>FINISH_WIDTH, tile.n - v)):
            each[lane] = upstream(job, tile.first + v + lane)
    if square == 0:
        end_slopes(keep, True, False, 0, each, &ends)
    elif job.spread == SPREAD_NONE:
        end_slopes(keep, False, True, square, each, &ends)
    else:
        end_slopes(keep, True, True, square, each, &ends)
    for lane in range(FINISH_WIDTH):
        each[lane] = skewed_inverse(tile, v + lane, _)
    for lane in range(FINISH_WIDTH):
        reals[SCALE * width + lane] = <real>one_nan_f64(product(ends.pull[lane], each[lane]) / temperature)
    for lane in range(FINISH_WIDTH):
        reals[PUSH * width + lane] = <real>one_nan_f64(ends.push[lane] / temperature)
    for lane in range(FINISH_WIDTH):
        reals[AT_HOLE * width + lane] = <real>one_nan_f64(ends.at_hole[lane] / temperature)


cdef void scale_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """Where nll is the only term: what multiplies exp(x), and the gradient at the target."""
    cdef real *scale = column(tile, SCALE, _)
    cdef real *at_hole = column(tile, AT_HOLE, _)
    cdef double *each = double_column(tile, WEIGHT)     # what was the sample's weight
    cdef const double *rest_share = double_column(tile, REST_SHARE)
    cdef double grad_scale = job.grad_scale
    cdef Py_ssize_t i
    memset(column(tile, PUSH, _), 0, tile.width * sizeof(real))
    if job.grad_output.data == NULL and grad_scale != 0:
        for i in range(tile.width):
            each[i] = times_f64(each[i], grad_scale)
    else:
        for i in range(tile.n):
            each[i] = product(each[i], upstream(job, tile.first + i))
    if job.temperature != 1:
        for i in range(tile.width):
            each[i] /= job.temperature
    for i in range(tile.width):
        scale[i] = <real>one_nan_f64(times_f64(each[i], skewed_inverse(tile, i, _)))
    for i in range(tile.width):
        at_hole[i] = <real>one_nan_f64(times_f64(each[i], -rest_share[i]))


cdef bint needs_points(const Job *job, const Tile *tile, Py_ssize_t v, real _) noexcept nogil:
    """Whether FINISH_WIDTH samples take more than nll to their end."""
    cdef const real *own = column(tile, OWN, _) + v
    cdef Py_ssize_t lane
    cdef bint any_masked = False
    if job.grad_out.data != NULL:
        return True
    if job.spread == SPREAD_NONE or job.lse_square_scale != 0 or real is double:
        return job.spread != SPREAD_NONE or job.lse_square_scale != 0
    for lane in range(FINISH_WIDTH):
        any_masked |= is_masked(own[lane])
    return any_masked


cdef double finish_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """Every sample's loss and point from its sums. Returns the sum of the losses."""
    cdef Py_ssize_t width = tile.width, i, lane
    cdef double *losses = double_column(tile, LOSS)
    cdef const double *weight = double_column(tile, WEIGHT)
    cdef double total[LANE_WIDTH]
    cdef bint nll_only = job.spread == SPREAD_NONE and job.lse_square_scale == 0
    weigh_tile(job, tile)
    for i from 0 <= i < tile.n by FINISH_WIDTH:
        finish_lanes(tile, i, needs_points(job, tile, i, _), _)
    if nll_only:
        for i in range(width):
            losses[i] = one_nan_f64(times_f64(weight[i], losses[i]))
        if job.grad_out.data != NULL:
            scale_tile(job, tile, _)
    else:
        for i from 0 <= i < width by FINISH_WIDTH:
            end_lanes(job, tile, i, _)
    memset(total, 0, sizeof(total))
    for i from 0 <= i < width by LANE_WIDTH:
        for lane in range(LANE_WIDTH):
            total[lane] += losses[i + lane]
    lane = LANE_WIDTH // 2
    while lane > 0:
        for i in range(lane):
            total[i] += total[i + lane]
        lane //= 2
    return total[0]


cdef void store_losses(const Job *job, const Tile *tile) noexcept nogil:
    if job.loss_out.data != NULL:
        store_run(&job.loss_out, double_column(tile, LOSS), tile.n, sample_pointer(job, &job.loss_out, tile.first),
                  job.loss_out.stride_bytes[job.n_axes - 1], False, tile.narrowed)


cdef inline void grad_classes(const real *x, Py_ssize_t stride, const real *given, const real *weight, Py_ssize_t n,
                              real first_number, real keep, real share, const Tile *tile, int loop,
                              real *grad, Py_ssize_t grad_stride) noexcept nogil:
    # x and grad may be the same memory: lanes are read before they are written. loop is a literal. A scale of 0 or nan
    # makes a gradient of 0 or nan throughout, whatever the logits are.
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef const real *magic
    cdef const real *low
    cdef const real *hole
    cdef const real *scale
    cdef const real *push
    cdef const real *shift
    cdef const real *at_hole
    cdef const real *logits
    cdef real values[LANE_WIDTH]
    cdef real exps[LANE_WIDTH]
    cdef real value, number, mass
    for v from 0 <= v < width by LANE_WIDTH:
        magic, low = column(tile, MAGIC, <real>0) + v, column(tile, LOW, <real>0) + v
        hole, scale = column(tile, HOLE, <real>0) + v, column(tile, SCALE, <real>0) + v
        push, shift = column(tile, PUSH, <real>0) + v, column(tile, SHIFT, <real>0) + v
        at_hole = column(tile, AT_HOLE, <real>0) + v
        for k in range(n):
            number = first_number + k
            logits = x + k * stride + v
            if loop != LOOP_NONE:       # a plain copy would go through memory
                for lane in range(LANE_WIDTH):
                    values[lane] = logits[lane] - shift[lane]
                logits = values
            exp_lanes(logits, low, magic, True, exps)
            for lane in range(LANE_WIDTH):
                value = times(scale[lane], exps[lane])
                if spreads(loop):
                    mass = madd(given[k * width + v + lane], keep, share) if takes_given(loop) else share
                    mass = mass * weight[k] if weighs(loop) else mass
                    value = value - times(push[lane], mass)
                values[lane] = at_hole[lane] if hole[lane] == number else value
            for lane in range(LANE_WIDTH):      # not memcpy, which would go through memory
                grad[k * grad_stride + v + lane] = values[lane]


cdef inline void grad_plain(const real *x, Py_ssize_t stride, Py_ssize_t n, real first_number, const Tile *tile,
                            int loop, real *grad, Py_ssize_t grad_stride) noexcept nogil:
    """The same where there is no spread target. loop is a literal."""
    cdef Py_ssize_t width = tile.width, v
    cdef real *columns = <real *>tile.reals
    if real is float:
        for v from 0 <= v < width by LANE_WIDTH:
            grad_lanes_f32(x + v, stride, n, first_number, columns + MAGIC * width + v, columns + LOW * width + v,
                           columns + HOLE * width + v, columns + SHIFT * width + v, loop == LOOP_SHIFT,
                           columns + SCALE * width + v, columns + AT_HOLE * width + v, grad + v, grad_stride)
    else:
        grad_classes(x, stride, x, x, n, first_number, 0, 0, tile, loop, grad, grad_stride)


cdef inline void grad_spread(const real *x, Py_ssize_t stride, const real *given, const real *weight, Py_ssize_t n,
                             real first_number, real keep, real share, const Tile *tile, int loop, real *grad,
                             Py_ssize_t grad_stride) noexcept nogil:
    """The same with a spread target. loop is a literal."""
    cdef Py_ssize_t width = tile.width, v
    cdef real *columns = <real *>tile.reals
    cdef SpreadLanes lanes
    if real is float:
        if HAS_SPREAD_LANES:
            for v from 0 <= v < width by LANE_WIDTH:
                set_spread_lanes(tile, v, &lanes)
                grad_spread_lanes_f32(x + v, stride, from_(given, v), width, weight, takes_given(loop), weighs(loop), n,
                                      first_number, keep, share, &lanes, columns + SCALE * width + v,
                                      columns + PUSH * width + v, columns + AT_HOLE * width + v, grad + v, grad_stride)
            return
    grad_classes(x, stride, given, weight, n, first_number, keep, share, tile, loop, grad, grad_stride)


cdef void grad_any(const Job *job, const real *x, Py_ssize_t stride, const real *given, Py_ssize_t n, Py_ssize_t k,
                   real number, const Tile *tile, real *grad, Py_ssize_t grad_stride) noexcept nogil:
    cdef real keep = <real>job.keep, share = <real>job.share
    cdef const real *weight = weights_from(job, k, <real>0)
    if job.spread == SPREAD_NONE and tile.shifted:
        grad_plain(x, stride, n, number, tile, LOOP_SHIFT, grad, grad_stride)
    elif job.spread == SPREAD_NONE:
        grad_plain(x, stride, n, number, tile, LOOP_NONE, grad, grad_stride)
    elif job.spread == SPREAD_EVEN:
        grad_spread(x, stride, x, x, n, number, keep, share, tile, LOOP_EVEN, grad, grad_stride)
    elif job.spread == SPREAD_WEIGHT:
        grad_spread(x, stride, x, weight, n, number, keep, share, tile, LOOP_WEIGHT, grad, grad_stride)
    elif weight == NULL:
        grad_spread(x, stride, given, x, n, number, keep, share, tile, LOOP_GIVEN, grad, grad_stride)
    else:
        grad_spread(x, stride, given, weight, n, number, keep, share, tile, LOOP_GIVEN_WEIGHT, grad, grad_stride)


cdef bint any_nan(const real *values, Py_ssize_t n) noexcept nogil:
    cdef bint found = False
    cdef Py_ssize_t i
    for i in range(n):
        found |= values[i] != values[i]
    return found


cdef void settle_nans(const Tile *tile, Py_ssize_t n, real *grad, Py_ssize_t grad_stride) noexcept nogil:
    """The nan of a sample's scale, in n classes. Which of two nans a product keeps is the compiler's choice, and was
    seen to differ between loops that write where the gradient lies and those that do not."""
    cdef const real *scale = column(tile, SCALE, <real>0)
    cdef Py_ssize_t i, k
    for i in range(tile.width):
        if scale[i] != scale[i]:
            for k in range(n):
                grad[k * grad_stride + i] = scale[i]


cdef void apply_tile_slopes(const Job *job, const Tile *tile, real *grad, Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    """The chain rule through the softcap."""
    cdef const char *source = sample_pointer(job, &job.input, tile.first) + k * job.input.class_stride_bytes
    cdef Py_ssize_t stride = job.input.stride_bytes[job.n_axes - 1], i, j
    cdef double x
    for j in range(n):
        for i in range(tile.n):
            x = read_number(source + i * stride + j * job.input.class_stride_bytes, job.input.code, job.input.swapped)
            grad[j * tile.width + i] = times(grad[j * tile.width + i], <real>softcap_slope_f64(x, job.softcap))


cdef void store_rows(const Operand *operand, const real *grad, Py_ssize_t width, Py_ssize_t n, Py_ssize_t n_samples,
                     char *to, Py_ssize_t stride) noexcept nogil:
    """The way back of gather_rows()."""
    cdef Py_ssize_t class_bytes = operand.class_stride_bytes, i, j, m, c, row
    cdef bint together = stride == n * class_bytes and n <= ROWS_LOGITS
    cdef Py_ssize_t columns = n if together else min(n, <Py_ssize_t>(ROWS_LOGITS // ROWS_AT_ONCE))
    cdef Py_ssize_t at_once = ROWS_LOGITS // n if together else <Py_ssize_t>ROWS_AT_ONCE
    cdef real rows[ROWS_LOGITS]
    cdef double narrowed[ROWS_LOGITS]
    for i from 0 <= i < n_samples by at_once:
        m = min(at_once, n_samples - i)
        for j from 0 <= j < n by columns:
            c = min(columns, n - j)
            transpose(grad + j * width + i, width, c, m, rows, columns)
            for row in range(1 if together else m):
                store_run(operand, rows + row * columns, m * n if together else c,
                          to + (i + row) * stride + j * class_bytes, class_bytes, False, <char *>narrowed)


cdef void store_classes(const Job *job, const Operand *operand, const Tile *tile, const real *grad, Py_ssize_t k,
                        Py_ssize_t n) noexcept nogil:
    cdef char *to = sample_pointer(job, operand, tile.first) + k * operand.class_stride_bytes
    cdef Py_ssize_t stride = operand.stride_bytes[job.n_axes - 1], class_bytes = operand.class_stride_bytes
    cdef Py_ssize_t j
    if is_real(operand, class_bytes, to, <real>0) and stride % <Py_ssize_t>sizeof(real) == 0:
        transpose(grad, tile.width, n, tile.n, <real *>to, stride // <Py_ssize_t>sizeof(real))
    elif llabs(class_bytes) < llabs(stride):
        store_rows(operand, grad, tile.width, n, tile.n, to, stride)
    else:
        for j in range(n):
            store_run(operand, grad + j * tile.width, tile.n, to + j * class_bytes, stride, False, tile.narrowed)


cdef void grad_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    cdef Py_ssize_t k, n, j, step, stride = 0, base = 0, grad_stride = tile.width
    cdef const real *x
    cdef const real *given
    cdef real *grad = <real *>tile.grad
    cdef char *to = sample_pointer(job, &job.grad_out, tile.first)
    cdef bint direct = (job.softcap == 0 and tile.n == tile.width
                        and is_real(&job.grad_out, job.grad_out.stride_bytes[job.n_axes - 1], to, _)
                        and job.grad_out.class_stride_bytes % <Py_ssize_t>sizeof(real) == 0)
    if direct:
        grad_stride = job.grad_out.class_stride_bytes // <Py_ssize_t>sizeof(real)
    cdef bint has_nan = any_nan(column(tile, SCALE, _), tile.width)
    number_holes(tile, 0, _)
    for k from 0 <= k < job.n_classes by tile.capacity:
        if k - base + tile.capacity > EXACT_CLASSES:
            base = k
            number_holes(tile, base, _)
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        given = load_probabilities(job, tile, k, n, _)
        if direct:
            grad = <real *>to + k * grad_stride
        step = CLASS_GROUP if direct else classes_at_once(job, tile, _)
        for j from 0 <= j < n by step:
            grad_any(job, x + j * stride, stride, from_(given, j * tile.width), min(n - j, step), k + j,
                     <real>(k - base + j), tile, grad + j * grad_stride, grad_stride)
        if job.softcap != 0:
            apply_tile_slopes(job, tile, grad, k, n)
        if has_nan:
            settle_nans(tile, n, grad, grad_stride)
        if not direct:
            store_classes(job, &job.grad_out, tile, grad, k, n)


cdef void lane_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals,
                     real _) noexcept nogil:
    cdef Tile tile
    lay_out(job, scratch, &tile)
    while begin < end:
        place(job, begin, end, &tile, _)
        sum_samples(job, &tile, _)
        totals.loss += finish_tile(job, &tile, _)
        store_losses(job, &tile)
        if job.grad_out.data != NULL:
            grad_tile(job, &tile, _)
        begin += tile.n
