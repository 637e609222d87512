"""From a Job to Totals: blocks, threads, kernels.

a) Blocks are a function of the shape, never of the number of threads; each leaves its own Totals, and these are folded
   in block order: the same bits on any number of threads.
b) One prange in the package. Its body is one call: a task on one item (a block of samples, or of one row's columns).
c) All memory is taken before a region begins. Between regions of some 50 ms the calling thread looks for signals.
d) A small call keeps the GIL and starts no team: a team costs more than it saves, and when OpenMP cannot make a thread
   it ends the process.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport prange, threadid
from libc.math cimport fabs
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from xentc._kernels.api cimport *

from xentc import _dispatch, _threads

cdef extern from "_process.h" nogil:
    int team_has_run
    int forked_after_team
    int install_fork_flag()
    ctypedef unsigned int FloatMode
    FloatMode standard_float_mode()
    void restore_float_mode(FloatMode before)
    int openmp_max_threads()
    int openmp_team_size()
    int openmp_version()

cdef enum:
    BLOCK_LOGITS = 1 << 15          # work of a block: some 5 us, against 0.1 us to hand it out
    NLL_BLOCK = 1 << 10             # samples
    MARGIN_WORK = 16                # a class of multilabel_margin_loss costs as much as this many logits
    LANE_CLASSES = 128              # contiguous classes up to this many are transposed and run side by side,
    LANE_CLASSES_F32 = 224          # or, of float sums, as many: 0.45 to 0.95 of rows' time; 2 us more of one sample
    LANE_BLOCK_LEAST = 128          # samples, so that a plane of an image is read in runs
    LANE_TILE = 1024
    TRANSPOSED_LOGITS = 8192        # of a transposed tile: it stays in the first-level cache
    TRANSPOSED_TILE = 512
    MAP_TILE = 1024                 # elements: a few operands of a tile stay in the first-level cache
    TOP_PICKS = 1 << 14             # of a tile: the heaps stay in the second-level cache
    SIGNAL_LOGITS = 1 << 23         # work between two looks for signals
    ITEMS_TOGETHER = 8              # items that a thread takes at a time: what it prefetches is then its own
    TURNS = 8                       # but every thread takes that many times, so that none waits long for another
    FOLD_BLOCKS = 4096              # blocks whose Totals are kept at a time
    SMALL_LOGITS = 1 << 13          # below this, releasing the GIL costs more than it gives
    LONG_ROW = 1 << 24              # a row this long is always cut, so that Ctrl-C works inside it
    STACK_BYTES = 16384

# Of a gradient, or values as large as the logits: where larger than this, it is written past the caches. Then, on an
# Emerald Rapids, a Zen 4 and a Zen 3, the gradient of 4096 x 32000 takes 0.68, 0.86 and 0.83 of the time, that of
# 65536 x 1000 0.89, 0.84 and 0.97, softmax 0.77, 0.61 and 0.73, and hinge_embedding_loss 0.48, 0.74 and 0.79.
cdef Py_ssize_t stream_bytes = 1 << 25

cdef KernelTable *table = NULL
cdef int openmp_at_import = openmp_max_threads()
cdef int last_team = 1


def _use(capsule):
    global table
    table = <KernelTable *>PyCapsule_GetPointer(capsule, "xentc.KernelTable")


_dispatch.on_select(_use)
if install_fork_flag() != 0:
    raise ImportError("xentc: could not install the at-fork handler")


def openmp():
    """The version of OpenMP this was built with (such as 201511), or 0."""
    return openmp_version()


def forked():
    """Whether this process was forked off one that had run a team: calls are then serial."""
    return bool(forked_after_team)


def last_team_size():
    """Threads that the last region of this process really had. For tests."""
    return last_team


def stream_above(Py_ssize_t n_bytes):
    """Sets the size above which results are written past the caches; returns the one before. For tests."""
    global stream_bytes
    before, stream_bytes = stream_bytes, n_bytes
    return before


# What a region works on. One of three tasks, chosen by `kind`.
cdef enum TaskKind:
    SAMPLES, PARTS, WRITES

ctypedef struct Task:
    TaskKind kind
    const Job *job
    const ClassKernels *kernels
    block_fn block
    Py_ssize_t first                # item; Totals, parts and points begin with it
    Py_ssize_t n_column_blocks
    Totals *totals
    RowPart *parts
    RowPoint *points
    char *scratch
    size_t scratch_bytes            # a thread
    int team_size


cdef void run_item(Task *task, Py_ssize_t item, int thread) noexcept nogil:
    cdef const Job *job = task.job
    cdef FloatMode mode = standard_float_mode()
    cdef char *scratch = task.scratch + thread * task.scratch_bytes
    cdef Py_ssize_t begin, sample, column_block
    if item == task.first:
        task.team_size = openmp_team_size()
    if task.kind == SAMPLES:
        begin = item * job.block_samples
        task.block(job, begin, min(begin + job.block_samples, job.n_samples), scratch, &task.totals[item - task.first])
    else:
        sample = item // task.n_column_blocks
        column_block = item % task.n_column_blocks
        if task.kind == PARTS:
            task.kernels.part(job, sample, column_block, scratch, &task.parts[item])
        else:
            task.kernels.write(job, sample, column_block, scratch, &task.points[sample])
    restore_float_mode(mode)


cdef int run_items(Task *task, Py_ssize_t begin, Py_ssize_t end, int n_threads, bint small) except -1:
    """The region: every item once, in any order."""
    global team_has_run, last_team
    cdef Py_ssize_t item, together
    task.first = begin
    if small:
        for item in range(begin, end):
            run_item(task, item, 0)
        return 0
    if n_threads > 1:
        team_has_run = 1
    together = min(max((end - begin) // (n_threads * TURNS), <Py_ssize_t>1), <Py_ssize_t>ITEMS_TOGETHER)
    with nogil:
        for item in prange(begin, end, schedule="dynamic", chunksize=together, num_threads=n_threads,
                           use_threads_if=n_threads > 1):
            run_item(task, item, threadid())
    last_team = task.team_size
    return PyErr_CheckSignals()


cdef void clear(Totals *totals, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    memset(totals, 0, n * sizeof(Totals))
    for i in range(n):
        totals[i].first_bad = -1


cdef void fold(Totals *whole, double *lost, const Totals *blocks, Py_ssize_t n) noexcept nogil:
    """Adds blocks in their order; lost[0:2] keeps what the two sums are rounded by (Neumaier)."""
    cdef Py_ssize_t i
    for i in range(n):
        add_exactly(&whole.loss, &lost[0], blocks[i].loss)
        add_exactly(&whole.weight, &lost[1], blocks[i].weight)
        whole.n_valid += blocks[i].n_valid
        whole.n_nonzero += blocks[i].n_nonzero
        if whole.first_bad < 0:
            whole.first_bad = blocks[i].first_bad


cdef void add_exactly(double *total, double *lost, double term) noexcept nogil:
    cdef double before = total[0]
    total[0] = before + term
    if total[0] - total[0] != 0:        # inf or nan: nothing was rounded, and the difference would be nan
        return
    if fabs(before) >= fabs(term):
        lost[0] += (before - total[0]) + term
    else:
        lost[0] += (term - total[0]) + before


cdef int resolve(object requested, Py_ssize_t n_items) except -1:
    cdef int limit
    if requested is None and (n_items <= 1 or openmp_version() == 0):
        return 1
    if openmp_version() == 0:
        _threads.checked_count(requested, "num_threads")
        return 1
    limit = openmp_max_threads()
    if limit >= openmp_at_import:
        limit = 0
    return _threads.resolve(requested, max(n_items, 1), limit, forked_after_team != 0)


cdef int run_samples(block_fn block, Job *job, size_t scratch_bytes, Py_ssize_t logits_per_sample, Totals *totals,
                     object num_threads) except -1:
    """One block function over all samples."""
    # Divided, not multiplied: a broadcast array may have more logits than an integer can count.
    cdef Py_ssize_t n_blocks = job.n_samples // job.block_samples + (job.n_samples % job.block_samples != 0)
    cdef Py_ssize_t stride = SIGNAL_LOGITS // max(logits_per_sample, <Py_ssize_t>1) // job.block_samples
    cdef bint small = job.n_samples <= SMALL_LOGITS // max(logits_per_sample, <Py_ssize_t>1)
    cdef int n_threads = resolve(num_threads, n_blocks)
    cdef Py_ssize_t begin, n
    cdef double lost[2]
    cdef char stack[STACK_BYTES]
    cdef char *heap = NULL
    cdef FloatMode mode
    cdef Task task
    task.kind, task.job, task.block, task.scratch_bytes = SAMPLES, job, block, (scratch_bytes + 63) // 64 * 64
    stride = min(max(stride, n_threads), <Py_ssize_t>FOLD_BLOCKS, n_blocks)
    if n_threads == 1 and task.scratch_bytes + stride * sizeof(Totals) <= STACK_BYTES:
        task.totals = <Totals *>stack
    else:
        heap = <char *>malloc(n_threads * task.scratch_bytes + stride * sizeof(Totals))
        if heap == NULL:
            raise MemoryError
        task.totals = <Totals *>heap
    task.scratch = <char *>(task.totals + stride)
    clear(totals, 1)
    lost[0] = lost[1] = 0
    try:
        for begin from 0 <= begin < n_blocks by max(stride, <Py_ssize_t>1):
            n = min(stride, n_blocks - begin)
            clear(task.totals, n)
            run_items(&task, begin, begin + n, n_threads, small)
            mode = standard_float_mode()
            fold(totals, lost, task.totals, n)
            restore_float_mode(mode)
            if totals.first_bad >= 0:
                break
    finally:
        free(heap)
    totals.loss += lost[0]
    totals.weight += lost[1]
    return 0


cdef int run_columns(const ClassKernels *kernels, Job *job, bint writes, Totals *totals, int n_threads) except -1:
    """Few long rows: each cut into column blocks for all threads, and folded on this one."""
    cdef Py_ssize_t n_column_blocks = (job.n_classes + table.column_block - 1) // table.column_block
    cdef Py_ssize_t n_items = job.n_samples * n_column_blocks, sample, begin, stride
    cdef size_t scratch_bytes = (kernels.row_scratch(job) + 63) // 64 * 64
    cdef size_t n_bytes = n_threads * scratch_bytes + n_items * sizeof(RowPart) + job.n_samples * sizeof(RowPoint)
    cdef char *heap = <char *>malloc(n_bytes)
    cdef FloatMode mode
    cdef Task task
    cdef Totals of_sample
    cdef double lost[2]
    if heap == NULL:
        raise MemoryError
    task.job, task.kernels, task.n_column_blocks = job, kernels, n_column_blocks
    task.scratch, task.scratch_bytes = heap, scratch_bytes
    task.parts = <RowPart *>(heap + n_threads * scratch_bytes)
    task.points = <RowPoint *>(task.parts + n_items)
    stride = max(SIGNAL_LOGITS // table.column_block, <Py_ssize_t>n_threads)
    clear(totals, 1)
    lost[0] = lost[1] = 0
    try:
        task.kind = PARTS
        for begin from 0 <= begin < n_items by stride:
            run_items(&task, begin, min(begin + stride, n_items), n_threads, False)
        mode = standard_float_mode()
        for sample in range(job.n_samples):
            clear(&of_sample, 1)    # a block of run_samples is one such row, too: the same fold, the same bits
            kernels.fold(job, sample, task.parts + sample * n_column_blocks, heap, &of_sample, &task.points[sample])
            fold(totals, lost, &of_sample, 1)
        restore_float_mode(mode)
        if writes:
            task.kind = WRITES
            for begin from 0 <= begin < n_items by stride:
                run_items(&task, begin, min(begin + stride, n_items), n_threads, False)
    finally:
        free(heap)
    totals.loss += lost[0]
    return 0


cdef Py_ssize_t item_bytes(int code) noexcept nogil:
    if code == F64 or code == I64 or code == U64:
        return 8
    if code == F32 or code == I32 or code == U32:
        return 4
    return 1 if code == I8 or code == U8 else 2


cdef Py_ssize_t power_of_two_below(Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t power = 1
    while power * 2 <= n:
        power *= 2
    return power


cdef inline Py_ssize_t most_side_by_side(const Job *job) noexcept nogil:
    return LANE_CLASSES_F32 if job.real_code == F32 else LANE_CLASSES


cdef bint plan(Job *job, Py_ssize_t lane_classes) noexcept nogil:
    """Sets the sizes of blocks and tiles, functions of shape and layout alone; says whether the row kernel is used."""
    cdef Py_ssize_t classes = max(job.n_classes, <Py_ssize_t>1), lanes = table.tile_lanes
    cdef Py_ssize_t most
    cdef bint contiguous = job.input.class_stride_bytes == item_bytes(job.input.code)
    if contiguous and job.n_classes > lane_classes:
        job.block_samples = max(BLOCK_LOGITS // classes, <Py_ssize_t>1)
        return True
    job.block_samples = max(power_of_two_below(BLOCK_LOGITS // classes), <Py_ssize_t>LANE_BLOCK_LEAST)
    job.tile_samples = LANE_TILE
    if contiguous:
        most = TRANSPOSED_LOGITS // 2 if job.spread == SPREAD_GIVEN else TRANSPOSED_LOGITS      # two operands, or one
        job.tile_samples = min(max(power_of_two_below(most // classes), lanes), <Py_ssize_t>TRANSPOSED_TILE)
    job.tile_samples = min(job.tile_samples, job.block_samples, (job.n_samples + lanes - 1) // lanes * lanes)
    return False


cdef int check_targets(Job *job, Totals *totals, object num_threads) except -1:
    """Counts and weighs the targets; totals.first_bad is the first sample whose target is out of range."""
    cdef block_fn check = table.weigh_samples if job.spread == SPREAD_GIVEN else table.check_target
    job.block_samples = BLOCK_LOGITS
    return run_samples(check, job, 0, 1, totals, num_threads)


cdef int check_class_lists(Job *job, Totals *totals, object num_threads) except -1:
    """The same for lists of classes; totals.first_bad counts entries, not samples."""
    job.block_samples = max(BLOCK_LOGITS // job.n_classes, <Py_ssize_t>1)
    return run_samples(table.check_classes, job, 0, job.n_classes, totals, num_threads)


cdef int run_nll(Job *job, Totals *totals, object num_threads) except -1:
    """Checks the targets, too: the losses of blocks before the first bad one are written."""
    job.block_samples = NLL_BLOCK
    return run_samples(table.nll, job, 0, 1, totals, num_threads)


cdef int run_nll_grad(Job *job, Totals *totals, object num_threads) except -1:
    cdef Totals unused
    if job.grad_out.data == NULL:
        return 0
    plan(job, LANE_CLASSES)
    return run_samples(table.nll_grad, job, 0, job.n_classes, &unused, num_threads)


cdef int run_margin(Job *job, Totals *totals, object num_threads) except -1:
    cdef Py_ssize_t work = job.n_classes * MARGIN_WORK
    job.block_samples = max(BLOCK_LOGITS // work, <Py_ssize_t>1)
    return run_samples(table.margin[job.real_code], job, table.margin_scratch(job), work, totals, num_threads)


cdef int run_classes(const ClassKernels *kernels, Job *job, Py_ssize_t lane_classes, bint writes, Totals *totals,
                     object num_threads) except -1:
    """Every sample of classes. writes: something is written to each class, once its sample's sums are known."""
    cdef Py_ssize_t n_column_blocks
    cdef int n_threads
    if not plan(job, lane_classes):
        return run_samples(kernels.lane, job, kernels.lane_scratch(job), job.n_classes, totals, num_threads)
    n_column_blocks = (job.n_classes + table.column_block - 1) // table.column_block
    if n_column_blocks > 1:
        n_threads = resolve(num_threads, job.n_samples * n_column_blocks)
        if job.n_classes > LONG_ROW or (n_threads > 1 and job.n_samples < 4 * n_threads):
            return run_columns(kernels, job, writes, totals, n_threads)
    return run_samples(kernels.row, job, kernels.row_scratch(job), job.n_classes, totals, num_threads)


