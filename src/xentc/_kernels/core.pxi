# The kernels of one ISA: maths only. No Python objects below the table, no OpenMP, no allocation, nothing raised.
# Included by one four-line .pyx an ISA, which differs only in the flags that setup.py compiles it with.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport exp, fabs, log, rint, INFINITY, NAN
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy, memset
from xentc._kernels.api cimport *

cdef extern from "vmath.h" nogil:
    const double LOG2E
    const double LN2
    const double LN2_HI_F64
    const double SPREAD_SCALE
    const double LN2_LO_F64
    const double MAGIC_F32
    const double MAGIC_F64
    float exp_over_f32(float x, float magic)
    double exp_over_f64(double x, double magic)
    float exp_over_scaled_f32(float x, float magic, float scale)
    double exp_over_scaled_f64(double x, double magic, double scale)
    float larger_f32(float x, float best)
    double larger_f64(double x, double best)
    float at_least_f32(float x, float low)
    double at_least_f64(double x, double low)
    double pow2_f64(double n)
    double one_nan_f64(double x)
    double unskew(double n, double skew)
    const double SKEW_F32
    const double SKEW_F64
    float madd_f32(float a, float b, float c)
    double madd_f64(double a, double b, double c)
    float times_f32(float coefficient, float x)
    double times_f64(double coefficient, double x)
    float from_bits_f32(uint32_t bits)
    double from_bits_f64(uint64_t bits)
    const bint BIG_ENDIAN_HOST

cdef extern from "half.h" nogil:
    float widen_f16(uint16_t half)
    float widen_bf16(uint16_t half)
    uint16_t narrow_f16(float x)
    uint16_t narrow_bf16(float x)

cdef extern from "softcap.h" nogil:
    double softcap_f64(double x, double cap)
    double softcap_slope_f64(double x, double cap)

cdef extern from "point.h" nogil:
    ctypedef struct SoftmaxPoint:
        double nll
        double rest_share
        double own_share
        double exponent
        double inverse
    SoftmaxPoint softmax_point(double sum_exp, double exponent, double x)

cdef extern from "stream.h" nogil:
    void stream_copy(char *to, const char *from_, size_t n_bytes)
    void stream_fence()
    void prefetch(const char *address)

# The one fused type of the package: what arithmetic is done in. A function that no argument tells the type of takes
# an unused one.
ctypedef fused real:
    float
    double

include "real.pxi"
include "storage.pxi"
include "sample.pxi"
include "check.pxi"
include "row.pxi"
include "row_grad.pxi"
include "lane.pxi"
include "lane_finish.pxi"
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


cdef KernelTable TABLE
TABLE.check_target, TABLE.weigh_samples, TABLE.check_classes = check_target, weigh_samples, check_classes
TABLE.row[F32], TABLE.row[F64] = row_f32, row_f64
TABLE.row_part[F32], TABLE.row_part[F64] = row_part_f32, row_part_f64
TABLE.row_fold[F32], TABLE.row_fold[F64] = row_fold_f32, row_fold_f64
TABLE.row_grad[F32], TABLE.row_grad[F64] = row_grad_f32, row_grad_f64
TABLE.lane[F32], TABLE.lane[F64] = lane_f32, lane_f64
TABLE.nll, TABLE.nll_grad = nll_block, nll_grad_block
TABLE.margin[F32], TABLE.margin[F64] = margin_f32, margin_f64
TABLE.row_scratch, TABLE.lane_scratch, TABLE.margin_scratch = row_scratch, lane_scratch, margin_scratch
TABLE.tile_lanes, TABLE.column_block = LANE_WIDTH, COLUMN_BLOCK

# The name keeps a capsule of another version of the table from being taken for this one.
CAPSULE = PyCapsule_New(&TABLE, "xentc.KernelTable", NULL)
