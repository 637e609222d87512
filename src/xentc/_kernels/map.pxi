# Element-wise losses: the elements are the samples, and each has an input, a target and possibly weights.
#
# a) A tile is a fixed range of elements, of any layout: operands that lie on one stride there are read in place, others
#    are gathered into L1 first, so that sums have one order whatever the layout. A broadcast operand is read where it
#    lies: a period is loaded once a tile, and repeated there.
# b) One loop for the range checks, values, slopes and their scale, and the sums (map_loops.pxi); then one each for the
#    weights and the upstream gradient, if there are any. All of it in L1.
# c) Float terms are summed in GROUPS groups of LANES, and these in double lanes, one horizontal sum a block.
# d) Where the input was broadcast against the target, `n_folded` elements in a row belong to one entry of the input,
#    and their gradients are summed in that order, in double. A block holds whole entries.

cdef enum:
    MAP_BUFFERS = 7         # of a tile: input, target, weight, pos_weight, grad_output, loss, gradient


cdef const real *repeat_period(real *buffer, Py_ssize_t n, Py_ssize_t filled, Py_ssize_t period) noexcept nogil:
    """buffer[k] = buffer[k - period] from `filled` on, which is a period or more."""
    cdef Py_ssize_t step
    while filled < n:
        step = min(n - filled, filled // period * period)
        memcpy(buffer + filled, buffer + filled - filled // period * period, step * sizeof(real))
        filled += step
    return buffer


cdef const real *load_elements(const Job *job, const Operand *operand, Py_ssize_t sample, Py_ssize_t n, bint prefetched,
                               real *buffer) noexcept nogil:
    """The operand of n elements as dense `real`: where they lie, or in the buffer. prefetched: the loop sees to it."""
    cdef Py_ssize_t stride = operand.stride_bytes[job.n_axes - 1], run = operand.run_length, done = 0, step
    cdef const real *loaded
    cdef const char *source
    if run >= job.n_samples:
        source = operand.data + sample * stride
        if not prefetched and operand.code == code_of(<real>0):
            prefetch_tile(source, n * stride)
        return load_run(operand, source, n, stride, buffer)
    while done < n:
        if operand.periodic and done >= run:
            return repeat_period(buffer, n, done, run)
        step = min(n - done, run - (sample + done) % run)
        loaded = load_run(operand, sample_pointer(job, operand, sample + done), step, stride, buffer + done)
        if step == n:
            return loaded
        if loaded != buffer + done:
            memcpy(buffer + done, loaded, step * sizeof(real))
        done += step
    return buffer


cdef inline void prefetch_tile(const char *source, Py_ssize_t n_bytes) noexcept nogil:
    cdef Py_ssize_t k
    for k from 0 <= k < n_bytes by 64:
        prefetch_beside(source + k)


cdef real *place_of(const Job *job, const Operand *operand, Py_ssize_t sample, real *buffer) noexcept nogil:
    """Where to compute results: where they will lie, or in the buffer."""
    cdef Py_ssize_t stride = operand.stride_bytes[job.n_axes - 1]
    if operand.data == NULL or operand.data == job.input.data or operand.run_length < job.n_samples:
        return buffer
    if not is_real(operand, stride, operand.data + sample * stride, <real>0):
        return buffer
    return <real *>(operand.data + sample * stride)


cdef void store_elements(const Job *job, const Operand *operand, Py_ssize_t sample, Py_ssize_t n, const real *values,
                         bint streams, char *narrowed) noexcept nogil:
    cdef Py_ssize_t stride = operand.stride_bytes[job.n_axes - 1], done = 0, step
    cdef char *to
    while done < n:
        step = min(n - done, operand.run_length - (sample + done) % operand.run_length)
        to = sample_pointer(job, operand, sample + done)
        if <const char *>(values + done) != to:
            store_run(operand, values + done, step, to, stride, streams, narrowed)
        done += step


cdef void check_unit_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals,
                           real _) noexcept nogil:
    cdef real *buffers = <real *>scratch
    cdef Py_ssize_t n, bad
    cdef const real *x
    cdef const real *target
    while begin < end:
        n = min(end - begin, job.tile_samples)
        x = load_elements(job, &job.input, begin, n, False, buffers)
        target = load_elements(job, &job.target, begin, n, False, buffers + job.tile_samples)
        bad = first_outside(x, target, n)
        if bad >= 0:
            totals.first_bad = begin + bad
            return
        begin += n


cdef void sum_values(const real *values, Py_ssize_t n, double *lanes) noexcept nogil:
    """Element k of a tile goes to lane k % LANES; a tile begins at lane 0."""
    cdef real partial[LANES]
    cdef Py_ssize_t group = 0, n_groups = n // LANES, stop, lane
    while group < n_groups:
        stop = min(group + GROUPS, n_groups)
        for lane in range(LANES):
            partial[lane] = 0
        while group < stop:
            for lane in range(LANES):
                partial[lane] += values[group * LANES + lane]
            group += 1
        for lane in range(LANES):
            lanes[lane] += partial[lane]
    for lane in range(n % LANES):
        lanes[lane] += values[n_groups * LANES + lane]


cdef void fold_grad(const Job *job, Py_ssize_t sample, const real *grad, Py_ssize_t n, double *folded) noexcept nogil:
    """Adds a tile to the gradient of the one entry of the input that it belongs to, and writes that at its end."""
    cdef double lanes[LANES]
    memset(lanes, 0, sizeof(lanes))
    sum_values(grad, n, lanes)
    folded[0] += fold_lanes(lanes)
    if (sample + n) % job.n_folded == 0:
        write_number(sample_pointer(job, &job.grad_out, sample), job.grad_out.code, one_nan_f64(folded[0]))
        folded[0] = 0


cdef bint map_tile(const Job *job, Py_ssize_t sample, Py_ssize_t n, real *buffers, Totals *totals, MapSums *sums,
                   real _) noexcept nogil:
    """False at a number out of range."""
    cdef Py_ssize_t size = job.tile_samples, bad
    cdef const real *x = load_elements(job, &job.input, sample, n, True, buffers)
    cdef const real *target = load_elements(job, &job.target, sample, n, True, buffers + size)
    cdef const real *factor = NULL
    # Losses that are only added up are never written down; pos_weight and weight come after.
    cdef bint keeps = job.loss_out.data != NULL or job.sample_weight.data != NULL or job.pos_weight.data != NULL
    cdef real *loss = place_of(job, &job.loss_out, sample, buffers + 5 * size) if keeps else NULL
    cdef real *grad = NULL
    # pos_weight comes before the scale, by the same operations whether targets are hard or soft.
    cdef bint scaled_last = job.pos_weight.data != NULL or <real>job.grad_scale == 0
    cdef real scale = 1 if scaled_last else <real>job.grad_scale
    cdef double spare_sums[LANES]
    if job.grad_out.data != NULL:
        grad = buffers + 6 * size
        if job.n_folded == 1 and not job.stream_grad:
            grad = place_of(job, &job.grad_out, sample, grad)
    if job.pos_weight.data != NULL:
        factor = load_elements(job, &job.pos_weight, sample, n, False, buffers + 2 * size)
    if keeps:
        memcpy(spare_sums, sums.loss, sizeof(spare_sums))
    bad = map_values(job, x, target, factor, n, scale, buffers + 2 * size, loss, grad, sums)
    if bad >= 0:
        totals.first_bad = sample + bad
        return False
    if keeps:
        memcpy(sums.loss, spare_sums, sizeof(spare_sums))
    if grad != NULL and scaled_last:
        scale_values(<real>job.grad_scale, n, grad)
    if job.sample_weight.data != NULL:
        factor = load_elements(job, &job.sample_weight, sample, n, False, buffers + 3 * size)
        multiply(factor, n, loss)
        if grad != NULL:
            multiply(factor, n, grad)
    if grad != NULL and job.grad_output.data != NULL:
        multiply(load_elements(job, &job.grad_output, sample, n, False, buffers + 4 * size), n, grad)
    # What was read is not needed any more: its buffers hold what is narrowed.
    if job.loss_out.data != NULL:
        store_elements(job, &job.loss_out, sample, n, loss, False, <char *>(buffers + 2 * size))
    elif keeps:
        sum_values(loss, n, sums.loss)
    if grad != NULL and job.n_folded > 1:
        fold_grad(job, sample, grad, n, &sums.grad)
    elif grad != NULL:
        store_elements(job, &job.grad_out, sample, n, grad, job.stream_grad, <char *>(buffers + 2 * size))
    return True


cdef void map_block(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals,
                    real _) noexcept nogil:
    cdef MapSums sums
    cdef Py_ssize_t n
    memset(&sums, 0, sizeof(sums))
    while begin < end:
        n = min(end - begin, job.tile_samples)
        if job.n_folded > 1:
            n = min(n, job.n_folded - begin % job.n_folded)
        if not map_tile(job, begin, n, <real *>scratch, totals, &sums, _):
            break
        begin += n
    totals.loss = fold_lanes(sums.loss)
    if job.stream_grad:
        stream_fence()


cdef size_t map_scratch(const Job *job) noexcept nogil:
    return MAP_BUFFERS * job.tile_samples * (sizeof(float) if job.real_code == F32 else sizeof(double))
