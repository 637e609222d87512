"""From arguments to a Job: every check and every error, before anything is computed or written.

a) A layout is the sample axes with their strides, and the class axis with its own. Neighbouring axes that lie on one
   stride in every operand are merged, so that a kernel's inner axis is as long as it can be.
b) An error names its argument first, then what was got, then what was expected.
"""

cimport numpy as cnp
from libc.math cimport NAN
from libc.stdint cimport int64_t

import operator
import warnings

import numpy as np

from xentc._arrays cimport (check_overlap, check_result, index_code, logits_array, real_array, real_scalar, same_shape,
                            shape_text, target_array)
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


cdef int class_axis_of(cnp.ndarray logits, object axis) except -1:
    cdef int ndim = cnp.PyArray_NDIM(logits)
    if ndim == 0:
        raise ValueError("input: got a 0-dimensional array, expected at least the class axis")
    if axis is None:
        return 0 if ndim == 1 else 1
    if isinstance(axis, (bool, np.bool_)) or not hasattr(axis, "__index__"):
        raise TypeError(f"axis: got {type(axis).__name__}, expected an integer or None")
    number = operator.index(axis)
    if not -ndim <= number < ndim:
        raise ValueError(f"axis: got {number}, expected {-ndim} to {ndim - 1} for input of shape {shape_text(logits)}")
    return number % ndim


cdef int check_target_shape(cnp.ndarray logits, int class_axis, cnp.ndarray target) except -1:
    """The input's shape without its class axis, and nothing else."""
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


cdef int reduction_of(object size_average, object reduce, object reduction) except -1:
    if size_average is not None or reduce is not None:
        warnings.warn("size_average and reduce are deprecated, use reduction instead", DeprecationWarning, stacklevel=3)
        if reduce is not None and not reduce:
            return NONE
        return SUM if size_average is not None and not size_average else MEAN
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
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"ignore_index: got {type(value).__name__}, expected an integer")
    number = operator.index(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"ignore_index: got {number}, expected an integer of 64 bits")
    return number


cdef void describe(Operand *operand, cnp.ndarray array, int code) noexcept:
    operand.data = NULL if array is None else <char *>cnp.PyArray_DATA(array)
    operand.code = code


cdef void lay_out(Job *job, cnp.ndarray logits, int class_axis, cnp.ndarray target, cnp.ndarray loss_out,
                  cnp.ndarray grad_out, cnp.ndarray grad_output) noexcept:
    """Lengths and strides of the sample axes, the outermost first; neighbours on one stride are merged."""
    cdef int ndim = cnp.PyArray_NDIM(logits), i, j = 0, n = 0
    cdef Py_ssize_t length
    job.n_samples = 1
    for i in range(ndim):
        if i == class_axis:
            continue
        length = cnp.PyArray_DIM(logits, i)
        job.n_samples *= length
        job.length[n] = length
        job.input.stride_bytes[n] = cnp.PyArray_STRIDE(logits, i)
        job.target.stride_bytes[n] = cnp.PyArray_STRIDE(target, j)
        job.loss_out.stride_bytes[n] = 0 if loss_out is None else cnp.PyArray_STRIDE(loss_out, j)
        job.grad_out.stride_bytes[n] = 0 if grad_out is None else cnp.PyArray_STRIDE(grad_out, i)
        job.grad_output.stride_bytes[n] = 0 if grad_output is None else cnp.PyArray_STRIDE(grad_output, j)
        j += 1
        if length == 1:
            continue
        if n > 0 and (
            merges(&job.input, n, length) and merges(&job.target, n, length) and merges(&job.loss_out, n, length)
            and merges(&job.grad_out, n, length) and merges(&job.grad_output, n, length)
        ):
            merge(&job.input, n)
            merge(&job.target, n)
            merge(&job.loss_out, n)
            merge(&job.grad_out, n)
            merge(&job.grad_output, n)
            job.length[n - 1] *= length
        else:
            n += 1
    if n == 0:      # one sample: an axis of length 1, whatever its strides
        job.length[0] = 1
        n = 1
        job.input.stride_bytes[0] = job.target.stride_bytes[0] = job.loss_out.stride_bytes[0] = 0
        job.grad_out.stride_bytes[0] = job.grad_output.stride_bytes[0] = 0
    job.n_axes = n


