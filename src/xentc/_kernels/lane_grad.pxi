# The gradient of a tile of lane.pxi: its logits once more, from cache, and out through the way they came in.


cdef void scale_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    """Into the columns: what multiplies exp(x), and the gradient at the target. 0 only where the gradient is 0."""
    cdef real *scale = <real *>tile.reals + 3 * tile.width
    cdef real *at_target = <real *>tile.reals + 6 * tile.width
    cdef Py_ssize_t i
    cdef double each
    for i in range(tile.n):
        each = grad_coefficient(job, tile.first + i, tile.coefficients[i])
        scale[i] = 0 if each == 0 else <real>(each * tile.sums[i])
        at_target[i] = 0 if each == 0 else <real>(-each * at_target[i])
    for i in range(tile.n, tile.width):
        scale[i] = 0
        at_target[i] = 0


cdef void grad_classes(const real *x, Py_ssize_t stride, Py_ssize_t n, real first_class, const Tile *tile,
                       bint shifted, real *grad, Py_ssize_t grad_stride) noexcept nogil:
    # x and grad may be the same memory: lanes are read before they are written.
    cdef Py_ssize_t width = tile.width, v, lane, k
    cdef const real *columns = <const real *>tile.reals
    cdef real magic[LANE_WIDTH]
    cdef real low[LANE_WIDTH]
    cdef real target[LANE_WIDTH]
    cdef real scale[LANE_WIDTH]
    cdef real shift[LANE_WIDTH]
    cdef real at_target[LANE_WIDTH]
    cdef real values[LANE_WIDTH]
    cdef real value, number
    for v from 0 <= v < width by LANE_WIDTH:
        memcpy(magic, columns + v, sizeof(magic))
        memcpy(low, columns + width + v, sizeof(low))
        memcpy(target, columns + 2 * width + v, sizeof(target))
        memcpy(scale, columns + 3 * width + v, sizeof(scale))
        memcpy(shift, columns + 5 * width + v, sizeof(shift))
        memcpy(at_target, columns + 6 * width + v, sizeof(at_target))
        for k in range(n):
            number = first_class + k
            for lane in range(LANE_WIDTH):
                value = x[k * stride + v + lane]
                if shifted:
                    value = value - shift[lane]
                value = exp_over(at_least(value, low[lane]), magic[lane]) * scale[lane]
                value = at_target[lane] if target[lane] == number else value
                values[lane] = <real>0 if scale[lane] == 0 else value
            memcpy(grad + k * grad_stride + v, values, sizeof(values))


cdef void store_classes(const Job *job, const Tile *tile, const real *grad, Py_ssize_t k, Py_ssize_t n) noexcept nogil:
    cdef char *to = sample_pointer(job, &job.grad_out, tile.first) + k * job.grad_out.class_stride_bytes
    cdef Py_ssize_t stride = job.grad_out.stride_bytes[job.n_axes - 1], class_bytes = job.grad_out.class_stride_bytes
    cdef Py_ssize_t i, j
    if class_bytes == sizeof(real):
        for i in range(tile.n):
            for j in range(n):
                memcpy(to + i * stride + j * <Py_ssize_t>sizeof(real), &grad[j * tile.width + i], sizeof(real))
        return
    for j in range(n):
        store_run(grad + j * tile.width, tile.n, to + j * class_bytes, stride, job.stream_grad)


cdef void grad_tile(const Job *job, Tile *tile, real _) noexcept nogil:
    cdef Py_ssize_t k, n, j, m, stride = 0, base = 0, grad_stride = tile.width
    cdef const real *x
    cdef real *grad = <real *>tile.grad_buffer
    cdef real *to_group
    cdef char *to = sample_pointer(job, &job.grad_out, tile.first)
    cdef bint direct = (not job.stream_grad and tile.n == tile.width
                        and is_dense(to, job.grad_out.stride_bytes[job.n_axes - 1], _)
                        and job.grad_out.class_stride_bytes % <Py_ssize_t>sizeof(real) == 0)
    scale_tile(job, tile, _)
    number_targets(tile, 0, _)
    if direct:
        grad_stride = job.grad_out.class_stride_bytes // <Py_ssize_t>sizeof(real)
    for k from 0 <= k < job.n_classes by tile.capacity:
        if k - base + tile.capacity > EXACT_CLASSES:
            base = k
            number_targets(tile, base, _)
        n = min(job.n_classes - k, tile.capacity)
        x = load_classes(job, tile, k, n, &stride, _)
        if direct:
            grad = <real *>to + k * grad_stride
        for j from 0 <= j < n by CLASS_GROUP:
            m = min(n - j, <Py_ssize_t>CLASS_GROUP)
            to_group = grad + j * grad_stride
            if tile.shifted:
                grad_classes(x + j * stride, stride, m, <real>(k - base + j), tile, True, to_group, grad_stride)
            else:
                grad_classes(x + j * stride, stride, m, <real>(k - base + j), tile, False, to_group, grad_stride)
        if not direct:
            store_classes(job, tile, grad, k, n)


cdef void lane_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals,
                     real _) noexcept nogil:
    cdef Tile tile
    lay_out(job, scratch, &tile)
    while begin < end:
        place(job, begin, end, &tile, _)
        first_reference(job, &tile, _)
        sum_tile(job, &tile, _)
        if correct_references(&tile, _):
            sum_tile(job, &tile, _)
        weigh_tile(job, &tile)
        totals.loss += finish_tile(job, &tile, _)
        store_losses(job, &tile)
        if job.grad_out.data != NULL:
            grad_tile(job, &tile, _)
        begin += tile.n
    if job.stream_grad:
        stream_fence()
