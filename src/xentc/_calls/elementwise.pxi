# xentc.binary_cross_entropy, binary_cross_entropy_with_logits and hinge_embedding_loss: the elements are the samples.

cdef cnp.ndarray broadcast_array(object value, str name, cnp.ndarray logits):
    """Real numbers that broadcast to the input's shape, where they lie."""
    cdef cnp.ndarray array = real_array(value, name)
    cdef int lead = cnp.PyArray_NDIM(logits) - cnp.PyArray_NDIM(array), i
    cdef bint fits = lead >= 0
    if fits:
        for i in range(cnp.PyArray_NDIM(array)):
            if cnp.PyArray_DIM(array, i) != 1 and cnp.PyArray_DIM(array, i) != cnp.PyArray_DIM(logits, lead + i):
                fits = False
    if fits:
        return array
    raise ValueError(
        f"{name}: got shape {shape_text(array)}, expected one that broadcasts to the input's {shape_text(logits)}"
    )


cdef cnp.ndarray target_of_shape(object value, cnp.ndarray logits):
    cdef cnp.ndarray target = real_array(value, "target")
    if not same_shape(target, logits):
        raise ValueError(f"target: got shape {shape_text(target)}, expected the input's {shape_text(logits)}")
    return target


cdef cnp.ndarray broadcast_whole(cnp.ndarray logits, cnp.ndarray target):
    """An array of the shape that input and target have together."""
    if same_shape(logits, target):
        return logits
    try:
        shape = np.broadcast_shapes((<object>logits).shape, (<object>target).shape)
        return target if (<object>target).shape == shape else np.broadcast_to(logits, shape)
    except ValueError:
        raise ValueError(
            f"target: got shape {shape_text(target)} for an input of shape {shape_text(logits)}, expected shapes that "
            "broadcast"
        ) from None


cdef Py_ssize_t step_of(const Source *sources, int axis, int ndim) noexcept:
    """How far neighbours along an axis lie apart, in input and target."""
    return abs(stride_of(&sources[0], axis, ndim, -1)) + abs(stride_of(&sources[1], axis, ndim, -1))


cdef bint is_folded(const Source *logits, int axis, int ndim, Py_ssize_t length) noexcept:
    """Whether the input was broadcast along an axis by the rules of shapes, so that its gradient is summed there."""
    axis -= ndim - logits.ndim
    return length != 1 and (axis < 0 or logits.lengths[axis] == 1)


cdef void order_axes(Job *job, const Source *sources, cnp.ndarray whole, int *order) noexcept:
    """Folded axes last; else as memory lies, the shortest step innermost. Equal steps keep their order."""
    cdef int ndim = cnp.PyArray_NDIM(whole), axis, i
    cdef Py_ssize_t length
    cdef bint folded[MAX_AXES]
    job.n_folded = 1
    for axis in range(ndim):
        length = cnp.PyArray_DIM(whole, axis)
        folded[axis] = is_folded(&sources[0], axis, ndim, length)
        if folded[axis]:
            job.n_folded *= max(length, <Py_ssize_t>1)
        i = axis
        while i > 0 and (folded[order[i - 1]] > folded[axis] or folded[order[i - 1]] == folded[axis]
                         and step_of(sources, order[i - 1], ndim) < step_of(sources, axis, ndim)):
            order[i] = order[i - 1]
            i -= 1
        order[i] = axis


cdef void find_runs(Job *job, const Source *sources) noexcept:
    """Each operand's own merging of axes: a weight of the last axis does not cut the input into rows."""
    cdef Operand *operand
    cdef int o, axis
    for o in range(N_OPERANDS):
        operand = sources[o].operand
        axis = job.n_axes - 1
        operand.run_length = job.length[axis]
        while axis > 0 and operand.stride_bytes[axis - 1] == operand.stride_bytes[axis] * job.length[axis]:
            axis -= 1
            operand.run_length *= job.length[axis]
        operand.periodic = True
        for axis in range(axis):
            operand.periodic = operand.periodic and operand.stride_bytes[axis] == 0


cdef object out_of_unit(cnp.ndarray logits, cnp.ndarray target, Py_ssize_t first_bad, const int *order):
    """The error for an element whose probability or target lies outside [0, 1]."""
    cdef int ndim = cnp.PyArray_NDIM(logits), i
    axes = [order[i] for i in range(ndim)]
    found = np.unravel_index(first_bad, [logits.shape[axis] for axis in axes])
    position = tuple(int(found[axes.index(i)]) for i in range(ndim))
    value, name = (<object>logits)[position], "input"
    if 0 <= value <= 1:
        value, name = (<object>target)[position], "target"
    where = "" if not position else f" at {position[0] if len(position) == 1 else position}"
    return ValueError(f"{name}: got {value}{where}, expected 0 to 1")


