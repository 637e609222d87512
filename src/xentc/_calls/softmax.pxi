# xentc.softmax, log_softmax and logsumexp.

cdef int64_t NO_CLASS = -1      # the target of every sample: no class is left out of a sum on its account


cdef cnp.ndarray with_axis(cnp.ndarray array):
    """A 0-dimensional array as one class, in the same memory."""
    return array if array is None or cnp.PyArray_NDIM(array) else (<object>array).reshape(1)


cdef tuple lse_shape(cnp.ndarray logits, int class_axis, bint keepdims):
    shape = (<object>logits).shape
    if not shape:
        return ()
    return shape[:class_axis] + ((1,) if keepdims else ()) + shape[class_axis + 1:]


cdef cnp.ndarray lse_result(object out, cnp.ndarray logits, tuple shape):
    dtype = FLOAT32 if loss_code_of(logits) == F32 else FLOAT64
    if out is None:
        return new_array(shape, dtype)
    check_result(out, "out", shape, dtype, "that of the sums")
    return out


cdef cnp.ndarray upstream_array(object grad_output, bint return_grad, tuple shape):
    """One number for each of the values; needed for a gradient, and for nothing else."""
    cdef cnp.ndarray array
    if grad_output is None:
        if return_grad:
            raise ValueError("grad_output: got None with return_grad=True, expected the upstream gradient")
        return None
    if not return_grad:
        raise ValueError("grad_output: given without return_grad=True")
    array = real_array(grad_output, "grad_output")
    if (<object>array).shape != shape:
        raise ValueError(f"grad_output: got shape {shape_text(array)}, expected {shape}, that of the result")
    return array


cdef int set_family(Job *job, cnp.ndarray logits) except -1:
    """No loss: no weights either, and no targets."""
    set_plain(job, logits)
    job.grad_scale = 1
    job.weight = NULL
    job.weight_total = job.n_classes
    job.ignore_index = -100
    job.target.data, job.target.code, job.target.swapped = <char *>&NO_CLASS, I64, False
    return 0


cdef object run_family(int operation, object input, object axis, bint keepdims, object return_grad, object grad_output,
                       object out, object grad_out, object num_threads):
    cdef cnp.ndarray logits = logits_array(input), rows = with_axis(logits), value, grad, upstream
    cdef int class_axis = axis_of(rows, axis, "an integer")
    cdef bint want_grad = flag(return_grad, "return_grad"), full = operation != LOGSUMEXP
    cdef Source sources[N_OPERANDS]
    cdef Job job
    shape = (<object>logits).shape if full else lse_shape(logits, class_axis, keepdims)
    upstream = upstream_array(grad_output, want_grad, shape)
    value = full_result(out, "out", logits) if full else lse_result(out, logits, shape)
    grad = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        check_written(out, "out", (logits, upstream), ("input", "grad_output"), full)
        check_written(grad_out, "grad_out", (logits, upstream, out), ("input", "grad_output", "out"))
    job.operation = operation
    job.n_classes = cnp.PyArray_DIM(rows, class_axis)
    describe(&sources[0], &job.input, rows, class_axis)
    describe(&sources[1], &job.target, None, -1)
    describe(&sources[2], &job.sample_weight, None, -1)
    describe(&sources[3], &job.loss_out, with_axis(value) if full else value, class_axis if full else -1)
    describe(&sources[4], &job.grad_output, with_axis(upstream) if full else upstream, class_axis if full else -1)
    describe(&sources[5], &job.grad_out, with_axis(grad), class_axis)
    describe(&sources[6], &job.pos_weight, None, -1)
    set_family(&job, rows)
    lay_out(&job, sources, class_axis, NULL, rows)
    run_softmax(&job, num_threads)
    if job.n_classes == 0 and not full:
        value[...] = -INFINITY
    result = out if out is not None else value if cnp.PyArray_NDIM(value) else value[()]
    return (result, grad_out if grad_out is not None else grad) if want_grad else result


def softmax(object input, object axis, object return_grad, object grad_output, object out, object grad_out,
            object num_threads):
    """xentc.softmax, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    return run_family(SOFTMAX, input, axis, False, return_grad, grad_output, out, grad_out, num_threads)


def log_softmax(object input, object axis, object return_grad, object grad_output, object out, object grad_out,
                object num_threads):
    """xentc.log_softmax, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    return run_family(LOG_SOFTMAX, input, axis, False, return_grad, grad_output, out, grad_out, num_threads)


def logsumexp(object input, object axis, object keepdims, object return_grad, object grad_output, object out,
              object grad_out, object num_threads):
    """xentc.logsumexp, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    return run_family(LOGSUMEXP, input, axis, flag(keepdims, "keepdims"), return_grad, grad_output, out, grad_out,
                      num_threads)
