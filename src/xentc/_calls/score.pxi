# xentc.score, xentc.top_logprobs, xentc.gather_logprobs: plain logits in, one number or a few a sample out.

cdef enum:
    MOST_PICKS = 1024


cdef int set_scoring(Job *job, Source *sources, cnp.ndarray logits, int class_axis) except -1:
    """A Job of logits as they are. Returns the code of the dtype of floating-point results."""
    cdef int loss_code
    job.n_classes = cnp.PyArray_DIM(logits, class_axis)
    job.ignore_index = -100
    loss_code = set_plain(job, logits)
    job.weight, job.weight_total = NULL, job.n_classes
    describe(&sources[0], &job.input, logits, class_axis)
    describe(&sources[1], &job.target, None, -1)
    describe(&sources[2], &job.sample_weight, None, -1)
    describe(&sources[3], &job.loss_out, None, -1)
    describe(&sources[4], &job.grad_out, None, -1)
    describe(&sources[5], &job.grad_output, None, -1)
    describe(&sources[6], &job.pos_weight, None, -1)
    return loss_code


cdef object dtype_of(int loss_code):
    return FLOAT32 if loss_code == F32 else FLOAT64


cdef int check_index_shape(cnp.ndarray logits, int class_axis, cnp.ndarray target) except -1:
    expected = sample_shape(logits, class_axis)
    if (<object>target).shape != expected:
        raise ValueError(
            f"target: got shape {shape_text(target)} for an input of shape {shape_text(logits)}, expected {expected}, "
            "one class index a sample"
        )
    return 0


def score(object input, object target, object axis, object ignore_index, object num_threads):
    """xentc.score by position, with a sixth array: the largest probability of each sample."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), wanted = index_array(target, "target")
    cdef cnp.ndarray nll, lse, rank, prediction, entropy, confidence
    cdef int class_axis = class_axis_of(logits, axis, target), code
    cdef Job job
    cdef Source sources[N_OPERANDS]
    cdef Totals totals
    cdef ScoreOut out
    cdef int64_t ignored = ignore_index_of(ignore_index)    # before shapes are read: a foreign method may set them
    check_index_shape(logits, class_axis, wanted)
    code = set_scoring(&job, sources, logits, class_axis)
    job.ignore_index = ignored
    shape, dtype = (<object>wanted).shape, dtype_of(code)
    describe(&sources[1], &job.target, wanted, -1)
    lay_out(&job, sources, class_axis, NULL, logits)
    check_targets(&job, &totals, num_threads)
    if totals.first_bad >= 0:
        raise bad_class(wanted, "target", totals.first_bad, 0, job.n_classes)
    nll, lse, entropy, confidence = (new_array(shape, dtype) for _ in range(4))
    rank, prediction = new_array(shape, np.int64), new_array(shape, np.int64)
    if job.n_classes == 0:      # every sample there is is ignored
        for array, value in ((nll, 0), (lse, -INFINITY), (rank, -1), (prediction, -1), (entropy, NAN),
                             (confidence, NAN)):
            array[...] = value
    elif job.n_samples > 0:
        out.nll, out.lse = <char *>cnp.PyArray_DATA(nll), <char *>cnp.PyArray_DATA(lse)
        out.entropy, out.confidence = <char *>cnp.PyArray_DATA(entropy), <char *>cnp.PyArray_DATA(confidence)
        out.rank, out.prediction = <int64_t *>cnp.PyArray_DATA(rank), <int64_t *>cnp.PyArray_DATA(prediction)
        out.code = code
        job.score_out = &out
        run_score(&job, &totals, num_threads)
    return nll, lse, rank, prediction, entropy, confidence


cdef void set_picks(Job *job, PickOut *out, int class_axis, cnp.ndarray logits, cnp.ndarray logprobs, int code,
                    cnp.ndarray indices) noexcept:
    cdef int axis
    out.logprobs = <char *>cnp.PyArray_DATA(logprobs)
    out.indices = NULL if indices is None else <int64_t *>cnp.PyArray_DATA(indices)
    out.code, out.inner = code, 1
    for axis in range(class_axis + 1, cnp.PyArray_NDIM(logits)):
        out.inner *= cnp.PyArray_DIM(logits, axis)
    job.pick_out = out


def top_logprobs(object input, object k, object axis, object num_threads):
    """xentc.top_logprobs by position."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), logprobs, indices
    cdef int class_axis = class_axis_of(logits, axis, None), code
    cdef Job job
    cdef Source sources[N_OPERANDS]
    cdef Totals totals
    cdef PickOut out
    n_picks = integer(k, "k", "an integer")
    code = set_scoring(&job, sources, logits, class_axis)
    if not 1 <= n_picks <= MOST_PICKS:
        raise ValueError(f"k: got {n_picks}, expected 1 to {MOST_PICKS}")
    if n_picks > job.n_classes:
        raise ValueError(f"k: got {n_picks}, expected at most the number of classes, {job.n_classes}")
    out.n_picks = n_picks
    lay_out(&job, sources, class_axis, NULL, logits)
    shape = (<object>logits).shape
    shape = shape[:class_axis] + (n_picks,) + shape[class_axis + 1:]
    logprobs, indices = new_array(shape, dtype_of(code)), new_array(shape, np.int64)
    set_picks(&job, &out, class_axis, logits, logprobs, code, indices)
    if job.n_samples > 0:
        run_top(&job, &totals, num_threads)
    return logprobs, indices


def gather_logprobs(object input, object indices, object axis, object num_threads):
    """xentc.gather_logprobs by position."""
    cdef StandardMode mode = StandardMode.__new__(StandardMode)
    cdef cnp.ndarray logits = logits_array(input), wanted = index_array(indices, "indices"), logprobs
    cdef int class_axis = class_axis_of(logits, axis, None), code
    cdef bint many = cnp.PyArray_NDIM(wanted) == cnp.PyArray_NDIM(logits)
    cdef Job job
    cdef Source sources[N_OPERANDS]
    cdef Totals totals
    cdef PickOut out
    code = set_scoring(&job, sources, logits, class_axis)
    shape, expected = (<object>wanted).shape, sample_shape(logits, class_axis)
    if (sample_shape(wanted, class_axis) if many else shape) != expected:
        raise ValueError(
            f"indices: got shape {shape} for an input of shape {shape_text(logits)}, expected {expected}, or that "
            f"shape with an axis of any length at {class_axis}, for several classes of each sample"
        )
    out.n_picks = cnp.PyArray_DIM(wanted, class_axis) if many else 1
    check_classes(wanted, "indices", job.n_classes)
    describe(&sources[1], &job.target, wanted, class_axis if many else -1)
    lay_out(&job, sources, class_axis, NULL, logits)
    logprobs = new_array(shape, dtype_of(code))
    set_picks(&job, &out, class_axis, logits, logprobs, code, None)
    if (<object>wanted).size > 0:
        run_gather(&job, &totals, num_threads)
    return logprobs


cdef int check_classes(cnp.ndarray indices, str name, Py_ssize_t n_classes) except -1:
    """Without a temporary of their size, unless one is out of range."""
    array = <object>indices
    if array.size == 0 or (array.min() >= 0 and array.max() < n_classes):
        return 0
    raise bad_class(indices, name, np.flatnonzero((array < 0) | (array >= n_classes))[0], 0, n_classes)
