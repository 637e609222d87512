"""The contract between the engine and the kernels: structs and function pointers, no functions."""
from libc.stdint cimport int64_t

cdef enum:
    MAX_AXES = 64           # NumPy's limit on dimensions

# dtypes
cdef enum:
    F32, F64, I8, I16, I32, I64, U8, U16, U32, U64

# An array as a kernel reads or writes it. Sample axes are those of the target, in its order; the last is the inner one.
ctypedef struct Operand:
    char *data                              # NULL: not given
    int code                                # a dtype
    Py_ssize_t class_stride_bytes           # only where the operand has a class axis
    Py_ssize_t stride_bytes[MAX_AXES]       # one a sample axis

# One problem. Kernels trust every field.
ctypedef struct Job:
    Py_ssize_t n_samples
    Py_ssize_t n_classes
    int n_axes                              # sample axes, at least 1
    Py_ssize_t length[MAX_AXES]
    int real_code                           # F32 or F64: what the arithmetic of a logit is done in
    Operand input
    Operand target
    Operand loss_out                        # one loss a sample
    Operand grad_out
    Operand grad_output                     # one upstream gradient a sample, float64; NULL: all 1
    const double *weight                    # one a class; NULL: all 1
    int64_t ignore_index
    double grad_scale                       # multiplies every sample's gradient
    bint stream_grad                        # the gradient is too large for any cache to keep
    Py_ssize_t tile_samples                 # of the lane kernel, a multiple of its lanes
    Py_ssize_t block_samples                # samples a call of a block function works through

# What a run leaves behind. Folded in block order, in float64.
ctypedef struct Totals:
    double loss
    double weight                           # sum of w[target] over samples that are not ignored
    int64_t n_valid                         # samples not ignored
    int64_t n_nonzero                       # of these, with a coefficient other than 0
    Py_ssize_t first_bad                    # the first sample whose target is out of range, or -1

# One block of columns of one row: sum of exp(x) 2^-exponent over its classes, the target's left out.
ctypedef struct RowPart:
    double sum_exp
    double exponent
    double row_max                          # over the same classes; nan is passed over

# What a row's gradient needs, once its sum is known: p(k) = exp(x_k - shift) 2^-exponent * inverse.
ctypedef struct RowPoint:
    int64_t target
    double coefficient                      # of the sample's gradient
    double rest_share                       # 1 - p(target)
    double exponent
    double inverse
    double shift

# A function of a block of samples; one row's block of columns; a row from its parts; one block of a row's gradient.
ctypedef void (*block_fn)(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                          Totals *totals) noexcept nogil
ctypedef void (*part_fn)(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *scratch,
                         RowPart *part) noexcept nogil
ctypedef void (*fold_fn)(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                         RowPoint *point) noexcept nogil
ctypedef void (*grad_fn)(const Job *job, Py_ssize_t sample, Py_ssize_t column_block, char *scratch,
                         const RowPoint *point) noexcept nogil
ctypedef size_t (*scratch_fn)(const Job *job) noexcept nogil

# What an ISA module exports in its capsule. Indexed by real_code where there are two.
ctypedef struct KernelTable:
    block_fn check_target
    block_fn row[2]
    part_fn row_part[2]
    fold_fn row_fold[2]
    grad_fn row_grad[2]
    block_fn lane[2]
    scratch_fn row_scratch
    scratch_fn lane_scratch                 # depends on job.tile_samples
    Py_ssize_t tile_lanes                   # tile_samples is a multiple of it
    Py_ssize_t column_block
