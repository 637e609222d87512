# The loops of the element-wise losses, over n elements of a tile that lie in the first-level cache.

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


cdef bint any_soft(const real *restrict target, Py_ssize_t n) noexcept nogil:
    """Whether any target is neither 0 nor 1."""
    cdef Py_ssize_t k
    cdef int32_t between = 0
    cdef int64_t wide_between = 0
    for k in range(n):
        if real is float:
            between |= between_f32(target[k])
        else:
            wide_between |= between_f64(target[k])
    return between != 0 or wide_between != 0


cdef Py_ssize_t first_outside(const real *x, const real *target, Py_ssize_t n) noexcept nogil:
    """The first element with a number outside [0, 1], or -1."""
    cdef Py_ssize_t k
    if any_outside(x, target, n):
        for k in range(n):
            if not (0 <= x[k] <= 1 and 0 <= target[k] <= 1):
                return k
    return -1


# One loop a function: gcc stops making a loop of each literal choice where there are several.

cdef void binary_hard(const real *restrict x, const real *restrict target,
                      Py_ssize_t n, real *restrict loss) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            loss[k] = binary_hard_f32(x[k], target[k])
        else:
            loss[k] = binary_hard_f64(x[k], target[k])


cdef void binary_soft(const real *restrict x, const real *restrict target,
                      Py_ssize_t n, real *restrict loss) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            loss[k] = binary_soft_f32(x[k], target[k])
        else:
            loss[k] = binary_soft_f64(x[k], target[k])


cdef void binary_slopes(const real *restrict x, const real *restrict target,
                        Py_ssize_t n, real *restrict grad) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            grad[k] = binary_slope_f32(x[k], target[k])
        else:
            grad[k] = binary_slope_f64(x[k], target[k])


cdef void logits_hard(const real *restrict x, const real *restrict target,
                      Py_ssize_t n, real *restrict loss) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            loss[k] = one_nan_f32(logit_hard_f32(x[k], target[k]))
        else:
            loss[k] = one_nan_f64(logit_hard_f64(x[k], target[k]))


cdef void logits_soft(const real *restrict x, const real *restrict target, const real *restrict positive,
                      Py_ssize_t n, real *restrict loss) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            loss[k] = one_nan_f32(logit_soft_f32(x[k], target[k], positive[k]))
        else:
            loss[k] = one_nan_f64(logit_soft_f64(x[k], target[k], positive[k]))


cdef void logits_hard_slopes(const real *restrict x, const real *restrict target,
                             Py_ssize_t n, real *restrict grad) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            grad[k] = one_nan_f32(logit_hard_slope_f32(x[k], target[k]))
        else:
            grad[k] = one_nan_f64(logit_hard_slope_f64(x[k], target[k]))


cdef void logits_soft_slopes(const real *restrict x, const real *restrict target, const real *restrict positive,
                             Py_ssize_t n, real *restrict grad) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            grad[k] = one_nan_f32(logit_soft_slope_f32(x[k], target[k], positive[k]))
        else:
            grad[k] = one_nan_f64(logit_soft_slope_f64(x[k], target[k], positive[k]))


cdef void weigh_positive(const real *restrict target, const real *restrict positive, Py_ssize_t n,
                         real *restrict values) noexcept nogil:
    """Of hard targets. Adding 0 makes a -0 what it is in the sum of a soft one."""
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            values[k] = one_nan_f32(positive_part_f32(target[k], positive[k], values[k]))
        else:
            values[k] = one_nan_f64(positive_part_f64(target[k], positive[k], values[k]))


cdef void hinge_losses(const real *restrict x, const real *restrict target, real margin,
                       Py_ssize_t n, real *restrict loss) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            loss[k] = one_nan_f32(hinge_loss_f32(x[k], target[k], margin))
        else:
            loss[k] = one_nan_f64(hinge_loss_f64(x[k], target[k], margin))


cdef void hinge_slopes(const real *restrict x, const real *restrict target, real margin,
                       Py_ssize_t n, real *restrict grad) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(n):
        if real is float:
            grad[k] = one_nan_f32(hinge_slope_f32(x[k], target[k], margin))
        else:
            grad[k] = one_nan_f64(hinge_slope_f64(x[k], target[k], margin))


cdef void logits_values(const real *x, const real *target, const real *positive, Py_ssize_t n, real *spare, real *loss,
                        real *grad) noexcept nogil:
    cdef Py_ssize_t k
    if any_soft(target, n):
        if positive == NULL:
            for k in range(n):
                spare[k] = 1
            positive = spare
        logits_soft(x, target, positive, n, loss)
        if grad != NULL:
            logits_soft_slopes(x, target, positive, n, grad)
        return
    logits_hard(x, target, n, loss)
    if grad != NULL:
        logits_hard_slopes(x, target, n, grad)
    if positive != NULL:
        weigh_positive(target, positive, n, loss)
        if grad != NULL:
            weigh_positive(target, positive, n, grad)


cdef void map_values(const Job *job, const real *x, const real *target, const real *positive, Py_ssize_t n, real *spare,
                     real *loss, real *grad) noexcept nogil:
    """Losses, and slopes where grad is not NULL."""
    if job.map_loss == BINARY_LOGITS:
        logits_values(x, target, positive, n, spare, loss, grad)
    elif job.map_loss == HINGE:
        hinge_losses(x, target, <real>job.margin, n, loss)
        if grad != NULL:
            hinge_slopes(x, target, <real>job.margin, n, grad)
    else:
        if any_soft(target, n):
            binary_soft(x, target, n, loss)
        else:
            binary_hard(x, target, n, loss)
        if grad != NULL:
            binary_slopes(x, target, n, grad)


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
