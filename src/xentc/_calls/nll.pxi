# xentc.nll_loss.

def nll_loss(object input, object target, object weight, object size_average, object ignore_index, object reduce,
             object reduction, object axis, object sample_weight, object return_grad, object grad_output, object out,
             object grad_out, object num_threads):
    """xentc.nll_loss, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), wanted, loss_array, grad_array
    cdef cnp.ndarray class_weight, of_samples = None, upstream
    cdef int class_axis = class_axis_of(logits, axis, target), how, loss_code
    cdef bint want_grad = flag(return_grad, "return_grad")
    cdef Job job
    cdef Totals totals
    how = reduction_of(size_average, reduce, reduction)
    wanted = target_array(target, logits, False)
    job.n_classes = cnp.PyArray_DIM(logits, class_axis)
    job.ignore_index = ignore_index_of(ignore_index)
    check_target_shape(logits, class_axis, wanted, False)
    loss_code = set_plain(&job, logits)
    class_weight = weigh_classes(&job, weight)
    if sample_weight is not None:
        of_samples = samples_array(sample_weight, "sample_weight", logits, class_axis)
    upstream = upstream_of(&job, grad_output, want_grad, how, logits, class_axis)
    loss_array = loss_result(out, how, logits, class_axis, loss_code)
    grad_array = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        check_outputs(out, grad_out, (logits, wanted, class_weight, of_samples, upstream),
                      ("input", "target", "weight", "sample_weight", "grad_output"))
    place(&job, class_axis, False, logits, wanted, of_samples, loss_array, grad_array, upstream)
    if out is not None:     # otherwise the losses are the check: nothing of the caller's is written by them
        run_check(&job, check_targets, &totals, wanted, num_threads)
    loss = compute(&job, run_nll, run_nll_grad, how, loss_code, wanted, loss_array, num_threads)
    return answer(loss, how, loss_array, out, want_grad, grad_array, grad_out)
