# The loops of the element-wise losses, over n elements of a tile that lie in the first-level cache.

# What a block carries from tile to tile.
cdef struct MapSums:
    double loss[LANES]
    double grad                 # of the entry of the input that is being folded
    bint soft                   # a target was neither 0 nor 1


# Checks: probabilities and targets of binary cross-entropy lie in [0, 1].

cdef bint any_outside(const real *restrict x, const real *restrict target, Py_ssize_t n) noexcept nogil:
    """Whether any number lies outside [0, 1]."""
    cdef Py_ssize_t k
    cdef uint32_t x_bits = 0, target_bits = 0
    cdef uint64_t wide_x_bits = 0, wide_target_bits = 0
    for k in range(n):
        if real is float:
            x_bits = max(x_bits, unit_bits_f32(x[k]))
            target_bits = max(target_bits, unit_bits_f32(target[k]))
        else:
            wide_x_bits = max(wide_x_bits, unit_bits_f64(x[k]))
            wide_target_bits = max(wide_target_bits, unit_bits_f64(target[k]))
    if real is float:
        return x_bits > ONE_F32 or target_bits > ONE_F32
    else:
        return wide_x_bits > ONE_F64 or wide_target_bits > ONE_F64


cdef Py_ssize_t first_outside(const real *x, const real *target, Py_ssize_t n) noexcept nogil:
    """The first element with a number outside [0, 1], or -1."""
    cdef Py_ssize_t k
    if any_outside(x, target, n):
        for k in range(n):
            if not (0 <= x[k] <= 1 and 0 <= target[k] <= 1):
                return k
    return -1


# What a loop computes, a literal, as is whether it computes slopes. A hard target is 0 or 1; hard and soft loops give
# the same bits of it.
cdef enum:
    ELEMENTS_BINARY_HARD, ELEMENTS_BINARY_SOFT, ELEMENTS_LOGITS_HARD, ELEMENTS_LOGITS_SOFT, ELEMENTS_HINGE


