# xentc.multilabel_margin_loss.

cdef int check_lists(cnp.ndarray logits, cnp.ndarray target) except -1:
    """Lists of classes: one number, one sample, or a row a sample."""
    cdef int ndim = cnp.PyArray_NDIM(logits)
    if ndim > 2 or ndim > 0 and cnp.PyArray_DIM(logits, ndim - 1) == 0:
        raise ValueError(f"input: got shape {shape_text(logits)}, expected (C,) or (N, C) with at least one class")
    if not same_shape(target, logits):
        raise ValueError(
            f"target: got shape {shape_text(target)} for an input of shape {shape_text(logits)}, expected the input's: "
            "the classes of each sample, and -1 behind the last"
        )
    return 0


cdef cnp.ndarray with_class_axis(cnp.ndarray array):
    """A 0-dimensional array is one class."""
    return array if array is None or cnp.PyArray_NDIM(array) else (<object>array).reshape(1)


def multilabel_margin_loss(object input, object target, object size_average, object reduce, object reduction,
                           object return_grad, object grad_output, object out, object grad_out, object num_threads):
    """xentc.multilabel_margin_loss, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), wanted, loss_array, grad_array, upstream
    cdef int class_axis, how = reduction_of(size_average, reduce, reduction), loss_code
    cdef bint want_grad = flag(return_grad, "return_grad")
    cdef Job job
    wanted = target_array(target, logits, False)
    check_lists(logits, wanted)
    class_axis = max(cnp.PyArray_NDIM(logits) - 1, 0)
    loss_code = set_plain(&job, logits)
    job.ignore_index = -1       # what ends a list; a uint64 beyond int64 is not it
    upstream = upstream_of(&job, grad_output, want_grad, how, logits, class_axis)
    loss_array = loss_result(out, how, logits, class_axis, loss_code)
    grad_array = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        check_outputs(out, grad_out, (logits, wanted, upstream), ("input", "target", "grad_output"))
    job.n_classes = cnp.PyArray_DIM(logits, class_axis) if cnp.PyArray_NDIM(logits) else 1
    weigh_classes(&job, None)
    place(&job, class_axis, True, with_class_axis(logits), with_class_axis(wanted), None, loss_array,
          with_class_axis(grad_array), upstream)
    loss = compute(&job, check_class_lists, run_margin, how, loss_code, wanted, loss_array, num_threads)
    return answer(loss, how, loss_array, out, want_grad, grad_array, grad_out)
