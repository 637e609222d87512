"""Arrays of others as arrays that kernels read: dtypes, byte order, layout, overlap; and what is said of wrong ones.

Plain arrays go straight through the C API: no np.asarray, no memoryview, no intermediate object. Everything else is
converted first, where that costs no copy of its data, and then takes the same way.
"""

cimport numpy as cnp

import numpy as np

from xentc._kernels.api cimport BF16, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64

cnp.import_array()


cdef str kind_of(object value):
    return f"an array of {value.dtype}" if cnp.PyArray_Check(value) else type(value).__name__


cdef str shape_text(cnp.ndarray array):
    return str((<object>array).shape)


cdef bint same_shape(cnp.ndarray a, cnp.ndarray b):
    cdef int i
    if cnp.PyArray_NDIM(a) != cnp.PyArray_NDIM(b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(b, i):
            return False
    return True


cdef bint same_strides(cnp.ndarray a, cnp.ndarray b):
    cdef int i
    if cnp.PyArray_NDIM(a) != cnp.PyArray_NDIM(b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) != cnp.PyArray_STRIDE(b, i):
            return False
    return True


cdef int bfloat16_number = -1   # NumPy's number of it, once it has been seen: to ask for a dtype's name takes 1 us


cdef int dtype_code(cnp.ndarray array) except -2:
    """The code of a real dtype that the kernels read, else -1. A bool is none: few places take it."""
    global bfloat16_number
    cdef int number = cnp.PyArray_TYPE(array), size
    if number == cnp.NPY_FLOAT32:
        return F32
    if number == cnp.NPY_FLOAT64:
        return F64
    if number == cnp.NPY_FLOAT16:
        return F16
    if cnp.PyTypeNum_ISINTEGER(number):
        size = cnp.PyArray_ITEMSIZE(array)
        if cnp.PyTypeNum_ISSIGNED(number):
            return I64 if size == 8 else I32 if size == 4 else I16 if size == 2 else I8
        return U64 if size == 8 else U32 if size == 4 else U16 if size == 2 else U8
    # ml_dtypes' type, known by its name so that the package need not be there.
    if cnp.PyTypeNum_ISUSERDEF(number):
        if number == bfloat16_number:
            return BF16
        if (<object>array).dtype.name == "bfloat16":
            bfloat16_number = number
            return BF16
    return -1


cdef cnp.ndarray as_array(object value, str name):
    """Anything that NumPy makes an array of without a copy of a tensor elsewhere; foreign errors become ours."""
    if cnp.PyArray_CheckExact(value):
        return <cnp.ndarray>value
    refuse_unsuitable(value, name)
    if cnp.PyArray_Check(value):
        return plain_view(value)
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:      # whatever a foreign method raises
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{name}: got {type(value).__name__}, which NumPy cannot read as an array ({error})") from None


cdef cnp.ndarray plain_view(object array):
    """An array without what a subclass says of itself: its own shape, strides and flags are what kernels go by."""
    return <cnp.ndarray>array if cnp.PyArray_CheckExact(array) else np.ndarray.view(array, np.ndarray)


cdef object attribute(object value, str name):
    """An attribute, or None where there is none, or where asking for it fails."""
    try:
        return getattr(value, name, None)
    except Exception:       # a foreign property
        return None


cdef bint is_one_of(object value, object kinds) except -1:
    """isinstance by the type alone: a foreign __class__ may be anything, and may raise."""
    return issubclass(type(value), kinds)


cdef int refuse_unsuitable(object value, str name) except -1:
    """What np.asarray would take in a way that nobody means."""
    if is_one_of(value, type):
        raise TypeError(f"{name}: got the class {value.__name__}, expected an array")
    if is_one_of(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: got a masked array, expected a plain one: use .filled() or drop the masked entries")
    if is_one_of(value, np.matrix):
        raise TypeError(f"{name}: got np.matrix, expected an array: use np.asarray(...)")
    module = attribute(type(value), "__module__")
    module = module.partition(".")[0] if type(module) is str else ""
    if module == "dask":
        raise TypeError(f"{name}: got a dask array, which would be loaded whole: use .compute(), or go block by block")
    if module == "torch":
        if attribute(value, "requires_grad") is True:
            raise TypeError(f"{name}: got a tensor that requires grad, expected data: use .detach()")
        if is_torch_bfloat16(value):
            raise TypeError(
                f"{name}: got a torch.bfloat16 tensor, which NumPy cannot read: use "
                "tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16), or tensor.float()"
            )
    if not cnp.PyArray_Check(value) and attribute(value, "__dlpack_device__") is not None and not on_cpu(value):
        raise TypeError(f"{name}: got {type(value).__name__} that is not in CPU memory, expected one that is: copy it")
    return 0


cdef bint is_torch_bfloat16(object value):
    try:
        return str(attribute(value, "dtype")) == "torch.bfloat16"
    except Exception:       # of a foreign __str__
        return False


cdef bint on_cpu(object value):
    try:
        return value.__dlpack_device__()[0] == 1
    except Exception:       # a class, a tensor without memory, or any other foreign failure
        return False


cdef cnp.ndarray logits_array(object value):
    """The input: any real dtype but longdouble and bool, read where it lies."""
    cdef cnp.ndarray array = as_array(value, "input")
    if dtype_code(array) < 0:
        raise TypeError(
            f"input: got {kind_of(array)}, expected float16, bfloat16, float32, float64, or integers to be promoted"
        )
    return array


cdef cnp.ndarray target_array(object value, cnp.ndarray logits, bint or_given):
    """The target: integers, or, where they may be given, probabilities: floating-point numbers of the input's shape."""
    cdef cnp.ndarray array
    cdef int code
    if isinstance(value, int) and not isinstance(value, bool):
        return integer_array(value, "target")
    array = as_array(value, "target")
    if cnp.PyArray_SIZE(array) == 0 and not cnp.PyArray_Check(value):
        array = array.astype(np.int64)      # an empty list says nothing of its dtype
    code = dtype_code(array)
    if code >= I8 or (code >= 0 and or_given and same_shape(array, logits)):
        return array
    if code >= 0 and cnp.PyArray_NDIM(array) == cnp.PyArray_NDIM(logits) + 1 and dtype_code(logits) >= I8:
        raise TypeError("target: got floating-point numbers and input: got integers, are the two swapped?")
    expected = "class indices of an integer dtype"
    if or_given:
        expected += f", or probabilities of the input's shape {shape_text(logits)}"
    shape = f" of shape {shape_text(array)}" if code >= 0 else ""
    raise TypeError(f"target: got {kind_of(array)}{shape}, expected {expected}")


cdef cnp.ndarray index_array(object value, str name):
    """Class indices of any integer dtype, where nothing else will do."""
    cdef cnp.ndarray array
    if isinstance(value, int) and not isinstance(value, bool):
        return integer_array(value, name)
    array = as_array(value, name)
    if array.size == 0 and not cnp.PyArray_Check(value):
        array = array.astype(np.int64)      # an empty list says nothing of its dtype
    if dtype_code(array) < I8:
        raise TypeError(f"{name}: got {kind_of(array)}, expected class indices of an integer dtype")
    return array


cdef cnp.ndarray integer_array(object value, str name):
    if -(2**63) <= value < 2**64:
        return np.asarray(value, dtype=np.int64 if value < 2**63 else np.uint64)
    raise IndexError(f"{name}: got class {value}, which no array of integers holds")


cdef cnp.ndarray real_array(object value, str name):
    """Any real dtype, bool too, where it lies; longdouble, which kernels do not read, as float64."""
    cdef cnp.ndarray array = as_array(value, name)
    if dtype_code(array) >= 0:
        return array
    kind = (<object>array).dtype.kind
    if kind == "b":
        return (<object>array).view(np.uint8)
    if kind == "f":
        with np.errstate(all="ignore"):
            return (<object>array).astype(np.float64)
    raise TypeError(f"{name}: got {kind_of(array)}, expected real numbers")


cdef cnp.ndarray class_array(object value, str name, Py_ssize_t n_classes):
    """One number a class, as contiguous float64."""
    cdef cnp.ndarray array = real_array(value, name)
    if cnp.PyArray_NDIM(array) != 1 or cnp.PyArray_DIM(array, 0) != n_classes:
        raise ValueError(f"{name}: got shape {shape_text(array)}, expected ({n_classes},), one a class")
    with np.errstate(invalid="ignore"):     # a signalling nan of a half dtype
        return np.ascontiguousarray(array, dtype=np.float64)


cdef double real_scalar(object value, str name) except? -1:
    if isinstance(value, float):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name}: got an integer that no float64 holds") from None
    array = real_array(value, name)
    if cnp.PyArray_NDIM(array) != 0:
        raise ValueError(f"{name}: got shape {shape_text(array)}, expected a scalar")
    return float((<object>array)[()])


cdef int check_result(object array, str name, tuple shape, object dtype, str need) except -1:
    """`out` or `grad_out`: an array that can be written to as it is."""
    cdef cnp.ndarray plain
    if not cnp.PyArray_CheckExact(array) and (not cnp.PyArray_Check(array)
                                              or is_one_of(array, (np.ma.MaskedArray, np.matrix))):
        raise TypeError(f"{name}: got {type(array).__name__}, expected an array of {dtype}")
    array = plain = plain_view(array)
    found = array.dtype
    if found is not dtype and (found != dtype or not found.isnative):
        raise TypeError(f"{name}: got {kind_of(array)}, expected {dtype} in native byte order")
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}, {need}")
    if not cnp.PyArray_ISWRITEABLE(plain):
        raise ValueError(f"{name}: got a read-only array, expected a writable one")
    if not cnp.PyArray_ISALIGNED(plain):
        raise ValueError(f"{name}: got a misaligned array, expected an aligned one")
    if overlaps_itself(array):
        raise ValueError(f"{name}: got strides {array.strides} for shape {shape}, which overlap")
    return 0


