/* to[j][i] = from[i][j], in blocks of 16 bytes square: number by number a transposed tile costs more than its exponentials. */
#ifndef XENTC_TRANSPOSE_H
#define XENTC_TRANSPOSE_H

#include <stddef.h>
#include <string.h>

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define XENTC_SHUFFLE 1
#endif
#endif

#if defined(XENTC_SHUFFLE)
typedef float vector_f32 __attribute__((vector_size(16)));
typedef double vector_f64 __attribute__((vector_size(16)));

static inline void transpose_block_f32(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride) {
    vector_f32 row[4], low[2], high[2], column;
    for (int i = 0; i < 4; i++) memcpy(&row[i], from + i * from_stride, sizeof row[i]);
    for (int i = 0; i < 2; i++) {
        low[i] = __builtin_shufflevector(row[i], row[i + 2], 0, 4, 1, 5);
        high[i] = __builtin_shufflevector(row[i], row[i + 2], 2, 6, 3, 7);
    }
    column = __builtin_shufflevector(low[0], low[1], 0, 4, 1, 5);
    memcpy(to, &column, sizeof column);
    column = __builtin_shufflevector(low[0], low[1], 2, 6, 3, 7);
    memcpy(to + to_stride, &column, sizeof column);
    column = __builtin_shufflevector(high[0], high[1], 0, 4, 1, 5);
    memcpy(to + 2 * to_stride, &column, sizeof column);
    column = __builtin_shufflevector(high[0], high[1], 2, 6, 3, 7);
    memcpy(to + 3 * to_stride, &column, sizeof column);
}

static inline void transpose_block_f64(const double *from, ptrdiff_t from_stride, double *to, ptrdiff_t to_stride) {
    vector_f64 row[2], column;
    for (int i = 0; i < 2; i++) memcpy(&row[i], from + i * from_stride, sizeof row[i]);
    column = __builtin_shufflevector(row[0], row[1], 0, 2);
    memcpy(to, &column, sizeof column);
    column = __builtin_shufflevector(row[0], row[1], 1, 3);
    memcpy(to + to_stride, &column, sizeof column);
}
#define BLOCK_F32 4
#define BLOCK_F64 2
#else
#define BLOCK_F32 PTRDIFF_MAX
#define BLOCK_F64 PTRDIFF_MAX
#define transpose_block_f32(from, from_stride, to, to_stride)
#define transpose_block_f64(from, from_stride, to, to_stride)
#endif

/* Strides in numbers. A rest narrower than a block is a block that overlaps the one before: no number is read or written
 * but those of the rectangle. */
#define DEFINE_TRANSPOSE(type, name, block, one_block)                                                                  \
    static inline void name(const type *from, ptrdiff_t from_stride, ptrdiff_t n_rows, ptrdiff_t n_columns, type *to,   \
                            ptrdiff_t to_stride) {                                                                      \
        if (n_rows < block || n_columns < block) {                                                                      \
            for (ptrdiff_t i = 0; i < n_rows; i++)                                                                      \
                for (ptrdiff_t j = 0; j < n_columns; j++) to[j * to_stride + i] = from[i * from_stride + j];            \
            return;                                                                                                     \
        }                                                                                                               \
        for (ptrdiff_t i = 0; i < n_rows; i += block) {                                                                 \
            i = i < n_rows - block ? i : n_rows - block;                                                                \
            for (ptrdiff_t j = 0; j < n_columns; j += block) {                                                          \
                j = j < n_columns - block ? j : n_columns - block;                                                      \
                one_block(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);                  \
            }                                                                                                           \
        }                                                                                                               \
    }

DEFINE_TRANSPOSE(float, transpose_f32, BLOCK_F32, transpose_block_f32)
DEFINE_TRANSPOSE(double, transpose_f64, BLOCK_F64, transpose_block_f64)

#endif
