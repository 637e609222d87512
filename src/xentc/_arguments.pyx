"""From arguments to a Job: every check and every error, before anything is computed or written.

a) A layout is the sample axes with their strides, and the class axis with its own. Neighbouring axes that lie on one
   stride in every operand are merged, so that a kernel's inner axis is as long as it can be.
b) An error names its argument first, then what was got, then what was expected.
"""

cimport cython
cimport numpy as cnp
from libc.math cimport INFINITY, NAN
from libc.stdint cimport int64_t

import operator
import warnings

import numpy as np

from xentc._arrays cimport (attribute, check_overlap, check_result, class_array, dtype_code, index_array, is_one_of,
                            logits_array, real_array, real_scalar, same_shape, shape_text, target_array)
from xentc._engine cimport (check_class_lists, check_elements, check_targets, pass_fn, run_cross_entropy, run_elements,
                            run_gather, run_margin, run_nll, run_nll_grad, run_score, run_softmax, run_top)
from xentc._kernels.api cimport *

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype descr, object base)
    cnp.ndarray PyArray_NewLikeArray(cnp.ndarray prototype, cnp.NPY_ORDER order, void *descr, int subok)

cdef extern from "_process.h" nogil:
    ctypedef unsigned int FloatMode
    FloatMode standard_float_mode()
    void restore_float_mode(FloatMode before)

cdef enum Reduction:
    NONE, MEAN, SUM

cdef cnp.dtype FLOAT32 = np.dtype(np.float32)
cdef cnp.dtype FLOAT64 = np.dtype(np.float64)


@cython.final
@cython.freelist(8)
cdef class StandardMode:
    """The standard floating-point mode of this thread as long as it lives: the local variable of a call, which also an
    error ends. The engine's regions set it for their threads; options, weights and what is returned are computed here.
    """
    cdef FloatMode before

    def __cinit__(self):
        self.before = standard_float_mode()

    def __dealloc__(self):
        restore_float_mode(self.before)


include "_calls/options.pxi"
include "_calls/layout.pxi"
include "_calls/results.pxi"
include "_calls/cross_entropy.pxi"
include "_calls/elementwise.pxi"
include "_calls/softmax.pxi"
include "_calls/score.pxi"
include "_calls/nll.pxi"
include "_calls/margin.pxi"
