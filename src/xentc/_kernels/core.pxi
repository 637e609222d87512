# The kernels of one ISA: maths only. No Python objects below the table, no OpenMP, no allocation, nothing raised.
# Included by one four-line .pyx an ISA, which differs only in the flags that setup.py compiles it with.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport exp, fabs, log, nextafter, nextafterf, rint, rintf, INFINITY, NAN
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy, memmove, memset
from xentc._kernels.api cimport *

cdef extern from "cpu.h":
    pass    # the gate: on a CPU that cannot run these kernels, their import is an ImportError

cdef extern from "vmath.h" nogil:
    const double LOG2E
    const double LN2
    const double LN2_HI_F64
    const double SPREAD_SCALE
    const double LN2_LO_F64
    const double MAGIC_F32
    const double MAGIC_F64
    float larger_f32(float x, float best)
    double larger_f64(double x, double best)
    float at_least_f32(float x, float low)
    double at_least_f64(double x, double low)
    double at_most_f64(double x, double high)
    double pow2_f64(double n)
    double one_nan_f64(double x)
    double unskew(double y)
    int64_t mask_of(bint condition)
    double select_f64(int64_t mask, double yes, double no)
    double exponent_f64(double x)
    const double SKEW_F32
    float madd_f32(float a, float b, float c)
    double madd_f64(double a, double b, double c)
    float times_f32(float coefficient, float x)
    double times_f64(double coefficient, double x)
    float from_bits_f32(uint32_t bits)
    double from_bits_f64(uint64_t bits)
    const bint BIG_ENDIAN_HOST

cdef extern from "lane_terms.h" nogil:
    enum:
        CLASS_GROUP "LANE_GROUP"    # classes between two foldings

    ctypedef struct Ahead:
        const char *near
        const char *beyond
        Py_ssize_t n_near
        Py_ssize_t step

    void add_lanes_f32(const float *x, Py_ssize_t stride, Py_ssize_t n, float first_number, const float *magic,
                       const float *low, const float *hole, const float *shift, bint shifts, float *own,
                       float *highest, double *sums, const Ahead *ahead)
    void find_lanes_f32(const float *x, Py_ssize_t stride, Py_ssize_t n, float *largest, float *second, float *found)
    const bint HAS_SPREAD_LANES

    ctypedef struct SpreadLanes:
        const float *magic
        const float *low
        const float *hole
        const float *shift
        const float *origin
        float *own
        float *highest
        float *own_mass
        double *sum
        double *spread_sum
        double *spread_mass

    void add_spread_lanes_f32(const float *x, Py_ssize_t stride, const float *given, Py_ssize_t given_stride,
                              const float *weight, bint takes_given, bint weighs, Py_ssize_t n, float first_number,
                              float keep, float share, const SpreadLanes *lanes, const Ahead *ahead,
                              const Ahead *given_ahead)
    void grad_spread_lanes_f32(const float *x, Py_ssize_t stride, const float *given, Py_ssize_t given_stride,
                               const float *weight, bint takes_given, bint weighs, Py_ssize_t n, float first_number,
                               float keep, float share, const SpreadLanes *lanes, const float *scale,
                               const float *push, const float *at_hole, float *grad, Py_ssize_t grad_stride)
    void grad_lanes_f32(const float *x, Py_ssize_t stride, Py_ssize_t n, float first_number, const float *magic,
                        const float *low, const float *hole, const float *shift, bint shifts, const float *scale,
                        const float *at_hole, float *grad, Py_ssize_t grad_stride)

