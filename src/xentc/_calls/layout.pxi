# Where the classes and the samples of every operand lie.

cdef int class_axis_of(cnp.ndarray logits, object axis, object target) except -1:
    cdef int ndim = cnp.PyArray_NDIM(logits)
    if ndim == 0:
        if dtype_code(logits) >= I8 and getattr(target, "ndim", 0) == 1:
            raise TypeError("input: got one integer and target: got a one-dimensional array, are the two swapped?")
        raise ValueError("input: got a 0-dimensional array, expected at least the class axis")
    if axis is None:
        return 0 if ndim == 1 else 1
    number = integer(axis, "axis", "an integer or None")
    if not -ndim <= number < ndim:
        raise ValueError(f"axis: got {number}, expected {-ndim} to {ndim - 1} for input of shape {shape_text(logits)}")
    return number % ndim


cdef int check_target_shape(cnp.ndarray logits, int class_axis, cnp.ndarray target, bint or_given) except -1:
    """Indices: the input's shape without its class axis, and nothing else. What is said of others depends on whether
    probabilities could have been given."""
    cdef int ndim = cnp.PyArray_NDIM(logits), i, j = 0
    cdef bint fits = cnp.PyArray_NDIM(target) == ndim - 1
    if fits:
        for i in range(ndim):
            if i != class_axis:
                fits = fits and cnp.PyArray_DIM(target, j) == cnp.PyArray_DIM(logits, i)
                j += 1
    if fits:
        return 0
    if or_given and same_shape(target, logits):
        raise TypeError(
            f"target: got integers of the input's shape {shape_text(target)}, expected class indices of the input's "
            "shape without its class axis, or floating-point probabilities of the input's shape"
        )
    expected = f"{sample_shape(logits, class_axis)} (class indices)"
    if or_given:
        expected += f" or {shape_text(logits)} (class probabilities)"
    raise ValueError(
        f"target: got shape {shape_text(target)} for an input of shape {shape_text(logits)}, expected {expected}"
    )


cdef int describe(Operand *operand, cnp.ndarray array, int class_axis) except -1:
    """Where an operand lies and what it holds; class_axis is -1 where it has none."""
    operand.data = NULL
    operand.class_stride_bytes = 0
    if array is None:
        return 0
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.code = dtype_code(array)
    operand.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    if class_axis >= 0:
        operand.class_stride_bytes = cnp.PyArray_STRIDE(array, class_axis)
        if cnp.PyArray_DIM(array, class_axis) == 1:     # NumPy leaves the stride of such an axis undefined
            operand.class_stride_bytes = cnp.PyArray_ITEMSIZE(array)
    return 0


cdef inline Py_ssize_t stride_of(cnp.ndarray array, int axis) noexcept:
    return 0 if array is None else cnp.PyArray_STRIDE(array, axis)


cdef void add_axis(Job *job, Py_ssize_t length) noexcept:
    """The axis described at position n_axes joins the one before it if both lie on one stride everywhere."""
    cdef Operand *operands[6]
    cdef int n = job.n_axes, o
    cdef bint one_stride = n > 0
    operands[:] = [&job.input, &job.target, &job.sample_weight, &job.loss_out, &job.grad_out, &job.grad_output]
    for o in range(6):
        if n > 0 and operands[o].stride_bytes[n - 1] != operands[o].stride_bytes[n] * length:
            one_stride = False
    if not one_stride:
        job.length[n] = length
        job.n_axes += 1
        return
    job.length[n - 1] *= length
    for o in range(6):
        operands[o].stride_bytes[n - 1] = operands[o].stride_bytes[n]


cdef void lay_out(Job *job, int class_axis, bint given, cnp.ndarray logits, cnp.ndarray target,
                  cnp.ndarray sample_weight, cnp.ndarray loss_out, cnp.ndarray grad_out,
                  cnp.ndarray grad_output) noexcept:
    """Lengths and strides of the sample axes, the outermost first."""
    cdef int i, j = 0, n
    cdef Py_ssize_t length
    job.n_samples, job.n_axes = 1, 0
    job.input.stride_bytes[0] = job.target.stride_bytes[0] = job.sample_weight.stride_bytes[0] = 0
    job.loss_out.stride_bytes[0] = job.grad_out.stride_bytes[0] = job.grad_output.stride_bytes[0] = 0
    for i in range(cnp.PyArray_NDIM(logits)):
        if i == class_axis:
            continue
        n = job.n_axes
        length = cnp.PyArray_DIM(logits, i)
        job.n_samples *= length
        if length != 1:
            job.input.stride_bytes[n] = cnp.PyArray_STRIDE(logits, i)
            job.target.stride_bytes[n] = cnp.PyArray_STRIDE(target, i if given else j)
            job.sample_weight.stride_bytes[n] = stride_of(sample_weight, j)
            job.loss_out.stride_bytes[n] = stride_of(loss_out, j)
            job.grad_out.stride_bytes[n] = stride_of(grad_out, i)
            job.grad_output.stride_bytes[n] = stride_of(grad_output, j)
            add_axis(job, length)
        j += 1
    if job.n_axes == 0:     # one sample
        job.n_axes, job.length[0] = 1, 1


cdef int place(Job *job, int class_axis, bint given, cnp.ndarray logits, cnp.ndarray target, cnp.ndarray sample_weight,
               cnp.ndarray loss_out, cnp.ndarray grad_out, cnp.ndarray grad_output) except -1:
    """All operands; `given` says whether the target has a class axis."""
    describe(&job.input, logits, class_axis)
    describe(&job.target, target, class_axis if given else -1)
    describe(&job.sample_weight, sample_weight, -1)
    describe(&job.grad_output, grad_output, -1)
    describe(&job.loss_out, loss_out, -1)
    describe(&job.grad_out, grad_out, class_axis)
    lay_out(job, class_axis, given, logits, target, sample_weight, loss_out, grad_out, grad_output)
    return 0
