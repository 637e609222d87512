"""From arguments to a Job: every check and every error, before anything is computed or written.

a) A layout is the sample axes with their strides, and the class axis with its own. Neighbouring axes that lie on one
   stride in every operand are merged, so that a kernel's inner axis is as long as it can be.
b) An error names its argument first, then what was got, then what was expected.
"""

cimport numpy as cnp
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t

import operator
import warnings

import numpy as np

from xentc._arrays cimport (check_overlap, check_result, class_array, dtype_code, logits_array, real_array, real_scalar,
                            same_shape, shape_text, target_array)
from xentc._engine cimport check_targets, run_cross_entropy
from xentc._kernels.api cimport *

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype descr, object base)
    cnp.ndarray PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, void *descr, int subok)

cdef enum Reduction:
    NONE, MEAN, SUM

cdef cnp.dtype FLOAT32 = np.dtype(np.float32)
cdef cnp.dtype FLOAT64 = np.dtype(np.float64)


cdef object integer(object value, str name, str expected):
    if not isinstance(value, (bool, np.bool_)):
        try:
            return operator.index(value)
        except Exception:   # an array of several numbers has an __index__ too, and a foreign one may raise anything
            pass
    raise TypeError(f"{name}: got {type(value).__name__}, expected {expected}")


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


cdef int check_target_shape(cnp.ndarray logits, int class_axis, cnp.ndarray target) except -1:
    """Indices: the input's shape without its class axis, and nothing else."""
    cdef int ndim = cnp.PyArray_NDIM(logits), i, j = 0
    cdef bint fits = cnp.PyArray_NDIM(target) == ndim - 1
    if fits:
        for i in range(ndim):
            if i != class_axis:
                fits = fits and cnp.PyArray_DIM(target, j) == cnp.PyArray_DIM(logits, i)
                j += 1
    if fits:
        return 0
    if same_shape(target, logits):
        raise TypeError(
            f"target: got integers of the input's shape {shape_text(target)}, expected class indices of the input's "
            "shape without its class axis, or floating-point probabilities of the input's shape"
        )
    shape = (<object>logits).shape
    raise ValueError(
        f"target: got shape {shape_text(target)} for an input of shape {shape_text(logits)}, expected "
        f"{shape[:class_axis] + shape[class_axis + 1:]} (class indices) or {shape} (class probabilities)"
    )


cdef bint flag(object value, str name) except -1:
    if value is True or value is False:
        return value is True
    try:
        return bool(value)
    except Exception:
        raise TypeError(f"{name}: got {type(value).__name__}, which is neither true nor false") from None


cdef int reduction_of(object size_average, object reduce, object reduction) except -1:
    cdef bint averaged = size_average is None or flag(size_average, "size_average")
    cdef bint reduced = reduce is None or flag(reduce, "reduce")
    if size_average is not None or reduce is not None:
        warnings.warn("size_average and reduce are deprecated, use reduction instead", DeprecationWarning, stacklevel=2)
        return NONE if not reduced else MEAN if averaged else SUM
    if isinstance(reduction, str):
        if reduction == "mean":
            return MEAN
        if reduction == "sum":
            return SUM
        if reduction == "none":
            return NONE
        raise ValueError(f"reduction: got {reduction!r}, expected 'none', 'mean' or 'sum'")
    raise TypeError(f"reduction: got {type(reduction).__name__}, expected 'none', 'mean' or 'sum'")


cdef int64_t ignore_index_of(object value) except? -1:
    number = integer(value, "ignore_index", "an integer")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"ignore_index: got {number}, expected an integer of 64 bits")
    return number


cdef double option(object value, str name, double low, double high, bint open_ends, str expected) except? -1:
    """A finite number in a range, its ends included or not."""
    cdef double number = real_scalar(value, name)
    if open_ends and low < number < high or not open_ends and low <= number <= high and number != INFINITY:
        return number
    raise ValueError(f"{name}: got {number}, expected {expected}")


cdef int set_options(Job *job, object label_smoothing, object softcap, object temperature,
                     object lse_square_scale) except -1:
    cdef double smoothing
    smoothing = option(label_smoothing, "label_smoothing", 0, 1, False, "0 to 1")
    job.temperature = option(temperature, "temperature", 0, INFINITY, True, "a finite number above 0")
    job.lse_square_scale = option(lse_square_scale, "lse_square_scale", 0, INFINITY, False,
                                  "a finite number, 0 or above")
    job.softcap = 0 if softcap is None else option(softcap, "softcap", 0, INFINITY, True, "a finite number above 0")
    job.keep = 1 - smoothing
    job.share = smoothing / job.n_classes if job.n_classes else 0.0
    return 0


cdef int set_dtypes(Job *job, cnp.ndarray logits, cnp.ndarray target, bint given) except -1:
    """What the arithmetic is done in, and (returned) what the loss is. Transformed logits are computed in float64."""
    cdef int code = dtype_code(logits)
    cdef bint narrow = code == F32 or code == F16 or code == BF16
    job.real_code = F32 if narrow else F64
    if job.softcap != 0 or job.temperature != 1 or (given and dtype_code(target) == F64):
        job.real_code = F64
    return F32 if narrow else F64


cdef void set_spread(Job *job, bint weighted, bint given) noexcept:
    job.spread = SPREAD_NONE
    if given:
        job.spread = SPREAD_GIVEN
    elif job.share != 0:
        job.spread = SPREAD_WEIGHT if weighted else SPREAD_EVEN


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