cdef extern from "terms.h" nogil:
    const int EXP_STEPS
    const int EXP_BIAS
    void widen_bf16_terms(const uint16_t *halves, float *values)
    void widen_f16_terms(const uint16_t *halves, float *values)
    uint32_t terms_above_f32(const float *x, float bound, bint or_equal)
    uint32_t terms_above_f64(const double *x, double bound, bint or_equal)
    int count_above_f32(const float *x, float bound, bint or_equal, float *counts)
    int count_above_f64(const double *x, double bound, bint or_equal, double *counts)
    int lowest_bit(uint32_t bits)
    void part_hole_f32(const float *x, const float *hole, float number, float *own, float *others)
    void part_hole_f64(const double *x, const double *hole, double number, double *own, double *others)
    void larger_terms_f32(const float *x, float *best)
    void larger_terms_f64(const double *x, double *best)
    void exp_terms_f32(const float *x, float low, float magic, float *terms)
    void exp_kept_terms_f32(const float *x, float low, float magic, float *terms)
    void exp_terms_f64(const double *x, double low, double magic, double *terms)
    void exp_falling_terms_f32(const float *x, float low, float magic, float centre, float *terms, float *fall)
    void exp_falling_terms_f64(const double *x, double low, double magic, double centre, double *terms, double *fall)
    void exp_lanes_f32(const float *x, const float *low, const float *magic, bint flush, float *terms)
    void exp_lanes_f64(const double *x, const double *low, const double *magic, bint flush, double *terms)
    void exp_scaled_terms_f32(const float *x, float low, float magic, float factor, float *terms)
    void exp_scaled_terms_f64(const double *x, double low, double magic, double factor, double *terms)

cdef extern from "stretch.h" nogil:
    const bint HAS_STRETCH
    void add_stretches_f32(const char *x, bint bf16, bint f16, const char *memory, Py_ssize_t step,
                           Py_ssize_t n_stretches, int n_pairs, float low, float magic, float *highest, double *sum_exp)

cdef extern from "short_row.h" nogil:
    double add_short_f32(const char *x, bint bf16, bint f16, const char *memory, Py_ssize_t step, Py_ssize_t n,
                         Py_ssize_t hole, int n_pairs, float low, float magic, float *row_max)
    double keep_terms_f32(const float *x, Py_ssize_t n, int n_pairs, float low, float magic, float *terms,
                          float *row_max)

cdef extern from "half.h" nogil:
    float widen_f16(uint16_t half)
    float widen_bf16(uint16_t half)
    uint16_t narrow_f16(float x)
    uint16_t narrow_bf16(float x)

cdef extern from "softcap.h" nogil:
    double softcap_f64(double x, double cap)
    double softcap_slope_f64(double x, double cap)

cdef extern from "binary.h" nogil:
    float one_nan_f32(float x)
    float positive_part_f32(float t, float p, float value)
    double positive_part_f64(double t, double p, double value)
    const uint32_t ONE_F32
    const uint64_t ONE_F64
    uint32_t unit_bits_f32(float x)
    uint64_t unit_bits_f64(double x)

cdef extern from "map_terms.h" nogil:
    bint binary_hard_terms_f32(const float *x, const float *target, bint slopes, float scale, float *loss,
                               float *grad)
    bint binary_soft_terms_f32(const float *x, const float *target, bint slopes, float scale, float *loss,
                               float *grad)
    bint logit_hard_terms_f32(const float *x, const float *target, bint slopes, float scale, float *loss,
                              float *grad)
    bint logit_soft_terms_f32(const float *x, const float *target, const float *positive, bint slopes, float scale,
                              float *loss, float *grad)
    bint hinge_terms_f32(const float *x, const float *target, float margin, bint slopes, float scale, float *loss,
                         float *grad)
    bint binary_hard_terms_f64(const double *x, const double *target, bint slopes, double scale, double *loss,
                               double *grad)
    bint binary_soft_terms_f64(const double *x, const double *target, bint slopes, double scale, double *loss,
                               double *grad)
    bint logit_hard_terms_f64(const double *x, const double *target, bint slopes, double scale, double *loss,
                              double *grad)
    bint logit_soft_terms_f64(const double *x, const double *target, const double *positive, bint slopes,
                              double scale, double *loss, double *grad)
    bint hinge_terms_f64(const double *x, const double *target, double margin, bint slopes, double scale, double *loss,
                         double *grad)