cdef inline bint is_streamed(const Job *job, const Operand *operand, Py_ssize_t n_classes) noexcept nogil:
    """Whether what is written, as large as the input, is too large for any cache to keep."""
    return (operand.data != NULL and operand.data != job.input.data
            and job.n_samples * n_classes * item_bytes(operand.code) > stream_bytes)


cdef int run_cross_entropy(Job *job, Totals *totals, object num_threads) except -1:
    job.stream_grad = is_streamed(job, &job.grad_out, job.n_classes)
    return run_classes(&table.cross_entropy[job.real_code], job, most_side_by_side(job), job.grad_out.data != NULL,
                       totals, num_threads)


cdef int run_softmax(Job *job, object num_threads) except -1:
    cdef Totals totals
    cdef bint has_values = job.operation != LOGSUMEXP
    if job.n_samples == 0 or job.n_classes == 0:
        resolve(num_threads, 0)     # a wrong number is one, also where there is nothing to do
        return 0
    # One of the two in place is in the cache, and what is written to it, too.
    job.stream_grad = not (job.grad_out.data == job.input.data or has_values and job.loss_out.data == job.input.data) \
        and (is_streamed(job, &job.grad_out, job.n_classes)
             or has_values and is_streamed(job, &job.loss_out, job.n_classes))
    # Rows that keep their terms are as fast as samples side by side from LANE_CLASSES on.
    return run_classes(&table.softmax[job.real_code], job,
                       LANE_CLASSES if job.operation == SOFTMAX else most_side_by_side(job),
                       has_values or job.grad_out.data != NULL, &totals, num_threads)