cdef inline bint merges(const Operand *operand, int axis, Py_ssize_t length) noexcept:
    return operand.stride_bytes[axis - 1] == operand.stride_bytes[axis] * length


cdef inline void merge(Operand *operand, int axis) noexcept:
    operand.stride_bytes[axis - 1] = operand.stride_bytes[axis]


cdef object bad_target(cnp.ndarray target, Py_ssize_t first_bad, Py_ssize_t n_classes):
    position = np.unravel_index(first_bad, (<object>target).shape)
    value = (<object>target)[position]
    where = "" if not position else f" at position {position[0] if len(position) == 1 else tuple(map(int, position))}"
    return IndexError(f"target: got class {value}{where}, expected 0 to {n_classes - 1} (there are {n_classes} classes)")


cdef object scalar(double value, int real_code):
    cdef float narrow
    if real_code == F32:
        narrow = <float>value
        return PyArray_Scalar(&narrow, FLOAT32, None)
    return PyArray_Scalar(&value, FLOAT64, None)


cdef Py_ssize_t class_stride(cnp.ndarray array, int class_axis) noexcept:
    if array is None:
        return 0
    if cnp.PyArray_DIM(array, class_axis) == 1:     # NumPy leaves the stride of such an axis undefined
        return cnp.PyArray_ITEMSIZE(array)
    return cnp.PyArray_STRIDE(array, class_axis)


cdef cnp.ndarray loss_result(object out, int how, cnp.ndarray target, cnp.ndarray logits, int real_code):
    """Where the losses of reduction 'none' go: `out`, or a new array."""
    if how != NONE:
        if out is not None:
            raise ValueError("out: given with a reduction to a scalar, expected only with reduction='none'")
        return None
    if out is None:
        return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(target), cnp.PyArray_DIMS(target),
                                 cnp.NPY_FLOAT32 if real_code == F32 else cnp.NPY_FLOAT64, 0)
    check_result(out, "out", (<object>target).shape, FLOAT32 if real_code == F32 else FLOAT64, "the target's")
    return out


cdef cnp.ndarray grad_result(object grad_out, bint return_grad, cnp.ndarray logits):
    """Where the gradient goes: `grad_out`, or a new array of the input's layout."""
    if grad_out is None:
        return PyArray_NewLikeArray(logits, cnp.NPY_KEEPORDER, NULL, 0) if return_grad else None
    if not return_grad:
        raise ValueError("grad_out: given without return_grad=True")
    check_result(grad_out, "grad_out", (<object>logits).shape, (<object>logits).dtype, "the input's")
    return grad_out


cdef int check_written(cnp.ndarray loss_array, cnp.ndarray grad_array, object out, object grad_out, cnp.ndarray logits,
                       cnp.ndarray target, cnp.ndarray weight, cnp.ndarray grad_output) except -1:
    """What the caller gave to be written to shares no memory with what is read, but the gradient may be the input."""
    for array, name, given in ((loss_array, "out", out), (grad_array, "grad_out", grad_out)):
        if given is None:
            continue
        check_overlap(array, name, logits, "input", name == "grad_out")
        check_overlap(array, name, target, "target", False)
        if weight is not None:
            check_overlap(array, name, weight, "weight", False)
        if grad_output is not None:
            check_overlap(array, name, grad_output, "grad_output", False)
    if out is not None and grad_out is not None:
        check_overlap(grad_array, "grad_out", loss_array, "out", False)
    return 0