cdef extern from "point.h" nogil:
    ctypedef struct SoftmaxPoint:
        double nll
        double rest_share
        double own_share
        double exponent
        double inverse
    SoftmaxPoint softmax_point(double sum_exp, double exponent, double skew, double x, bint coarse)
    ctypedef struct CoarseOdds:
        double q
        double n
        double above_own
        double far

    CoarseOdds coarse_odds(double sum_exp, double exponent, double skew, double x)
    double coarse_nll(double q, double far)
    SoftmaxPoint coarse_point(double exponent, double skew, CoarseOdds odds)

cdef extern from "sample.h" nogil:
    ctypedef struct Sums:
        double spread_sum
        double spread_mass
        double origin
        double shift
        double own
        double own_mass
        double target_weight

    ctypedef struct Slopes:
        double pull
        double push
        double at_hole

    double product(double a, double b)
    double lse_above(SoftmaxPoint point, double base)
    double sample_loss(double keep, bint spreads, bint squares, double lse_square_scale, Sums sums, SoftmaxPoint point)
    Slopes sample_slopes(double keep, bint spreads, bint squares, double lse_square_scale, Sums sums,
                         SoftmaxPoint point, double loss, double scale)
    enum:
        N_ENDS

    ctypedef struct Ends:
        double *spread_sum
        double *spread_mass
        double *origin
        double *shift
        double *own
        double *own_mass
        double *target_weight
        double *nll
        double *rest_share
        double *own_share
        double *exponent
        double *inverse
        double *scale
        double *loss
        double *pull
        double *push
        double *at_hole

    bint is_masked(double own)
    void end_coarse_losses(double keep, Ends *ends)
    void end_losses(double keep, bint spreads, bint squares, double lse_square_scale, Ends *ends)
    void end_slopes(double keep, bint spreads, bint squares, double lse_square_scale, const double *each, Ends *ends)

cdef extern from "transpose.h" nogil:
    void transpose_f32(const float *from_, Py_ssize_t from_stride, Py_ssize_t n_rows, Py_ssize_t n_columns, float *to,
                       Py_ssize_t to_stride)
    void transpose_f64(const double *from_, Py_ssize_t from_stride, Py_ssize_t n_rows, Py_ssize_t n_columns, double *to,
                       Py_ssize_t to_stride)

cdef extern from "score.h" nogil:
    ctypedef struct ScorePoint:
        double nll
        double lse
        double entropy
        double confidence
    ScorePoint score_point(SoftmaxPoint softmax, double own, double row_max, double mean_fall, double shift)

cdef extern from "stream.h" nogil:
    void stream_copy(char *to, const char *from_, size_t n_bytes)
    void stream_terms(char *to, const void *from_, size_t n_bytes)
    size_t line_ahead(const char *to)
    void stream_fence()
    void prefetch(const char *address)
    void prefetch_ahead(const char *reading)
    void prefetch_beside(const char *reading)

# The one fused type of the package: what arithmetic is done in. A function that no argument tells the type of takes
# an unused one.
ctypedef fused real:
    float
    double

include "real.pxi"
include "storage.pxi"
include "sample.pxi"
include "check.pxi"
include "row_span.pxi"
include "row.pxi"
include "row_grad.pxi"
include "row_finish.pxi"
include "lane.pxi"
include "lane_sum.pxi"
include "lane_finish.pxi"
include "softmax.pxi"
include "row_softmax.pxi"
include "row_softmax_write.pxi"
include "row_terms.pxi"
include "lane_softmax.pxi"
include "map_loops.pxi"
include "map.pxi"
include "score.pxi"
include "lane_score.pxi"
include "top.pxi"
include "lane_top.pxi"
include "nll.pxi"
include "margin.pxi"


