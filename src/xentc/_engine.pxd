from xentc._kernels.api cimport Job, Totals

cdef int check_targets(Job *job, Totals *totals, object num_threads) except -1
cdef int run_cross_entropy(Job *job, Totals *totals, object num_threads) except -1
cdef int check_elements(Job *job, Totals *totals, object num_threads) except -1
cdef int run_elements(Job *job, Totals *totals, object num_threads) except -1
cdef int run_softmax(Job *job, object num_threads) except -1
cdef int run_score(Job *job, Totals *totals, object num_threads) except -1
cdef int run_top(Job *job, Totals *totals, object num_threads) except -1
cdef int run_gather(Job *job, Totals *totals, object num_threads) except -1
