cimport numpy as cnp

cdef str kind_of(object value)
cdef str shape_text(cnp.ndarray array)
cdef bint same_shape(cnp.ndarray a, cnp.ndarray b)
cdef int dtype_code(cnp.ndarray array) except -2
cdef cnp.ndarray logits_array(object value)
cdef cnp.ndarray target_array(object value, cnp.ndarray logits, bint or_given)
cdef cnp.ndarray index_array(object value, str name)
cdef cnp.ndarray real_array(object value, str name)
cdef cnp.ndarray class_array(object value, str name, Py_ssize_t n_classes)
cdef double real_scalar(object value, str name) except? -1
cdef int check_result(object array, str name, tuple shape, object dtype, str need) except -1
cdef int check_overlap(object written, str name, object read, str read_name, bint in_place) except -1
cdef object attribute(object value, str name)
cdef bint is_one_of(object value, object kinds) except -1