cdef size_t row_scratch(const Job *job) noexcept nogil:
    return ROW_BUFFERS * CHUNK * (sizeof(float) if job.real_code == F32 else sizeof(double))


cdef void row_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_block(job, begin, end, scratch, totals, <float>0)


cdef void row_part_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       RowPart *part) noexcept nogil:
    one_part(job, sample, block, scratch, part, <float>0)


cdef void row_fold_f32(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                       RowPoint *point) noexcept nogil:
    finish_row(job, sample, parts, scratch, totals, point, <float>0)


cdef void row_grad_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       const RowPoint *point) noexcept nogil:
    one_grad(job, sample, block, scratch, point, <float>0)


cdef void lane_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_block(job, begin, end, scratch, totals, <float>0)


cdef void margin_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    margin_block(job, begin, end, scratch, totals, <float>0)


cdef void row_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_block(job, begin, end, scratch, totals, <double>0)


cdef void row_part_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       RowPart *part) noexcept nogil:
    one_part(job, sample, block, scratch, part, <double>0)


cdef void row_fold_f64(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                       RowPoint *point) noexcept nogil:
    finish_row(job, sample, parts, scratch, totals, point, <double>0)


cdef void row_grad_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       const RowPoint *point) noexcept nogil:
    one_grad(job, sample, block, scratch, point, <double>0)


cdef void lane_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_block(job, begin, end, scratch, totals, <double>0)


cdef void margin_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    margin_block(job, begin, end, scratch, totals, <double>0)


cdef void map_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    map_block(job, begin, end, scratch, totals, <float>0)


cdef void map_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    map_block(job, begin, end, scratch, totals, <double>0)


cdef void unit_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    check_unit_block(job, begin, end, scratch, totals, <float>0)


cdef void unit_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    check_unit_block(job, begin, end, scratch, totals, <double>0)


cdef size_t softmax_scratch(const Job *job) noexcept nogil:
    if keeps_terms(job):
        return row_scratch(job) + PART_BYTES + kept_room(job) * \
            (sizeof(float) if job.real_code == F32 else sizeof(double))
    return row_scratch(job) + (job.n_classes + COLUMN_BLOCK - 1) // COLUMN_BLOCK * sizeof(RowPart)


cdef void softmax_row_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                          Totals *totals) noexcept nogil:
    softmax_block(job, begin, end, scratch, <float>0)


cdef void softmax_part_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                           RowPart *part) noexcept nogil:
    one_softmax_part(job, sample, block, scratch, part, <float>0)


cdef void softmax_fold_f32(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                           RowPoint *point) noexcept nogil:
    finish_softmax(job, sample, parts, scratch, point, <float>0)


cdef void softmax_write_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                            const RowPoint *point) noexcept nogil:
    one_softmax_write(job, sample, block, scratch, point, <float>0)


cdef void softmax_lane_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                           Totals *totals) noexcept nogil:
    lane_softmax_block(job, begin, end, scratch, <float>0)


cdef void softmax_row_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                          Totals *totals) noexcept nogil:
    softmax_block(job, begin, end, scratch, <double>0)


cdef void softmax_part_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                           RowPart *part) noexcept nogil:
    one_softmax_part(job, sample, block, scratch, part, <double>0)


cdef void softmax_fold_f64(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                           RowPoint *point) noexcept nogil:
    finish_softmax(job, sample, parts, scratch, point, <double>0)


cdef void softmax_write_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                            const RowPoint *point) noexcept nogil:
    one_softmax_write(job, sample, block, scratch, point, <double>0)


cdef void softmax_lane_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                           Totals *totals) noexcept nogil:
    lane_softmax_block(job, begin, end, scratch, <double>0)


cdef void row_score_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_score_block(job, begin, end, scratch, <float>0)


cdef void row_score_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_score_block(job, begin, end, scratch, <double>0)


cdef void lane_score_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                         Totals *totals) noexcept nogil:
    lane_score_block(job, begin, end, scratch, <float>0)


