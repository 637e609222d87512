"""The contract between the engine and the kernels: structs and function pointers, no functions."""
from libc.stdint cimport int64_t

cdef enum:
    MAX_AXES = 64           # NumPy's limit on dimensions

# dtypes
cdef enum:
    F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64

# How a sample's target is spread over the classes: not at all; evenly (label smoothing); by class weight (the same with
# weights); by given probabilities.
cdef enum:
    SPREAD_NONE, SPREAD_EVEN, SPREAD_WEIGHT, SPREAD_GIVEN

# An array as a kernel reads or writes it. Sample axes are those of the target, in its order; the last is the inner one.
ctypedef struct Operand:
    char *data                              # NULL: not given
    int code                                # a dtype
    bint swapped                            # of the other byte order
    Py_ssize_t class_stride_bytes           # only where the operand has a class axis
    Py_ssize_t stride_bytes[MAX_AXES]       # one a sample axis

# One problem. Kernels trust every field.
#
# A sample's loss, with target t, weights w, smoothing e, z-loss scale z and sample weight s, is
#     s * ((1 - e) w_t nll  +  sum_c v_c (lse - x_c)  +  z lse^2)         v_c = e/C w_c
# and with probabilities q it is
#     s * (                    sum_c v_c (lse - x_c)  +  z lse^2)         v_c = w_c ((1 - e) q_c + e/C)
ctypedef struct Job:
    Py_ssize_t n_samples
    Py_ssize_t n_classes
    int n_axes                              # sample axes, at least 1
    Py_ssize_t length[MAX_AXES]
    int real_code                           # F32 or F64: what the arithmetic of a logit is done in
    Operand input
    Operand target                          # class indices, (SPREAD_GIVEN) probabilities, or lists of classes
    Operand sample_weight                   # one a sample; NULL: all 1
    Operand loss_out                        # one loss a sample
    Operand grad_out
    Operand grad_output                     # one upstream gradient a sample; NULL: all 1
    const double *weight                    # one a class; NULL: all 1
    const char *real_weight                 # the same as `real`
    double weight_total                     # of all classes
    int64_t ignore_index
    int spread
    double keep                             # 1 - e
    double share                            # e / C
    double lse_square_scale
    double softcap                          # 0: none
    double temperature
    double grad_scale                       # multiplies every sample's gradient
    bint stream_grad                        # the gradient is too large for any cache to keep
    Py_ssize_t tile_samples                 # of the lane kernel, a multiple of its lanes
    Py_ssize_t block_samples                # samples a call of a block function works through

# What a run leaves behind. Folded in block order, in float64.
ctypedef struct Totals:
    double loss
    double weight                           # sum of what the mean divides by, over samples that are not ignored
    int64_t n_valid                         # samples not ignored
    int64_t n_nonzero                       # of these, with a coefficient other than 0
    Py_ssize_t first_bad                    # where the first target lies that is out of range, in C order, or -1

# One block of columns of one row: sum of exp(x) 2^-exponent over its classes, the target's left out.
ctypedef struct RowPart:
    double sum_exp
    double exponent
    double row_max                          # over the same classes; nan is passed over
    double spread_sum                       # sum of v_c (origin - x_c), with v_c = 0 removing its term
    double spread_mass                      # sum of v_c, where it is not known beforehand

# What a row's gradient needs, once its sums are known: p(k) = exp(x_k - shift) 2^-exponent * inverse, and
# gradient(k) = pull * p(k) - push * v_k, but at_hole at the class that was left out of the sum.
ctypedef struct RowPoint:
    int64_t target                          # -1 with probabilities
    int64_t hole
    double shift
    double exponent
    double inverse
    double pull
    double push
    double at_hole

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
    block_fn check_target                   # where targets are indices
    block_fn weigh_samples                  # where they are probabilities
    block_fn check_classes                  # where they are lists of classes
    block_fn row[2]
    part_fn row_part[2]
    fold_fn row_fold[2]
    grad_fn row_grad[2]
    block_fn lane[2]
    block_fn nll                            # checks its targets
    block_fn nll_grad
    block_fn margin[2]
    scratch_fn row_scratch
    scratch_fn lane_scratch                 # depends on job.tile_samples
    scratch_fn margin_scratch
    Py_ssize_t tile_lanes                   # tile_samples is a multiple of it
    Py_ssize_t column_block
