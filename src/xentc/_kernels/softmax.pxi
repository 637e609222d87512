# softmax, log_softmax and logsumexp: what the row and the lane kernel share.
#
# a) A value comes of the sum over all classes. Where one class outweighs the others they are lost beside it, and -log
#    of its probability is log1p of the others: the sum is then taken without it.
# b) log_softmax is (x - row_max) - nll, nll being that of the largest logit: no term of it cancels another.
# c) A gradient needs a sum of upstream ones: of g for log_softmax, of g p for softmax. At the class that was left out
#    of the sums nothing cancels, either.
# d) Of value and gradient, the one that is written over the input comes last.
# e) Rows without a softmax are filled: what they hold is decided once a row.

# What is written: an entry of a value, or of a gradient; one from a value that has just been written.
cdef enum:
    VALUE_SOFTMAX, VALUE_LOG_SOFTMAX, GRAD_SOFTMAX, GRAD_LOG_SOFTMAX, GRAD_LOGSUMEXP, GRAD_FROM_SOFTMAX


cdef inline bint is_value(int kind) noexcept nogil:
    return kind == VALUE_SOFTMAX or kind == VALUE_LOG_SOFTMAX


cdef inline int value_kind(const Job *job) noexcept nogil:
    return VALUE_SOFTMAX if job.operation == SOFTMAX else VALUE_LOG_SOFTMAX


cdef inline int grad_kind(const Job *job) noexcept nogil:
    if job.operation == LOGSUMEXP:
        return GRAD_LOGSUMEXP
    return GRAD_SOFTMAX if job.operation == SOFTMAX else GRAD_LOG_SOFTMAX


cdef inline bint sums_upstream(const Job *job) noexcept nogil:
    return job.grad_out.data != NULL and job.operation != LOGSUMEXP


cdef inline real softmax_entry(real x, real p, real upstream, real top, real nll, real pull, int kind) noexcept nogil:
    """Of a class of logit x and probability p; pull is as in RowPoint. kind is a literal."""
    if kind == VALUE_SOFTMAX:
        return p
    if kind == VALUE_LOG_SOFTMAX:
        return (x - top) - nll
    if kind == GRAD_SOFTMAX:
        return p * (upstream - pull)
    if kind == GRAD_LOG_SOFTMAX:
        return madd(p, -pull, upstream)
    return p * pull


cdef inline void set_pull(int operation, double own, double others, double own_share, double rest_share,
                          double *pull, double *at_hole) noexcept nogil:
    """From the upstream gradient at the hole and the sum over the others (of g, or of g p)."""
    if operation == SOFTMAX:
        pull[0] = own_share * own + others
        at_hole[0] = own_share * (own * rest_share - others if fabs(pull[0]) < INFINITY else own - pull[0])
    else:
        pull[0] = own + others
        at_hole[0] = own * rest_share - own_share * others if fabs(pull[0]) < INFINITY else own - own_share * pull[0]


cdef bint has_nan(const Job *job, Py_ssize_t sample) noexcept nogil:
    cdef const char *logits = sample_pointer(job, &job.input, sample)
    cdef Py_ssize_t k
    cdef double x
    for k in range(job.n_classes):
        x = read_logit(job, logits + k * job.input.class_stride_bytes)
        if x != x:
            return True
    return False


cdef bint has_upstream(const Job *job, Py_ssize_t sample) noexcept nogil:
    """Whether any upstream gradient of a sample is not 0."""
    cdef const char *numbers = sample_pointer(job, &job.grad_output, sample)
    cdef Py_ssize_t k
    if job.operation == LOGSUMEXP:
        return upstream(job, sample) != 0
    for k in range(job.n_classes):
        if read_number(numbers + k * job.grad_output.class_stride_bytes, job.grad_output.code,
                       job.grad_output.swapped) != 0:
            return True
    return False


cdef double special_lse(const Job *job, Py_ssize_t sample, double top, bint is_empty) noexcept nogil:
    """logsumexp where there is no softmax: +inf in a row wins, unless a nan is there; is_empty: -inf throughout."""
    if is_empty:
        return -INFINITY
    return INFINITY if top == INFINITY and not has_nan(job, sample) else NAN


cdef void special_gradient(const Job *job, Py_ssize_t sample, double top, double *pull, double *at_hole) noexcept nogil:
    """The same of a gradient: at_hole where the logit is +inf, pull elsewhere. An upstream gradient of 0 leaves 0."""
    pull[0] = at_hole[0] = NAN
    if not has_upstream(job, sample):
        pull[0] = at_hole[0] = 0
    elif job.operation == LOGSUMEXP and top == INFINITY and not has_nan(job, sample):
        pull[0] = upstream(job, sample) * 0.0