cdef void lane_score_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                         Totals *totals) noexcept nogil:
    lane_score_block(job, begin, end, scratch, <double>0)


cdef size_t row_top_scratch(const Job *job) noexcept nogil:
    return row_scratch(job) + job.pick_out.n_picks * 16


cdef size_t lane_top_scratch(const Job *job) noexcept nogil:
    return lane_scratch(job) + job.tile_samples * job.pick_out.n_picks * 16


cdef void row_top_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_top_block(job, begin, end, scratch, <float>0)


cdef void row_top_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    row_top_block(job, begin, end, scratch, <double>0)


cdef void lane_top_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_pick_block(job, begin, end, scratch, True, <float>0)


cdef void lane_top_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_pick_block(job, begin, end, scratch, True, <double>0)


cdef void row_gather_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                         Totals *totals) noexcept nogil:
    row_gather_block(job, begin, end, scratch, <float>0)


cdef void row_gather_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                         Totals *totals) noexcept nogil:
    row_gather_block(job, begin, end, scratch, <double>0)


cdef void lane_gather_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                          Totals *totals) noexcept nogil:
    lane_pick_block(job, begin, end, scratch, False, <float>0)


cdef void lane_gather_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                          Totals *totals) noexcept nogil:
    lane_pick_block(job, begin, end, scratch, False, <double>0)


cdef KernelTable TABLE
TABLE.check_target, TABLE.weigh_samples, TABLE.check_classes = check_target, weigh_samples, check_classes
TABLE.cross_entropy[F32] = ClassKernels(row_f32, row_part_f32, row_fold_f32, row_grad_f32, lane_f32,
                                        row_scratch, lane_scratch)
TABLE.cross_entropy[F64] = ClassKernels(row_f64, row_part_f64, row_fold_f64, row_grad_f64, lane_f64,
                                        row_scratch, lane_scratch)
TABLE.softmax[F32] = ClassKernels(softmax_row_f32, softmax_part_f32, softmax_fold_f32, softmax_write_f32,
                                  softmax_lane_f32, softmax_scratch, lane_scratch)
TABLE.softmax[F64] = ClassKernels(softmax_row_f64, softmax_part_f64, softmax_fold_f64, softmax_write_f64,
                                  softmax_lane_f64, softmax_scratch, lane_scratch)
TABLE.score[F32] = ClassKernels(row_score_f32, NULL, NULL, NULL, lane_score_f32, row_scratch, lane_scratch)
TABLE.score[F64] = ClassKernels(row_score_f64, NULL, NULL, NULL, lane_score_f64, row_scratch, lane_scratch)
TABLE.gather[F32] = ClassKernels(row_gather_f32, NULL, NULL, NULL, lane_gather_f32, row_scratch, lane_scratch)
TABLE.gather[F64] = ClassKernels(row_gather_f64, NULL, NULL, NULL, lane_gather_f64, row_scratch, lane_scratch)
TABLE.map[F32], TABLE.map[F64] = map_f32, map_f64
TABLE.check_unit[F32], TABLE.check_unit[F64] = unit_f32, unit_f64
TABLE.map_scratch = map_scratch
TABLE.row_top[F32], TABLE.row_top[F64] = row_top_f32, row_top_f64
TABLE.lane_top[F32], TABLE.lane_top[F64] = lane_top_f32, lane_top_f64
TABLE.row_top_scratch, TABLE.lane_top_scratch = row_top_scratch, lane_top_scratch
TABLE.nll, TABLE.nll_grad = nll_block, nll_grad_block
TABLE.margin[F32], TABLE.margin[F64] = margin_f32, margin_f64
TABLE.margin_scratch = margin_scratch
TABLE.tile_lanes, TABLE.column_block = LANE_WIDTH, COLUMN_BLOCK

# The name keeps a capsule of another version of the table from being taken for this one.
CAPSULE = PyCapsule_New(&TABLE, "xentc.KernelTable", NULL)
