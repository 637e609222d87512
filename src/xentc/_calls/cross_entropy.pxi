# xentc.cross_entropy.

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
    cdef int code = loss_code_of(logits)
    job.real_code = code
    if job.softcap != 0 or job.temperature != 1 or (given and dtype_code(target) == F64):
        job.real_code = F64
    return code


cdef void set_spread(Job *job, bint weighted, bint given) noexcept:
    job.spread = SPREAD_NONE
    if given:
        job.spread = SPREAD_GIVEN
    elif job.share != 0:
        job.spread = SPREAD_WEIGHT if weighted else SPREAD_EVEN


def cross_entropy(object input, object target, object weight, object size_average, object ignore_index, object reduce,
                  object reduction, object label_smoothing, object axis, object sample_weight, object softcap,
                  object temperature, object lse_square_scale, object return_grad, object grad_output, object out,
                  object grad_out, object num_threads):
    """xentc.cross_entropy, every argument by position; see functional/."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), wanted, loss_array, grad_array
    cdef cnp.ndarray class_weight = None, real_weight = None, of_samples = None, upstream
    cdef int class_axis = class_axis_of(logits, axis, target), how, loss_code
    cdef bint given, want_grad = flag(return_grad, "return_grad")
    cdef Job job
    how = reduction_of(size_average, reduce, reduction)
    wanted = target_array(target, logits, True)
    given = dtype_code(wanted) < I8
    job.n_classes = cnp.PyArray_DIM(logits, class_axis)
    job.ignore_index = ignore_index_of(ignore_index)
    if not given:
        check_target_shape(logits, class_axis, wanted, True)
    elif job.ignore_index >= 0:
        raise ValueError(f"ignore_index: got {job.ignore_index} with probabilities as target, which ignore no class")
    set_options(&job, label_smoothing, softcap, temperature, lse_square_scale)
    loss_code = set_dtypes(&job, logits, wanted, given)
    job.real_weight = NULL
    class_weight = weigh_classes(&job, weight)
    if weight is not None:
        real_weight = class_weight if job.real_code == F64 else as_float32(class_weight)
        job.real_weight = <const char *>cnp.PyArray_DATA(real_weight)
        job.weight_total = total(real_weight)
    set_spread(&job, weight is not None, given)
    if sample_weight is not None:
        of_samples = samples_array(sample_weight, "sample_weight", logits, class_axis)
    upstream = upstream_of(&job, grad_output, want_grad, how, logits, class_axis)
    loss_array = loss_result(out, how, logits, class_axis, loss_code)
    grad_array = grad_result(grad_out, want_grad, logits)
    if out is not None or grad_out is not None:
        check_outputs(out, grad_out, (logits, wanted, class_weight, of_samples, upstream),
                      ("input", "target", "weight", "sample_weight", "grad_output"))
    place(&job, class_axis, given, logits, wanted, of_samples, loss_array, grad_array, upstream)
    loss = compute(&job, check_targets, run_cross_entropy, how, loss_code, wanted, loss_array, num_threads)
    return answer(loss, how, loss_array, out, want_grad, grad_array, grad_out)