cdef inline bint element_terms(int kind, bint slopes, const real *x, const real *target, const real *positive,
                               real margin, real scale, real *loss, real *grad) noexcept nogil:
    """LANES elements (map_terms.h). True if these losses may not be the right ones."""
    if real is float:
        if kind == ELEMENTS_BINARY_HARD:
            return binary_hard_terms_f32(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_BINARY_SOFT:
            return binary_soft_terms_f32(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_LOGITS_HARD:
            return logit_hard_terms_f32(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_LOGITS_SOFT:
            return logit_soft_terms_f32(x, target, positive, slopes, scale, loss, grad)
        return hinge_terms_f32(x, target, margin, slopes, scale, loss, grad)
    else:
        if kind == ELEMENTS_BINARY_HARD:
            return binary_hard_terms_f64(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_BINARY_SOFT:
            return binary_soft_terms_f64(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_LOGITS_HARD:
            return logit_hard_terms_f64(x, target, slopes, scale, loss, grad)
        if kind == ELEMENTS_LOGITS_SOFT:
            return logit_soft_terms_f64(x, target, positive, slopes, scale, loss, grad)
        return hinge_terms_f64(x, target, margin, slopes, scale, loss, grad)


cdef inline bint last_terms(int kind, bint slopes, const real *x, const real *target, const real *positive,
                            Py_ssize_t n, real margin, real scale, real *loss, real *grad,
                            double *lanes) noexcept nogil:
    """The fewer than LANES elements at a tile's end, by the same operations: padded copies of them."""
    cdef real padded[5 * LANES]
    cdef Py_ssize_t lane
    cdef bint odd
    memset(padded, 0, sizeof(padded))
    memcpy(padded, x, n * sizeof(real))
    memcpy(padded + LANES, target, n * sizeof(real))
    if kind == ELEMENTS_LOGITS_SOFT:
        memcpy(padded + 2 * LANES, positive, n * sizeof(real))
    odd = element_terms(kind, slopes, <const real *>padded, <const real *>padded + LANES,
                        <const real *>padded + 2 * LANES, margin, scale, padded + 3 * LANES, padded + 4 * LANES)
    for lane in range(n):
        lanes[lane] += padded[3 * LANES + lane]
    if loss != NULL:
        memcpy(loss, padded + 3 * LANES, n * sizeof(real))
    if slopes:
        memcpy(grad, padded + 4 * LANES, n * sizeof(real))
    return odd


cdef inline void prefetch_elements(const char *source, Py_ssize_t n_bytes) noexcept nogil:
    """Ahead of the arithmetic, a little at a time: the requests of a whole tile at once would wait for each other."""
    cdef Py_ssize_t k
    for k from 0 <= k < n_bytes by 64:
        prefetch_beside(source + k)


cdef inline bint elements(int kind, bint slopes, const real *x, const real *target, const real *positive, Py_ssize_t n,
                          real margin, real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    """Losses, where loss is not NULL, slopes times scale, and the sums of sum_values(). True as element_terms()."""
    cdef real terms[LANES]
    cdef real partial[LANES]
    cdef real *to = terms
    cdef bint takes_positive = kind == ELEMENTS_LOGITS_SOFT
    cdef Py_ssize_t k = 0, n_whole = n // LANES * LANES, stop, lane
    cdef bint odd = False
    while k < n_whole:
        stop = min(k + GROUPS * LANES, n_whole)
        for lane in range(LANES):
            partial[lane] = 0
        while k < stop:
            prefetch_elements(<const char *>(x + k), LANES * sizeof(real))
            prefetch_elements(<const char *>(target + k), LANES * sizeof(real))
            if loss != NULL:
                to = loss + k
            odd |= element_terms(kind, slopes, x + k, target + k, positive + k if takes_positive else positive, margin,
                                 scale, to, grad + k if slopes else grad)
            for lane in range(LANES):
                partial[lane] += to[lane]
            k += LANES
        for lane in range(LANES):
            lanes[lane] += partial[lane]
    if k < n:
        odd |= last_terms(kind, slopes, x + k, target + k, positive + k if takes_positive else positive, n - k, margin,
                          scale, loss + k if loss != NULL else loss, grad + k if slopes else grad, lanes)
    return odd


# One loop a function: gcc stops making a loop of each literal choice where there are several.

cdef bint binary_hard_losses(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_BINARY_HARD, False, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint binary_hard_slopes(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_BINARY_HARD, True, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint binary_soft_losses(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_BINARY_SOFT, False, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint binary_soft_slopes(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_BINARY_SOFT, True, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint logits_hard_losses(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_LOGITS_HARD, False, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint logits_hard_slopes(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_LOGITS_HARD, True, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint logits_soft_losses(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_LOGITS_SOFT, False, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint logits_soft_slopes(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                             real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_LOGITS_SOFT, True, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint hinge_losses(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                       real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_HINGE, False, x, target, third, n, margin, scale, loss, grad, lanes)


cdef bint hinge_slopes(const real *x, const real *target, const real *third, Py_ssize_t n, real margin,
                       real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    return elements(ELEMENTS_HINGE, True, x, target, third, n, margin, scale, loss, grad, lanes)


cdef void weigh_positive(const real *restrict target, const real *restrict positive, Py_ssize_t n,
                         real *restrict values) noexcept nogil:
    """Of hard targets. Adding 0 makes a -0 what it is in the sum of a soft one."""
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            values[k] = one_nan_f32(positive_part_f32(target[k], positive[k], values[k]))
        else:
            values[k] = one_nan_f64(positive_part_f64(target[k], positive[k], values[k]))


cdef bint run_loop(int kind, const real *x, const real *target, const real *positive, Py_ssize_t n, real margin,
                   real scale, real *loss, real *grad, double *lanes) noexcept nogil:
    if kind == ELEMENTS_BINARY_HARD:
        if grad != NULL:
            return binary_hard_slopes(x, target, positive, n, margin, scale, loss, grad, lanes)
        return binary_hard_losses(x, target, positive, n, margin, scale, loss, grad, lanes)
    if kind == ELEMENTS_BINARY_SOFT:
        if grad != NULL:
            return binary_soft_slopes(x, target, positive, n, margin, scale, loss, grad, lanes)
        return binary_soft_losses(x, target, positive, n, margin, scale, loss, grad, lanes)
    if kind == ELEMENTS_LOGITS_HARD:
        if grad != NULL:
            return logits_hard_slopes(x, target, positive, n, margin, scale, loss, grad, lanes)
        return logits_hard_losses(x, target, positive, n, margin, scale, loss, grad, lanes)
    if kind == ELEMENTS_LOGITS_SOFT:
        if grad != NULL:
            return logits_soft_slopes(x, target, positive, n, margin, scale, loss, grad, lanes)
        return logits_soft_losses(x, target, positive, n, margin, scale, loss, grad, lanes)
    if grad != NULL:
        return hinge_slopes(x, target, positive, n, margin, scale, loss, grad, lanes)
    return hinge_losses(x, target, positive, n, margin, scale, loss, grad, lanes)


cdef bint fits_hard(int kind, const real *x, const real *target, Py_ssize_t n, real scale, real *loss, real *grad,
                    MapSums *sums) noexcept nogil:
    """Takes the targets for hard ones. False, and no trace in the sums, if they are not: the next are not tried."""
    cdef double kept[LANES]
    if sums.soft:
        return False
    memcpy(kept, sums.loss, sizeof(kept))
    if not run_loop(kind, x, target, <const real *>NULL, n, 0, scale, loss, grad, sums.loss):
        return True
    memcpy(sums.loss, kept, sizeof(kept))
    sums.soft = True
    return False


cdef void logits_values(const real *x, const real *target, const real *positive, Py_ssize_t n, real scale, real *spare,
                        real *loss, real *grad, MapSums *sums) noexcept nogil:
    cdef Py_ssize_t k
    if fits_hard(ELEMENTS_LOGITS_HARD, x, target, n, scale, loss, grad, sums):
        if positive != NULL:
            weigh_positive(target, positive, n, loss)
            if grad != NULL:
                weigh_positive(target, positive, n, grad)
        return
    if positive == NULL:
        for k in range(n):
            spare[k] = 1
        positive = spare
    run_loop(ELEMENTS_LOGITS_SOFT, x, target, positive, n, 0, scale, loss, grad, sums.loss)


cdef Py_ssize_t map_values(const Job *job, const real *x, const real *target, const real *positive, Py_ssize_t n,
                           real scale, real *spare, real *loss, real *grad, MapSums *sums) noexcept nogil:
    """Losses where loss is not NULL, slopes times scale where grad is not, and sums of losses. The first element of
    binary cross-entropy that is out of range, or -1."""
    if job.map_loss == BINARY_LOGITS:
        logits_values(x, target, positive, n, scale, spare, loss, grad, sums)
    elif job.map_loss == HINGE:
        run_loop(ELEMENTS_HINGE, x, target, positive, n, <real>job.margin, scale, loss, grad, sums.loss)
    elif not fits_hard(ELEMENTS_BINARY_HARD, x, target, n, scale, loss, grad, sums):
        if run_loop(ELEMENTS_BINARY_SOFT, x, target, positive, n, 0, scale, loss, grad, sums.loss):
            return first_outside(x, target, n)
    return -1


cdef void scale_values(real factor, Py_ssize_t n, real *restrict values) noexcept nogil:
    cdef Py_ssize_t k
    if factor == 0:
        memset(values, 0, n * sizeof(real))
    elif factor != 1:
        for k in range(n):
            values[k] = factor * values[k]


cdef void multiply(const real *restrict factor, Py_ssize_t n, real *restrict values) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            values[k] = one_nan_f32(times(factor[k], values[k]))
        else:
            values[k] = one_nan_f64(times(factor[k], values[k]))