cdef int run_checked(Job *job, Totals *totals, cnp.ndarray logits, cnp.ndarray target, bint check_first,
                     const int *order, object num_threads) except -1:
    """The range checks ride along in the one pass, or go first where the caller's memory is to be written."""
    if job.map_loss == BINARY and check_first:
        check_elements(job, totals, num_threads)
        if totals.first_bad >= 0:
            raise out_of_unit(logits, target, totals.first_bad, order)
    run_elements(job, totals, num_threads)
    if totals.first_bad >= 0:
        raise out_of_unit(logits, target, totals.first_bad, order)
    return 0


cdef object elementwise(Job *job, cnp.ndarray logits, cnp.ndarray target, object weight, object pos_weight,
                        object size_average, object reduce, object reduction, object return_grad, object grad_output,
                        object out, object grad_out, object num_threads):
    """All that the three have in common. The Job holds map_loss and margin."""
    cdef cnp.ndarray whole = logits, of_elements = None, positive = None, upstream, loss_array, grad_array
    cdef bint want_grad = flag(return_grad, "return_grad")
    cdef int how = reduction_of(size_average, reduce, reduction)
    cdef int loss_code = loss_code_of(logits), target_code = dtype_code(target)
    cdef int order[MAX_AXES]
    cdef Source sources[N_OPERANDS]
    cdef Totals totals
    if job.map_loss == HINGE:
        whole = broadcast_whole(logits, target)
    if weight is not None:
        of_elements = broadcast_array(weight, "weight", logits)
    if pos_weight is not None:
        positive = broadcast_array(pos_weight, "pos_weight", logits)
    # Where float32 would round a target or the margin, the arithmetic is float64: 1 + 1e-12 is not in [0, 1], nor 1.
    job.real_code = F64 if target_code == F64 or <double><float>job.margin != job.margin == job.margin else loss_code
    upstream = upstream_of(job, grad_output, want_grad, how, whole, -1)
    loss_array = loss_result(out, how, whole, -1, loss_code)
    grad_array = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        check_outputs(out, grad_out, (logits, target, of_elements, positive, upstream),
                      ("input", "target", "weight", "pos_weight", "grad_output"))
    describe(&sources[0], &job.input, logits, -1)
    describe(&sources[1], &job.target, target, -1)
    describe(&sources[2], &job.sample_weight, of_elements, -1)
    describe(&sources[3], &job.pos_weight, positive, -1)
    describe(&sources[4], &job.grad_output, upstream, -1)
    describe(&sources[5], &job.loss_out, loss_array, -1)
    describe(&sources[6], &job.grad_out, grad_array, -1)
    order_axes(job, sources, whole, order)
    lay_out(job, sources, -1, order, whole)
    find_runs(job, sources)
    if how == MEAN:
        job.grad_scale = job.grad_scale / job.n_samples if job.n_samples else 0.0
    run_checked(job, &totals, logits, target, out is not None or grad_out is not None, order, num_threads)
    if job.n_samples == 0 and grad_array is not None:   # the input itself need not be empty
        grad_array[...] = 0
    loss = None
    if how == MEAN:
        loss = scalar(totals.loss / job.n_samples if job.n_samples else NAN, loss_code)
    elif how == SUM:
        loss = scalar(totals.loss, loss_code)
    return answer(loss, how, loss_array, out, want_grad, grad_array, grad_out)


def binary_cross_entropy(object input, object target, object weight, object size_average, object reduce,
                         object reduction, object return_grad, object grad_output, object out, object grad_out,
                         object num_threads):
    """xentc.binary_cross_entropy, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input)
    cdef Job job
    job.map_loss, job.margin = BINARY, 0
    return elementwise(&job, logits, target_of_shape(target, logits), weight, None, size_average, reduce, reduction,
                       return_grad, grad_output, out, grad_out, num_threads)


def binary_cross_entropy_with_logits(object input, object target, object weight, object size_average, object reduce,
                                     object reduction, object pos_weight, object return_grad, object grad_output,
                                     object out, object grad_out, object num_threads):
    """xentc.binary_cross_entropy_with_logits, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input)
    cdef Job job
    job.map_loss, job.margin = BINARY_LOGITS, 0
    return elementwise(&job, logits, target_of_shape(target, logits), weight, pos_weight, size_average, reduce,
                       reduction, return_grad, grad_output, out, grad_out, num_threads)


def hinge_embedding_loss(object input, object target, object margin, object size_average, object reduce,
                         object reduction, object return_grad, object grad_output, object out, object grad_out,
                         object num_threads):
    """xentc.hinge_embedding_loss, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef Job job
    job.map_loss, job.margin = HINGE, real_scalar(margin, "margin")
    return elementwise(&job, logits_array(input), real_array(target, "target"), None, None, size_average, reduce,
                       reduction, return_grad, grad_output, out, grad_out, num_threads)