cdef object compute(Job *job, Totals *totals, int how, cnp.ndarray target, cnp.ndarray loss_array,
                    object num_threads):
    """Checks the targets, then runs the kernels. Returns the mean or the sum; with 'none' the losses lie in loss_out."""
    check_targets(job, totals, num_threads)
    if totals.first_bad >= 0:
        raise bad_target(target, totals.first_bad, job.n_classes)
    cdef double weight = totals.weight
    cdef bint any_coefficient = totals.n_nonzero > 0
    if how == MEAN:
        job.grad_scale = job.grad_scale / weight if any_coefficient else 0.0
    if job.n_classes == 0 or job.n_samples == 0:    # nothing to compute: every sample there is is ignored
        totals.loss = 0.0
        if loss_array is not None:
            loss_array[...] = 0
    else:
        run_cross_entropy(job, totals, num_threads)
    if how == MEAN:
        return scalar(totals.loss / weight if any_coefficient else NAN, job.real_code)
    return scalar(totals.loss, job.real_code) if how == SUM else None


cdef int refuse_unready(object label_smoothing, object sample_weight, object softcap, object temperature,
                        object lse_square_scale) except -1:
    """Options that are still to come are refused by name, never ignored."""
    for name, given in (
        ("label_smoothing", label_smoothing != 0.0), ("sample_weight", sample_weight is not None),
        ("softcap", softcap is not None), ("temperature", temperature != 1.0),
        ("lse_square_scale", lse_square_scale != 0.0),
    ):
        if given:
            raise NotImplementedError(f"{name}: not supported yet")
    return 0


def cross_entropy(object input, object target, object weight, object size_average, object ignore_index, object reduce,
                  object reduction, object label_smoothing, object axis, object sample_weight, object softcap,
                  object temperature, object lse_square_scale, bint return_grad, object grad_output, object out,
                  object grad_out, object num_threads):
    """xentc.cross_entropy, every argument by position; see functional.py."""
    cdef cnp.ndarray logits = logits_array(input), indices, loss_array = None, grad_array = None
    cdef cnp.ndarray weights = None, upstream = None
    cdef int class_axis = class_axis_of(logits, axis), how = MEAN
    cdef Job job
    cdef Totals totals
    if reduction != "mean" or size_average is not None or reduce is not None:
        how = reduction_of(size_average, reduce, reduction)
    refuse_unready(label_smoothing, sample_weight, softcap, temperature, lse_square_scale)
    indices = target_array(target, logits)
    check_target_shape(logits, class_axis, indices)
    job.n_classes = cnp.PyArray_DIM(logits, class_axis)
    job.real_code = F32 if cnp.PyArray_TYPE(logits) == cnp.NPY_FLOAT32 else F64
    job.ignore_index = ignore_index_of(ignore_index)
    job.weight = NULL
    if weight is not None:
        weights = real_array(weight, "weight")
        if (<object>weights).shape != (job.n_classes,):
            raise ValueError(f"weight: got shape {shape_text(weights)}, expected ({job.n_classes},), one a class")
        job.weight = <const double *>cnp.PyArray_DATA(weights)
    job.grad_scale = 1.0
    if grad_output is not None:
        if not return_grad:
            raise ValueError("grad_output: given without return_grad=True")
        if how == NONE and np.ndim(grad_output) != 0:
            upstream = real_array(grad_output, "grad_output")
            if not same_shape(upstream, indices):
                raise ValueError(
                    f"grad_output: got shape {shape_text(upstream)}, expected {shape_text(indices)} or a scalar"
                )
        else:
            job.grad_scale = real_scalar(grad_output, "grad_output")
    loss_array = loss_result(out, how, indices, logits, job.real_code)
    grad_array = grad_result(grad_out, return_grad, logits)
    check_written(loss_array, grad_array, out, grad_out, logits, indices, weights, upstream)
    describe(&job.input, logits, job.real_code)
    describe(&job.target, indices, index_code(indices))
    describe(&job.loss_out, loss_array, job.real_code)
    describe(&job.grad_out, grad_array, job.real_code)
    describe(&job.grad_output, upstream, F64)
    job.input.class_stride_bytes = class_stride(logits, class_axis)
    job.grad_out.class_stride_bytes = class_stride(grad_array, class_axis)
    lay_out(&job, logits, class_axis, indices, loss_array, grad_array, upstream)
    loss = compute(&job, &totals, how, indices, loss_array, num_threads)
    if how == NONE:
        loss = loss_array if cnp.PyArray_NDIM(loss_array) or out is not None else loss_array[()]
    return (loss, grad_array) if return_grad else loss
