"""Arrays of others as arrays that kernels read: dtypes, byte order, layout, overlap; and what is said of wrong ones.

Plain arrays of a dtype that the kernels read go straight through the C API: no np.asarray, no memoryview, no
intermediate object. Everything else is converted first and then takes the same way.
"""

cimport numpy as cnp

import numpy as np

from xentc._kernels.api cimport I8, I16, I32, I64, U8, U16, U32, U64

cnp.import_array()


cdef object kind_of(object value):
    return f"an array of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__


cdef cnp.ndarray plain_array(object value, str name):
    """Anything that NumPy makes an array of, native and of a base class; the errors of foreign objects become ours."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: got a masked array, expected a plain one: use .filled() or drop the masked entries")
    if isinstance(value, np.matrix):
        raise TypeError(f"{name}: got np.matrix, expected an array: use np.asarray(...)")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{name}: got {type(value).__name__}, which NumPy cannot read as an array ({error})") from None
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array


cdef cnp.ndarray logits_array(object value):
    """The input as an array of float32 or float64, not copied if it is one."""
    cdef cnp.ndarray array
    cdef int number
    if cnp.PyArray_CheckExact(value):
        array = <cnp.ndarray>value
        number = cnp.PyArray_TYPE(array)
        if (number == cnp.NPY_FLOAT32 or number == cnp.NPY_FLOAT64) and cnp.PyArray_ISNOTSWAPPED(array):
            return array
    array = plain_array(value, "input")
    if array.dtype == np.float16 or array.dtype.name == "bfloat16":
        raise NotImplementedError(f"input: {array.dtype} is not supported yet, expected float32 or float64")
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise TypeError(f"input: got {kind_of(array)}, expected float32, float64, or integers to be promoted")
    return array


cdef int index_code(cnp.ndarray array) except -1:
    cdef int size = cnp.PyArray_ITEMSIZE(array)
    if cnp.PyTypeNum_ISSIGNED(cnp.PyArray_TYPE(array)):
        return I64 if size == 8 else I32 if size == 4 else I16 if size == 2 else I8
    return U64 if size == 8 else U32 if size == 4 else U16 if size == 2 else U8


cdef cnp.ndarray target_array(object value, cnp.ndarray logits):
    cdef cnp.ndarray array
    if cnp.PyArray_CheckExact(value) and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>value):
        array = <cnp.ndarray>value
    elif isinstance(value, int) and not isinstance(value, bool):
        array = integer_target(value)
    else:
        array = plain_array(value, "target")
        if array.size == 0 and not isinstance(value, np.ndarray):
            array = array.astype(np.int64)      # an empty list says nothing of its dtype
    if cnp.PyTypeNum_ISINTEGER(cnp.PyArray_TYPE(array)):
        return array
    if array.dtype.kind == "f" and same_shape(array, logits):
        raise NotImplementedError("target: class probabilities are not supported yet, expected class indices")
    raise TypeError(f"target: got {kind_of(array)}, expected class indices of an integer dtype")


cdef cnp.ndarray integer_target(object value):
    try:
        return np.asarray(value, dtype=np.int64 if value < 2**63 else np.uint64)
    except OverflowError:
        raise IndexError(f"target: got class {value}, which no array of integers holds") from None


cdef bint same_shape(cnp.ndarray a, cnp.ndarray b):
    cdef int i
    if cnp.PyArray_NDIM(a) != cnp.PyArray_NDIM(b):
        return False
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_DIM(a, i) != cnp.PyArray_DIM(b, i):
            return False
    return True


cdef str shape_text(cnp.ndarray array):
    return str((<object>array).shape)


cdef cnp.ndarray real_array(object value, str name):
    """Any real dtype as contiguous float64: for arrays of one number a class, and no larger ones."""
    array = plain_array(value, name)
    if (<object>array).dtype.kind not in "fiub" and (<object>array).dtype.name != "bfloat16":
        raise TypeError(f"{name}: got {kind_of(array)}, expected real numbers")
    return np.ascontiguousarray(array, dtype=np.float64)


cdef double real_scalar(object value, str name) except? -1:
    if isinstance(value, float):
        return value
    array = real_array(value, name)
    if (<object>array).size != 1 or np.ndim(value) != 0:
        raise ValueError(f"{name}: got shape {np.shape(value)}, expected a scalar")
    return float((<object>array).item())


cdef int check_result(object array, str name, tuple shape, object dtype, str need) except -1:
    """`out` or `grad_out`: an array that can be written to as it is."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: got {type(array).__name__}, expected an array of {dtype}")
    if array.dtype != dtype or not array.dtype.isnative:
        raise TypeError(f"{name}: got {kind_of(array)}, expected {dtype} in native byte order")
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}, {need}")
    if not array.flags.writeable:
        raise ValueError(f"{name}: got a read-only array, expected a writable one")
    if not array.flags.aligned:
        raise ValueError(f"{name}: got a misaligned array, expected an aligned one")
    if array.size > 1 and overlaps_itself(array):
        raise ValueError(f"{name}: got strides {array.strides} for shape {shape}, which overlap")
    return 0


cdef bint overlaps_itself(object array):
    """Whether two entries share memory: NumPy's test is exact for the few axes that an array has."""
    if array.flags.forc:
        return False
    steps = sorted((abs(stride), length) for stride, length in zip(array.strides, array.shape) if length > 1)
    extent = array.itemsize
    for stride, length in steps:
        if stride < extent:
            return True
        extent += stride * (length - 1)
    return False


cdef int check_overlap(object written, str name, object read, str read_name, bint in_place) except -1:
    """Written memory must not be read as something else; the input itself, entry for entry, may be."""
    if not np.may_share_memory(written, read):
        return 0
    if in_place and written.ctypes.data == read.ctypes.data and written.strides == read.strides:
        return 0
    if np.shares_memory(written, read, max_work=10_000_000) if written.size and read.size else False:
        expected = "memory of its own" + (" or the input itself" if in_place else "")
        raise ValueError(f"{name}: overlaps {read_name}, expected {expected}")
    return 0
