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

# An element-wise loss: what its elements are.
cdef enum:
    BINARY, BINARY_LOGITS, HINGE


# What is computed of a sample's logits, where it is not a loss.
cdef enum:
    SOFTMAX, LOG_SOFTMAX, LOGSUMEXP

# An array as a kernel reads or writes it. Sample axes are those of the target, in its order; the last is the inner one.
ctypedef struct Operand:
    char *data                              # NULL: not given
    int code                                # a dtype
    bint swapped                            # of the other byte order
    Py_ssize_t class_stride_bytes           # only where the operand has a class axis
    Py_ssize_t stride_bytes[MAX_AXES]       # one a sample axis
    Py_ssize_t run_length                   # element-wise: samples from the first that lie on the inner axis's stride
    bint periodic                           # element-wise: every run is the same memory

# Where the results of score go: one number a sample, in the order of the samples.
ctypedef struct ScoreOut:
    char *nll
    char *lse
    char *entropy
    char *confidence                        # the largest probability
    int code                                # of these four
    int64_t *rank
    int64_t *prediction

# Where log-probabilities go: n_picks a sample, that many blocks of `inner` samples one after another.
ctypedef struct PickOut:
    char *logprobs
    int code
    int64_t *indices                        # of the classes; NULL where they were given
    Py_ssize_t n_picks
    Py_ssize_t inner                        # samples along the axes behind the class axis

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
    int operation                           # of the softmax family
    int real_code                           # F32 or F64: what the arithmetic of a logit is done in
    Operand input
    Operand target                          # class indices, (SPREAD_GIVEN) probabilities, or lists of classes
    Operand sample_weight                   # one a sample; NULL: all 1
    Operand loss_out                        # one loss a sample; of softmax and log_softmax, one value a logit
    Operand grad_out
    Operand grad_output                     # one upstream gradient a loss or value; NULL: all 1
    Operand pos_weight                      # element-wise only, as the next three
    int map_loss
    double margin
    Py_ssize_t n_folded                     # samples in a row that share an entry of the input, and its gradient
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
    bint stream_grad                        # what is as large as the logits is written past the caches
    Py_ssize_t tile_samples                 # of the lane and the map kernel, a multiple of the lanes
    Py_ssize_t block_samples                # samples a call of a block function works through
    const ScoreOut *score_out               # score's alone
    const PickOut *pick_out                 # top_logprobs' and gather_logprobs' alone

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
# gradient(k) = pull * p(k) - push * v_k, but at_hole at the class that was left out of the sum. In the softmax family
# pull is the sum of upstream gradients (of softmax, weighed by p); of logsumexp, the only one.
ctypedef struct RowPoint:
    int64_t target                          # -1 with probabilities
    int64_t hole
    double shift
    double exponent
    double inverse
    double pull
    double push
    double at_hole
    double row_max              # the softmax family's: less the shift
    double nll                  # of the class of row_max

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

# What computes one family of results from rows of classes.
ctypedef struct ClassKernels:
    block_fn row                            # class axis contiguous
    part_fn part
    fold_fn fold
    grad_fn write
    block_fn lane                           # class axis strided, or few classes
    scratch_fn row_scratch
    scratch_fn lane_scratch                 # depends on job.tile_samples

# What an ISA module exports in its capsule. Indexed by real_code where there are two.
ctypedef struct KernelTable:
    block_fn check_target                   # where targets are indices
    block_fn weigh_samples                  # where they are probabilities
    block_fn check_classes                  # where they are lists of classes
    ClassKernels cross_entropy[2]
    ClassKernels softmax[2]
    ClassKernels score[2]                   # without parts, as the next
    ClassKernels gather[2]
    block_fn map[2]                         # element-wise losses
    block_fn check_unit[2]                  # input and target of BINARY
    scratch_fn map_scratch                  # depends on job.tile_samples
    block_fn row_top[2]
    block_fn lane_top[2]
    scratch_fn row_top_scratch
    scratch_fn lane_top_scratch             # depends on job.tile_samples
    block_fn nll                            # checks its targets
    block_fn nll_grad
    block_fn margin[2]
    scratch_fn margin_scratch
    Py_ssize_t tile_lanes                   # tile_samples is a multiple of it
    Py_ssize_t column_block
