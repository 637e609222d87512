# Arrays of one number a sample, and where results go.

cdef tuple sample_shape(cnp.ndarray logits, int class_axis):
    shape = (<object>logits).shape
    return shape[:class_axis] + shape[class_axis + 1:]


cdef cnp.ndarray samples_array(object value, str name, cnp.ndarray logits, int class_axis):
    """One real number a sample, where they lie."""
    cdef cnp.ndarray array = real_array(value, name)
    shape = sample_shape(logits, class_axis)
    if (<object>array).shape != shape:
        raise ValueError(f"{name}: got shape {shape_text(array)}, expected {shape}, one number a sample")
    return array


cdef object bad_class(cnp.ndarray indices, str name, Py_ssize_t first_bad, Py_ssize_t n_classes):
    position = np.unravel_index(first_bad, (<object>indices).shape)
    value = (<object>indices)[position]
    where = "" if not position else f" at {position[0] if len(position) == 1 else tuple(map(int, position))}"
    return IndexError(f"{name}: got class {value}{where}, expected 0 to {n_classes - 1}: there are {n_classes} classes")


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


cdef cnp.ndarray loss_result(object out, int how, cnp.ndarray logits, int class_axis, int loss_code):
    """Where the losses of reduction 'none' go: `out`, or a new array."""
    if how != NONE:
        if out is not None:
            raise ValueError("out: given with a reduction to a scalar, expected only with reduction='none'")
        return None
    shape = sample_shape(logits, class_axis)
    dtype = FLOAT32 if loss_code == F32 else FLOAT64
    if out is None:
        return np.empty(shape, dtype)
    check_result(out, "out", shape, dtype, "the loss's")
    return out


cdef cnp.ndarray grad_result(object grad_out, bint return_grad, cnp.ndarray logits):
    """Where the gradient goes: `grad_out`, or a new array of the input's layout."""
    cdef int code = dtype_code(logits)
    if not return_grad:
        if grad_out is not None:
            raise ValueError("grad_out: given without return_grad=True")
        return None
    if grad_out is None and code < I8 and cnp.PyArray_ISNOTSWAPPED(logits):
        return PyArray_NewLikeArray(logits, cnp.NPY_KEEPORDER, NULL, 0)
    dtype = FLOAT64 if code >= I8 else (<object>logits).dtype.newbyteorder("=")
    if grad_out is None:
        return np.empty_like(logits, dtype=dtype, subok=False)
    check_result(grad_out, "grad_out", (<object>logits).shape, dtype, "the input's")
    return grad_out


cdef int check_written(object written, str name, tuple read, tuple names) except -1:
    """What the caller gave to be written to shares no memory with what is read, but the gradient may be the input."""
    if written is None:
        return 0
    for array, read_name in zip(read, names):
        if array is not None:
            check_overlap(written, name, array, read_name, name == "grad_out" and read_name == "input")
    return 0
