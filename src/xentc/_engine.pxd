from xentc._kernels.api cimport Job, Totals

# A pass over all samples: a check of the targets, or a loss.
ctypedef int (*pass_fn)(Job *job, Totals *totals, object num_threads) except -1

cdef int check_targets(Job *job, Totals *totals, object num_threads) except -1
cdef int check_class_lists(Job *job, Totals *totals, object num_threads) except -1
cdef int run_cross_entropy(Job *job, Totals *totals, object num_threads) except -1
cdef int check_elements(Job *job, Totals *totals, object num_threads) except -1
cdef int run_elements(Job *job, Totals *totals, object num_threads) except -1
cdef int run_softmax(Job *job, object num_threads) except -1
cdef int run_score(Job *job, Totals *totals, object num_threads) except -1
cdef int run_top(Job *job, Totals *totals, object num_threads) except -1
cdef int run_gather(Job *job, Totals *totals, object num_threads) except -1
cdef int run_nll(Job *job, Totals *totals, object num_threads) except -1
cdef int run_nll_grad(Job *job, Totals *totals, object num_threads) except -1
cdef int run_margin(Job *job, Totals *totals, object num_threads) except -1
