# Weights and upstream gradients, where results go, and the run between them.

cdef tuple sample_shape(cnp.ndarray logits, int class_axis):
    """All of the shape where there is no class axis, which -1 stands for here and below."""
    shape = (<object>logits).shape
    return shape if class_axis < 0 else shape[:class_axis] + shape[class_axis + 1:]


cdef cnp.ndarray samples_array(object value, str name, cnp.ndarray logits, int class_axis):
    """One real number a sample, where they lie."""
    cdef cnp.ndarray array = real_array(value, name)
    shape = sample_shape(logits, class_axis)
    if (<object>array).shape != shape:
        raise ValueError(f"{name}: got shape {shape_text(array)}, expected {shape}, one number a sample")
    return array


cdef object bad_class(cnp.ndarray indices, str name, Py_ssize_t first_bad, int lowest, Py_ssize_t n_classes):
    position = np.unravel_index(first_bad, (<object>indices).shape)
    value = (<object>indices)[position]
    where = "" if not position else f" at {position[0] if len(position) == 1 else tuple(map(int, position))}"
    expected = f"expected {lowest} to {n_classes - 1}: there are {n_classes}" if n_classes else "there are no"
    return IndexError(f"{name}: got class {value}{where}, {expected} classes")


cdef cnp.ndarray weigh_classes(Job *job, object weight):
    """Sets the class weights. The job points into what is returned."""
    cdef cnp.ndarray class_weight
    job.weight = NULL
    job.weight_total = job.n_classes
    if weight is None:
        return None
    class_weight = class_array(weight, "weight", job.n_classes)
    job.weight = <const double *>cnp.PyArray_DATA(class_weight)
    return class_weight


cdef object scalar(double value, int loss_code):
    cdef float narrow
    if loss_code == F32:
        narrow = <float>value
        return PyArray_Scalar(&narrow, FLOAT32, None)
    return PyArray_Scalar(&value, FLOAT64, None)


cdef cnp.ndarray as_float32(cnp.ndarray array):
    with np.errstate(all="ignore"):
        return (<object>array).astype(FLOAT32)


cdef double total(cnp.ndarray array) except? -1:
    with np.errstate(all="ignore"):
        return (<object>array).sum(dtype=FLOAT64)


cdef object too_large(tuple shape, object error):
    """Of an input of one byte a number, or one that repeats its numbers, a result can lie beyond all addresses."""
    return ValueError(f"input: the result would have shape {shape}: {error}")


cdef cnp.ndarray new_array(tuple shape, object dtype):
    try:
        return np.empty(shape, dtype)
    except ValueError as error:
        raise too_large(shape, error) from None


cdef cnp.ndarray loss_result(object out, int how, cnp.ndarray logits, int class_axis, int loss_code):
    """Where the losses of reduction 'none' go: `out`, or a new array."""
    if how != NONE:
        if out is not None:
            raise ValueError("out: given with a reduction to a scalar, expected only with reduction='none'")
        return None
    shape = sample_shape(logits, class_axis)
    dtype = FLOAT32 if loss_code == F32 else FLOAT64
    if out is None:
        return new_array(shape, dtype)
    check_result(out, "out", shape, dtype, "the loss's")
    return out


cdef cnp.ndarray full_result(object given, str name, cnp.ndarray logits):
    """Where one number a logit goes, of the input's dtype: the array given, or a new one of the input's layout."""
    cdef int code = dtype_code(logits)
    if given is None and code < I8 and cnp.PyArray_ISNOTSWAPPED(logits):
        return PyArray_NewLikeArray(logits, cnp.NPY_KEEPORDER, NULL, 0)
    dtype = FLOAT64 if code >= I8 else (<object>logits).dtype
    if not cnp.PyArray_ISNOTSWAPPED(logits):
        dtype = dtype.newbyteorder("=")     # FLOAT64 stays itself
    if given is None:
        try:
            return np.empty_like(logits, dtype=dtype, subok=False)
        except ValueError as error:
            raise too_large((<object>logits).shape, error) from None
    check_result(given, name, (<object>logits).shape, dtype, "the input's")
    return given


cdef cnp.ndarray grad_result(object grad_out, bint return_grad, cnp.ndarray logits):
    """Where the gradient goes, if there is to be one."""
    if return_grad:
        return full_result(grad_out, "grad_out", logits)
    if grad_out is not None:
        raise ValueError("grad_out: given without return_grad=True")
    return None


cdef cnp.ndarray upstream_of(Job *job, object grad_output, bint return_grad, int how, cnp.ndarray logits,
                             int class_axis):
    """The upstream gradient: an array of one a sample, or None with what multiplies every gradient in the Job."""
    cdef cnp.ndarray upstream = None
    job.grad_scale = 1.0
    if grad_output is None:
        return None
    if not return_grad:
        raise ValueError("grad_output: given without return_grad=True")
    if how == NONE and not isinstance(grad_output, (int, float)):
        upstream = real_array(grad_output, "grad_output")
        if cnp.PyArray_NDIM(upstream) > 0:
            return samples_array(upstream, "grad_output", logits, class_axis)
    job.grad_scale = real_scalar(grad_output if upstream is None else upstream, "grad_output")
    return None


cdef object answer(object loss, int how, cnp.ndarray loss_array, object out, bint return_grad, cnp.ndarray grad_array,
                   object grad_out):
    """What a call returns. The object that was given, not another of the same memory."""
    if how == NONE:
        loss = out if out is not None else loss_array if cnp.PyArray_NDIM(loss_array) else loss_array[()]
    return (loss, grad_out if grad_out is not None else grad_array) if return_grad else loss


cdef int check_outputs(object out, object grad_out, tuple read, tuple names) except -1:
    check_written(out, "out", read, names)
    check_written(grad_out, "grad_out", (*read, out), (*names, "out"))
    return 0


cdef int check_written(object written, str name, tuple read, tuple names, bint over_input=False) except -1:
    """What the caller gave to be written to shares no memory with what is read; a gradient may be the input, and so may
    what else is as large where over_input says so."""
    if written is None:
        return 0
    over_input = over_input or name == "grad_out"
    for array, read_name in zip(read, names):
        if array is not None:
            check_overlap(written, name, array, read_name, over_input and read_name == "input")
    return 0


cdef int run_check(Job *job, pass_fn check, Totals *totals, cnp.ndarray target, object num_threads) except -1:
    check(job, totals, num_threads)
    if totals.first_bad >= 0:
        raise bad_class(target, "target", totals.first_bad, -1 if check == check_class_lists else 0, job.n_classes)
    return 0


cdef object compute(Job *job, pass_fn check, pass_fn run, int how, int loss_code, cnp.ndarray target,
                    cnp.ndarray loss_array, object num_threads):
    """Checks the targets, then runs the kernels; one of them leaves the loss in the totals. Returns the mean or the
    sum; with 'none' losses lie in loss_out."""
    cdef Totals totals
    run_check(job, check, &totals, target, num_threads)
    cdef double weight = totals.weight
    cdef bint any_coefficient = totals.n_nonzero > 0 and (job.n_classes > 0 or job.spread != SPREAD_GIVEN)
    if how == MEAN:
        job.grad_scale = job.grad_scale / weight if any_coefficient else 0.0
    if job.n_classes == 0 or job.n_samples == 0:    # nothing to compute: every sample there is is ignored
        totals.loss = 0.0
        if loss_array is not None:
            loss_array[...] = 0
    else:
        run(job, &totals, num_threads)
    if how == MEAN:
        return scalar(totals.loss / weight if any_coefficient else NAN, loss_code)
    return scalar(totals.loss, loss_code) if how == SUM else None
