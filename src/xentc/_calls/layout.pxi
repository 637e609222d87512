# Where the classes and the samples of every operand lie.

cdef int axis_of(cnp.ndarray logits, object axis, str expected) except -1:
    cdef int ndim = cnp.PyArray_NDIM(logits)
    number = integer(axis, "axis", expected)
    if not -ndim <= number < ndim:
        raise ValueError(f"axis: got {number}, expected {-ndim} to {ndim - 1} for input of shape {shape_text(logits)}")
    return number % ndim


cdef int class_axis_of(cnp.ndarray logits, object axis, object target) except -1:
    cdef int ndim = cnp.PyArray_NDIM(logits)
    if ndim == 0:
        axes = attribute(target, "ndim")
        if dtype_code(logits) >= I8 and type(axes) is int and axes == 1:
            raise TypeError("input: got one integer and target: got a one-dimensional array, are the two swapped?")
        raise ValueError("input: got a 0-dimensional array, expected at least the class axis")
    if axis is None:
        return 0 if ndim == 1 else 1
    return axis_of(logits, axis, "an integer or None")


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


cdef enum:
    N_OPERANDS = 7

cdef str CHANGED = "input: it, or an array with it, got another shape during the call, expected the one it had"


# An operand, and where its strides are found. Its axes are the samples' and, where it has one, the class axis; axes
# that it lacks in front, or has of length 1, are broadcast.
cdef struct Source:
    Operand *operand
    const cnp.npy_intp *lengths
    const cnp.npy_intp *strides             # NULL: not given
    int ndim
    bint has_classes


cdef int describe(Source *source, Operand *operand, cnp.ndarray array, int class_axis) except -1:
    """Where an operand lies and what it holds; class_axis is -1 where it has none."""
    source.operand, source.strides = operand, NULL
    operand.data = NULL
    operand.class_stride_bytes = 0
    if array is None:
        return 0
    source.lengths, source.strides = cnp.PyArray_DIMS(array), cnp.PyArray_STRIDES(array)
    source.ndim, source.has_classes = cnp.PyArray_NDIM(array), class_axis >= 0
    operand.data = <char *>cnp.PyArray_DATA(array)
    operand.code = dtype_code(array)
    operand.swapped = not cnp.PyArray_ISNOTSWAPPED(array)
    if class_axis >= 0:
        operand.class_stride_bytes = cnp.PyArray_STRIDE(array, class_axis)
        if cnp.PyArray_DIM(array, class_axis) == 1:     # NumPy leaves the stride of such an axis undefined
            operand.class_stride_bytes = cnp.PyArray_ITEMSIZE(array)
    return 0


cdef Py_ssize_t stride_of(const Source *source, int axis, int ndim, int class_axis) noexcept nogil:
    """Along an axis of the whole, which has ndim axes with the class axis."""
    if source.strides == NULL:
        return 0
    if class_axis >= 0 and not source.has_classes and source.ndim < ndim:   # not: kept, with a length of 1
        ndim -= 1
        axis -= axis > class_axis
    axis -= ndim - source.ndim
    return 0 if axis < 0 or source.lengths[axis] == 1 else source.strides[axis]


cdef void add_axis(Job *job, const Source *sources, Py_ssize_t length) noexcept:
    """The axis described at position n_axes joins the one before it if both lie on one stride everywhere."""
    cdef int n = job.n_axes, o
    cdef bint one_stride = n > 0
    cdef Operand *operand
    for o in range(N_OPERANDS):
        operand = sources[o].operand
        if n > 0 and operand.stride_bytes[n - 1] != operand.stride_bytes[n] * length:
            one_stride = False
    if not one_stride:
        job.length[n] = length
        job.n_axes += 1
        return
    job.length[n - 1] *= length
    for o in range(N_OPERANDS):
        operand = sources[o].operand
        operand.stride_bytes[n - 1] = operand.stride_bytes[n]


cdef bint is_as_long(const Source *source, int axis, int ndim, int class_axis, Py_ssize_t length) noexcept nogil:
    """Whether an operand is as long as the whole along an axis, or broadcast."""
    if source.strides == NULL:
        return True
    if class_axis >= 0 and not source.has_classes and source.ndim < ndim:
        ndim -= 1
        axis -= axis > class_axis
    axis -= ndim - source.ndim
    return source.ndim <= ndim and (axis < 0 or source.lengths[axis] == length or source.lengths[axis] == 1)


cdef int lay_out(Job *job, const Source *sources, int class_axis, const int *order, cnp.ndarray whole) except -1:
    """Lengths and strides of the sample axes, the outermost first; in another order of the axes where one is given.
    Shapes were checked, but an argument's own methods have run since, and may have set one: here it is too late. (An
    array of as many numbers whose sample axes are those of the others has their number of classes.)"""
    cdef int ndim = cnp.PyArray_NDIM(whole), i, axis, o
    cdef Py_ssize_t length
    job.n_samples, job.n_axes = 1, 0
    for o in range(N_OPERANDS):
        sources[o].operand.stride_bytes[0] = 0
    for i in range(ndim):
        axis = i if order == NULL else order[i]
        if axis == class_axis:
            continue
        length = cnp.PyArray_DIM(whole, axis)
        for o in range(N_OPERANDS):
            if not is_as_long(&sources[o], axis, ndim, class_axis, length):
                raise ValueError(CHANGED)
        job.n_samples *= length
        if length != 1:
            for o in range(N_OPERANDS):
                sources[o].operand.stride_bytes[job.n_axes] = stride_of(&sources[o], axis, ndim, class_axis)
            add_axis(job, sources, length)
    if job.n_axes == 0:     # one sample
        job.n_axes, job.length[0] = 1, 1
    return 0


cdef int place(Job *job, int class_axis, bint given, cnp.ndarray logits, cnp.ndarray target, cnp.ndarray sample_weight,
               cnp.ndarray loss_out, cnp.ndarray grad_out, cnp.ndarray grad_output) except -1:
    """All operands; `given` says whether the target has a class axis."""
    cdef Source sources[N_OPERANDS]
    describe(&sources[0], &job.input, logits, class_axis)
    describe(&sources[1], &job.target, target, class_axis if given else -1)
    describe(&sources[2], &job.sample_weight, sample_weight, -1)
    describe(&sources[3], &job.grad_output, grad_output, -1)
    describe(&sources[4], &job.loss_out, loss_out, -1)
    describe(&sources[5], &job.grad_out, grad_out, class_axis)
    describe(&sources[6], &job.pos_weight, None, -1)
    lay_out(job, sources, class_axis, NULL, logits)
    return 0