cdef int run_elements(Job *job, Totals *totals, object num_threads) except -1:
    """An element-wise loss. Blocks hold whole entries of the input, see map.pxi."""
    job.block_samples = max(BLOCK_LOGITS // job.n_folded, <Py_ssize_t>1) * job.n_folded
    # Slopes of a hinge cost next to nothing. Elsewhere arithmetic is the limit, and the copy behind it took 1.0 to 1.1
    # times as long.
    job.stream_grad = job.map_loss == HINGE and job.n_folded == 1 and is_streamed(job, &job.grad_out, 1)
    return run_tiles(table.map[job.real_code], job, totals, num_threads)


cdef int check_elements(Job *job, Totals *totals, object num_threads) except -1:
    """totals.first_bad is the first element whose probability or target is out of range."""
    job.block_samples = BLOCK_LOGITS
    return run_tiles(table.check_unit[job.real_code], job, totals, num_threads)


cdef int run_tiles(block_fn block, Job *job, Totals *totals, object num_threads) except -1:
    cdef Py_ssize_t lanes = table.tile_lanes
    job.tile_samples = min(<Py_ssize_t>MAP_TILE, (job.n_samples + lanes - 1) // lanes * lanes)
    return run_samples(block, job, table.map_scratch(job), 1, totals, num_threads)


cdef int run_score(Job *job, Totals *totals, object num_threads) except -1:
    return run_either(&table.score[job.real_code], job, job.n_classes, totals, num_threads)


cdef int run_top(Job *job, Totals *totals, object num_threads) except -1:
    cdef Py_ssize_t lanes = table.tile_lanes, most
    if plan(job, LANE_CLASSES):
        return run_samples(table.row_top[job.real_code], job, table.row_top_scratch(job), job.n_classes, totals,
                           num_threads)
    most = power_of_two_below(TOP_PICKS // job.pick_out.n_picks)
    job.tile_samples = min(job.tile_samples, max(most // lanes * lanes, lanes))
    return run_samples(table.lane_top[job.real_code], job, table.lane_top_scratch(job), job.n_classes, totals,
                       num_threads)


cdef int run_gather(Job *job, Totals *totals, object num_threads) except -1:
    return run_either(&table.gather[job.real_code], job, job.n_classes + job.pick_out.n_picks, totals, num_threads)


cdef int run_either(const ClassKernels *kernels, Job *job, Py_ssize_t work, Totals *totals,
                    object num_threads) except -1:
    """The row or the lane kernel, every row by one thread."""
    if plan(job, most_side_by_side(job)):
        return run_samples(kernels.row, job, kernels.row_scratch(job), work, totals, num_threads)
    return run_samples(kernels.lane, job, kernels.lane_scratch(job), work, totals, num_threads)