cdef object bad_target(cnp.ndarray target, Py_ssize_t first_bad, Py_ssize_t n_classes):
    position = np.unravel_index(first_bad, (<object>target).shape)
    value = (<object>target)[position]
    where = "" if not position else f" at {position[0] if len(position) == 1 else tuple(map(int, position))}"
    return IndexError(f"target: got class {value}{where}, expected 0 to {n_classes - 1}: there are {n_classes} classes")


cdef cnp.ndarray as_float32(cnp.ndarray array):
    with np.errstate(all="ignore"):
        return (<object>array).astype(FLOAT32)


cdef double total(cnp.ndarray array) except? -1:
    with np.errstate(all="ignore"):
        return (<object>array).sum(dtype=FLOAT64)


cdef object scalar(double value, int loss_code):
    cdef float narrow
    if loss_code == F32:
        narrow = <float>value
        return PyArray_Scalar(&narrow, FLOAT32, None)
    return PyArray_Scalar(&value, FLOAT64, None)


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


cdef object compute(Job *job, int how, int loss_code, cnp.ndarray target, cnp.ndarray loss_array, object num_threads):
    """Checks the targets, then runs the kernels. Returns the mean or the sum; with 'none' losses lie in loss_out."""
    cdef Totals totals
    check_targets(job, &totals, num_threads)
    if totals.first_bad >= 0:
        raise bad_target(target, totals.first_bad, job.n_classes)
    cdef double weight = totals.weight
    cdef bint any_coefficient = totals.n_nonzero > 0 and (job.n_classes > 0 or job.spread != SPREAD_GIVEN)
    if how == MEAN:
        job.grad_scale = job.grad_scale / weight if any_coefficient else 0.0
    if job.n_classes == 0 or job.n_samples == 0:    # nothing to compute: every sample there is is ignored
        totals.loss = 0.0
        if loss_array is not None:
            loss_array[...] = 0
    else:
        run_cross_entropy(job, &totals, num_threads)
    if how == MEAN:
        return scalar(totals.loss / weight if any_coefficient else NAN, loss_code)
    return scalar(totals.loss, loss_code) if how == SUM else None


def cross_entropy(object input, object target, object weight, object size_average, object ignore_index, object reduce,
                  object reduction, object label_smoothing, object axis, object sample_weight, object softcap,
                  object temperature, object lse_square_scale, object return_grad, object grad_output, object out,
                  object grad_out, object num_threads):
    """xentc.cross_entropy, every argument by position; see functional.py."""
    cdef cnp.ndarray logits = logits_array(input), wanted, loss_array, grad_array
    cdef cnp.ndarray class_weight = None, real_weight = None, of_samples = None, upstream = None
    cdef int class_axis = class_axis_of(logits, axis, target), how = MEAN, loss_code
    cdef bint given, want_grad = flag(return_grad, "return_grad")
    cdef Job job
    if not isinstance(reduction, str) or reduction != "mean" or size_average is not None or reduce is not None:
        how = reduction_of(size_average, reduce, reduction)
    wanted = target_array(target, logits)
    given = dtype_code(wanted) < I8
    job.n_classes = cnp.PyArray_DIM(logits, class_axis)
    job.ignore_index = ignore_index_of(ignore_index)
    if not given:
        check_target_shape(logits, class_axis, wanted)
    elif job.ignore_index >= 0:
        raise ValueError(f"ignore_index: got {job.ignore_index} with probabilities as target, which ignore no class")
    set_options(&job, label_smoothing, softcap, temperature, lse_square_scale)
    loss_code = set_dtypes(&job, logits, wanted, given)
    job.weight = NULL
    job.real_weight = NULL
    job.weight_total = job.n_classes
    if weight is not None:
        class_weight = class_array(weight, "weight", job.n_classes)
        real_weight = class_weight if job.real_code == F64 else as_float32(class_weight)
        job.weight = <const double *>cnp.PyArray_DATA(class_weight)
        job.real_weight = <const char *>cnp.PyArray_DATA(real_weight)
        job.weight_total = total(real_weight)
    set_spread(&job, weight is not None, given)
    if sample_weight is not None:
        of_samples = samples_array(sample_weight, "sample_weight", logits, class_axis)
    job.grad_scale = 1.0
    if grad_output is not None:
        if not want_grad:
            raise ValueError("grad_output: given without return_grad=True")
        if how == NONE and not isinstance(grad_output, (int, float)):
            upstream = real_array(grad_output, "grad_output")
        if upstream is not None and cnp.PyArray_NDIM(upstream) > 0:
            upstream = samples_array(upstream, "grad_output", logits, class_axis)
        else:
            job.grad_scale = real_scalar(grad_output if upstream is None else upstream, "grad_output")
            upstream = None
    loss_array = loss_result(out, how, logits, class_axis, loss_code)
    grad_array = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        read = (logits, wanted, class_weight, of_samples, upstream)
        names = ("input", "target", "weight", "sample_weight", "grad_output")
        check_written(out, "out", read, names)
        check_written(grad_out, "grad_out", (*read, out), (*names, "out"))
    describe(&job.input, logits, class_axis)
    describe(&job.target, wanted, class_axis if given else -1)
    describe(&job.sample_weight, of_samples, -1)
    describe(&job.grad_output, upstream, -1)
    describe(&job.loss_out, loss_array, -1)
    describe(&job.grad_out, grad_array, class_axis)
    lay_out(&job, class_axis, given, logits, wanted, of_samples, loss_array, grad_array, upstream)
    loss = compute(&job, how, loss_code, wanted, loss_array, num_threads)
    if how == NONE:
        loss = out if out is not None else loss_array if cnp.PyArray_NDIM(loss_array) else loss_array[()]
    return (loss, grad_out if grad_out is not None else grad_array) if want_grad else loss
