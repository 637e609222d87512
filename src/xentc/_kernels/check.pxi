# The pass over the targets alone, before anything is computed: are they in range, and what does the mean divide by.

cdef enum:
    CHECK_TILE = 512


cdef Py_ssize_t count_valid(const int64_t *indices, Py_ssize_t n, Py_ssize_t n_classes, int64_t ignore_index,
                            bint *any_bad) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t n_valid = 0, bad = 0
    for i in range(n):
        n_valid += indices[i] != ignore_index
        bad |= (indices[i] != ignore_index) & (<uint64_t>indices[i] >= <uint64_t>n_classes)
    any_bad[0] = bad != 0
    return n_valid


cdef inline double target_coefficient(const Job *job, Py_ssize_t sample, int64_t index) noexcept nogil:
    """What multiplies the loss of a sample whose target is this class."""
    return product(sample_weight(job, sample), 1.0 if job.weight == NULL else job.weight[index])


cdef void weigh(const Job *job, const int64_t *indices, Py_ssize_t sample, Py_ssize_t n, Totals *totals) noexcept nogil:
    cdef Py_ssize_t i
    cdef double weight
    for i in range(n):
        if indices[i] != job.ignore_index:
            weight = target_coefficient(job, sample + i, indices[i])
            totals.weight += weight
            totals.n_nonzero += weight != 0.0


cdef bint check_tile(const Job *job, const int64_t *indices, Py_ssize_t sample, Py_ssize_t n,
                     Totals *totals) noexcept nogil:
    """Counts and weighs n targets. False, with first_bad set, if one is out of range."""
    cdef bint any_bad = False
    cdef Py_ssize_t i, n_valid = count_valid(indices, n, job.n_classes, job.ignore_index, &any_bad)
    totals.n_valid += n_valid
    if any_bad:
        for i in range(n):
            if indices[i] != job.ignore_index and not 0 <= indices[i] < job.n_classes:
                totals.first_bad = sample + i
                return False
    if job.weight == NULL and job.sample_weight.data == NULL:
        totals.weight += <double>n_valid
        totals.n_nonzero += n_valid
    else:
        weigh(job, indices, sample, n, totals)
    return True


cdef void check_target(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    cdef int64_t indices[CHECK_TILE]
    cdef Py_ssize_t n
    while begin < end:
        n = min(run_length(job, begin, end), <Py_ssize_t>CHECK_TILE)
        load_indices(job, begin, n, indices)
        if not check_tile(job, indices, begin, n, totals):
            return
        begin += n


cdef void weigh_samples(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    """The same where targets are probabilities: only the samples' own weights count."""
    cdef Py_ssize_t sample
    cdef double weight
    totals.n_valid += end - begin
    if job.sample_weight.data == NULL:
        totals.weight += <double>(end - begin)
        totals.n_nonzero += end - begin
        return
    for sample in range(begin, end):
        weight = sample_weight(job, sample)
        totals.weight += weight
        totals.n_nonzero += weight != 0.0


cdef void check_classes(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                        Totals *totals) noexcept nogil:
    """The same where each sample has a list of classes, -1 at its end: every entry counts, also behind that."""
    cdef int64_t indices[CHECK_TILE]
    cdef Py_ssize_t sample, k, n, i
    cdef bint any_bad
    weigh_samples(job, begin, end, scratch, totals)
    for sample in range(begin, end):
        for k from 0 <= k < job.n_classes by CHECK_TILE:
            n = min(job.n_classes - k, <Py_ssize_t>CHECK_TILE)
            load_class_indices(job, sample, k, n, indices)
            any_bad = False
            for i in range(n):
                any_bad |= <uint64_t>indices[i] + 1 > <uint64_t>job.n_classes
            if any_bad:
                for i in range(n):
                    if not -1 <= indices[i] < job.n_classes:
                        totals.first_bad = sample * job.n_classes + k + i
                        return
