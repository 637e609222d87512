# Options that are no arrays: numbers, flags, names.

cdef object integer(object value, str name, str expected):
    if type(value) is int:
        return value
    if not is_one_of(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except Exception:   # an array of several numbers has an __index__ too, and a foreign one may raise anything
            pass
    raise TypeError(f"{name}: got {type(value).__name__}, expected {expected}")


cdef bint flag(object value, str name) except -1:
    if value is True or value is False:
        return value is True
    try:
        return bool(value)
    except Exception:
        raise TypeError(f"{name}: got {type(value).__name__}, which is neither true nor false") from None


cdef int reduction_of(object size_average, object reduce, object reduction) except -1:
    if size_average is None and reduce is None and type(reduction) is str and <str>reduction == "mean":
        return MEAN
    cdef bint averaged = size_average is None or flag(size_average, "size_average")
    cdef bint reduced = reduce is None or flag(reduce, "reduce")
    if size_average is not None or reduce is not None:
        warnings.warn("size_average and reduce are deprecated, use reduction instead", DeprecationWarning, stacklevel=2)
        return NONE if not reduced else MEAN if averaged else SUM
    if isinstance(reduction, str):
        text = str.__str__(reduction)   # a subclass may compare as it likes
        if text == "mean":
            return MEAN
        if text == "sum":
            return SUM
        if text == "none":
            return NONE
        raise ValueError(f"reduction: got {text!r}, expected 'none', 'mean' or 'sum'")
    raise TypeError(f"reduction: got {type(reduction).__name__}, expected 'none', 'mean' or 'sum'")


cdef int64_t ignore_index_of(object value) except? -1:
    number = integer(value, "ignore_index", "an integer")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"ignore_index: got {number}, expected an integer of 64 bits")
    return number


cdef double option(object value, str name, double low, double high, bint open_ends, str expected) except? -1:
    """A finite number in a range, its ends included or not."""
    cdef double number = value if type(value) is float else real_scalar(value, name)
    if open_ends and low < number < high or not open_ends and low <= number <= high and number != INFINITY:
        return number
    raise ValueError(f"{name}: got {number}, expected {expected}")


cdef int loss_code_of(cnp.ndarray logits) except -1:
    """What the loss is, and what the arithmetic is done in unless an option asks for more."""
    cdef int code = dtype_code(logits)
    return F32 if code == F32 or code == F16 or code == BF16 else F64


cdef int set_plain(Job *job, cnp.ndarray logits) except -1:
    """No spread target and no transform. Returns what the loss is."""
    job.spread = SPREAD_NONE
    job.keep, job.share, job.lse_square_scale, job.softcap, job.temperature = 1, 0, 0, 0, 1
    job.real_weight = NULL
    job.stream_grad = False
    job.real_code = loss_code_of(logits)
    return job.real_code
