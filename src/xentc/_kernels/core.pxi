# The kernels of one ISA: maths only. No Python objects below the table, no OpenMP, no allocation, nothing raised.
# Included by one four-line .pyx an ISA, which differs only in the flags that setup.py compiles it with.

from cpython.pycapsule cimport PyCapsule_New
from libc.math cimport fabs, rint, INFINITY, NAN
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport llabs
from libc.string cimport memcpy, memset
from xentc._kernels.api cimport *

cdef extern from "vmath.h" nogil:
    const double LOG2E
    const double LN2
    const double MAGIC_F32
    const double MAGIC_F64
    float exp_over_f32(float x, float magic)
    double exp_over_f64(double x, double magic)
    float larger_f32(float x, float best)
    double larger_f64(double x, double best)
    float at_least_f32(float x, float low)
    double at_least_f64(double x, double low)
    double pow2_f64(double n)

cdef extern from "point.h" nogil:
    ctypedef struct SoftmaxPoint:
        double nll
        double rest_share
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

include "tile.pxi"
include "check.pxi"
include "row.pxi"
include "lane.pxi"
include "lane_grad.pxi"


cdef size_t row_scratch(const Job *job) noexcept nogil:
    return 2 * CHUNK * (sizeof(float) if job.real_code == F32 else sizeof(double))


cdef void row_block_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                        Totals *totals) noexcept nogil:
    row_block(job, begin, end, <float *>scratch, totals)


cdef void row_block_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch,
                        Totals *totals) noexcept nogil:
    row_block(job, begin, end, <double *>scratch, totals)


cdef void row_part_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       RowPart *part) noexcept nogil:
    one_part(job, sample, block, <float *>scratch, part)


cdef void row_part_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       RowPart *part) noexcept nogil:
    one_part(job, sample, block, <double *>scratch, part)


cdef void row_fold_f32(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                       RowPoint *point) noexcept nogil:
    finish_row(job, sample, parts, <float *>scratch, totals, point)


cdef void row_fold_f64(const Job *job, Py_ssize_t sample, const RowPart *parts, char *scratch, Totals *totals,
                       RowPoint *point) noexcept nogil:
    finish_row(job, sample, parts, <double *>scratch, totals, point)


cdef void row_grad_f32(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       const RowPoint *point) noexcept nogil:
    one_grad(job, sample, block, <float *>scratch, point)


cdef void row_grad_f64(const Job *job, Py_ssize_t sample, Py_ssize_t block, char *scratch,
                       const RowPoint *point) noexcept nogil:
    one_grad(job, sample, block, <double *>scratch, point)


cdef void lane_f32(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_block(job, begin, end, scratch, totals, <float>0)


cdef void lane_f64(const Job *job, Py_ssize_t begin, Py_ssize_t end, char *scratch, Totals *totals) noexcept nogil:
    lane_block(job, begin, end, scratch, totals, <double>0)


cdef KernelTable TABLE
TABLE.check_target = check_target
TABLE.row[F32], TABLE.row[F64] = row_block_f32, row_block_f64
TABLE.row_part[F32], TABLE.row_part[F64] = row_part_f32, row_part_f64
TABLE.row_fold[F32], TABLE.row_fold[F64] = row_fold_f32, row_fold_f64
TABLE.row_grad[F32], TABLE.row_grad[F64] = row_grad_f32, row_grad_f64
TABLE.lane[F32], TABLE.lane[F64] = lane_f32, lane_f64
TABLE.row_scratch, TABLE.lane_scratch = row_scratch, lane_scratch
TABLE.tile_lanes, TABLE.column_block = LANE_WIDTH, COLUMN_BLOCK

# The name keeps a capsule of another version of the table from being taken for this one.
CAPSULE = PyCapsule_New(&TABLE, "xentc.KernelTable", NULL)