cdef bint overlaps_itself(cnp.ndarray array):
    """Whether two entries share memory. Strides that nest never do; others are refused on suspicion."""
    if cnp.PyArray_SIZE(array) <= 1 or cnp.PyArray_ISONESEGMENT(array):
        return False
    strides, shape = (<object>array).strides, (<object>array).shape
    extent = cnp.PyArray_ITEMSIZE(array)
    for stride, length in sorted((abs(stride), length) for stride, length in zip(strides, shape)):
        if length > 1:
            if stride < extent:
                return True
            extent += stride * (length - 1)
    return False


cdef bint are_apart(cnp.ndarray a, cnp.ndarray b):
    """Whether one ends before the other begins: np.may_share_memory without its call, which was most of a tiny one."""
    cdef const char *begin_a = NULL
    cdef const char *begin_b = NULL
    cdef const char *end_a = end_of(a, &begin_a)
    cdef const char *end_b = end_of(b, &begin_b)
    return end_a <= begin_b or end_b <= begin_a or cnp.PyArray_SIZE(a) == 0 or cnp.PyArray_SIZE(b) == 0


cdef const char *end_of(cnp.ndarray array, const char **begin) noexcept:
    """Behind the last byte of its entries; begin: the first."""
    cdef const char *end = cnp.PyArray_BYTES(array)
    cdef Py_ssize_t step
    cdef int i
    begin[0] = end
    for i in range(cnp.PyArray_NDIM(array)):
        step = cnp.PyArray_STRIDE(array, i) * (cnp.PyArray_DIM(array, i) - 1)
        if step < 0:
            begin[0] += step
        else:
            end += step
    return end + cnp.PyArray_ITEMSIZE(array)


cdef int check_overlap(object written, str name, object read, str read_name, bint in_place) except -1:
    """Written memory must not be read as something else; the input itself, entry for entry, may be."""
    cdef cnp.ndarray ours = plain_view(written), theirs = plain_view(read)
    if are_apart(ours, theirs):
        return 0
    if in_place and cnp.PyArray_DATA(ours) == cnp.PyArray_DATA(theirs) and same_strides(ours, theirs):
        return 0
    try:
        shared = np.shares_memory(ours, theirs, max_work=1_000_000)
    except np.exceptions.TooHardError:
        shared = True
    if shared:
        expected = "memory of its own" + (" or the input itself" if in_place else "")
        raise ValueError(f"{name}: overlaps {read_name}, expected {expected}")
    return 0
