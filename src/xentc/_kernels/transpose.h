/* to[j][i] = from[i][j], in blocks: number by number a transposed tile costs more than its exponentials.
 *
 * a) A block is 4 by 4 numbers of 16 bytes' worth, or, of floats and where vectors are longer, WIDE rows by 4 columns or
 *    4 rows by WIDE columns: as many blocks of 4 by 4 in one vector, half the instructions.
 * b) Strides are in numbers. A rest narrower than a block is a block that overlaps the one before: no number is read or
 *    written but those of the rectangle.
 */
#ifndef XENTC_TRANSPOSE_H
#define XENTC_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>
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

#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDE 16
typedef __m512 wide_f32;
#define load_wide _mm512_loadu_ps
#define store_wide _mm512_storeu_ps
#define low_pairs _mm512_unpacklo_ps
#define high_pairs _mm512_unpackhi_ps

/* Four numbers of each of the rows i, i + 4, i + 8 and i + 12. */
static inline wide_f32 load_quads(const float *from, ptrdiff_t stride) {
    __m512 quads = _mm512_castps128_ps512(_mm_loadu_ps(from));
    quads = _mm512_insertf32x4(quads, _mm_loadu_ps(from + 4 * stride), 1);
    quads = _mm512_insertf32x4(quads, _mm_loadu_ps(from + 8 * stride), 2);
    return _mm512_insertf32x4(quads, _mm_loadu_ps(from + 12 * stride), 3);
}

static inline void store_quads(wide_f32 quads, float *to, ptrdiff_t stride) {
    _mm_storeu_ps(to, _mm512_castps512_ps128(quads));
    _mm_storeu_ps(to + 4 * stride, _mm512_extractf32x4_ps(quads, 1));
    _mm_storeu_ps(to + 8 * stride, _mm512_extractf32x4_ps(quads, 2));
    _mm_storeu_ps(to + 12 * stride, _mm512_extractf32x4_ps(quads, 3));
}
#elif defined(__AVX2__)
#include <immintrin.h>
#define WIDE 8
typedef __m256 wide_f32;
#define load_wide _mm256_loadu_ps
#define store_wide _mm256_storeu_ps
#define low_pairs _mm256_unpacklo_ps
#define high_pairs _mm256_unpackhi_ps

static inline wide_f32 load_quads(const float *from, ptrdiff_t stride) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(from)), _mm_loadu_ps(from + 4 * stride), 1);
}

static inline void store_quads(wide_f32 quads, float *to, ptrdiff_t stride) {
    _mm_storeu_ps(to, _mm256_castps256_ps128(quads));
    _mm_storeu_ps(to + 4 * stride, _mm256_extractf128_ps(quads, 1));
}
#endif

#if defined(WIDE)
/* Each block of 4 by 4 of the four vectors, in place. */
static inline void transpose_quads(wide_f32 row[4]) {
    wide_f32 low0 = low_pairs(row[0], row[2]), high0 = high_pairs(row[0], row[2]);
    wide_f32 low1 = low_pairs(row[1], row[3]), high1 = high_pairs(row[1], row[3]);
    row[0] = low_pairs(low0, low1);
    row[1] = high_pairs(low0, low1);
    row[2] = low_pairs(high0, high1);
    row[3] = high_pairs(high0, high1);
}

static inline void transpose_tall_f32(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride) {
    wide_f32 row[4];
    for (int i = 0; i < 4; i++) row[i] = load_quads(from + i * from_stride, from_stride);
    transpose_quads(row);
    for (int i = 0; i < 4; i++) store_wide(to + i * to_stride, row[i]);
}

static inline void transpose_broad_f32(const float *from, ptrdiff_t from_stride, float *to, ptrdiff_t to_stride) {
    wide_f32 row[4];
    for (int i = 0; i < 4; i++) row[i] = load_wide(from + i * from_stride);
    transpose_quads(row);
    for (int i = 0; i < 4; i++) store_quads(row[i], to + i * to_stride, to_stride);
}
#else
#define WIDE PTRDIFF_MAX
#define transpose_tall_f32(from, from_stride, to, to_stride)
#define transpose_broad_f32(from, from_stride, to, to_stride)
#endif

#define FOR_BLOCKS(n_rows, rows, n_columns, columns, one_block)                                                       \
    for (ptrdiff_t i = 0; i < n_rows; i += rows) {                                                                    \
        i = i < n_rows - rows ? i : n_rows - rows;                                                                    \
        for (ptrdiff_t j = 0; j < n_columns; j += columns) {                                                          \
            j = j < n_columns - columns ? j : n_columns - columns;                                                    \
            one_block(from + i * from_stride + j, from_stride, to + j * to_stride + i, to_stride);                    \
        }                                                                                                             \
    }

static inline void transpose_f32(const float *from, ptrdiff_t from_stride, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                 float *to, ptrdiff_t to_stride) {
    if (n_rows >= WIDE && n_columns >= BLOCK_F32) {
        FOR_BLOCKS(n_rows, WIDE, n_columns, BLOCK_F32, transpose_tall_f32)
    } else if (n_rows >= BLOCK_F32 && n_columns >= WIDE) {
        FOR_BLOCKS(n_rows, BLOCK_F32, n_columns, WIDE, transpose_broad_f32)
    } else if (n_rows >= BLOCK_F32 && n_columns >= BLOCK_F32) {
        FOR_BLOCKS(n_rows, BLOCK_F32, n_columns, BLOCK_F32, transpose_block_f32)
    } else {
        for (ptrdiff_t i = 0; i < n_rows; i++)
            for (ptrdiff_t j = 0; j < n_columns; j++) to[j * to_stride + i] = from[i * from_stride + j];
    }
}

static inline void transpose_f64(const double *from, ptrdiff_t from_stride, ptrdiff_t n_rows, ptrdiff_t n_columns,
                                 double *to, ptrdiff_t to_stride) {
    if (n_rows >= BLOCK_F64 && n_columns >= BLOCK_F64) {
        FOR_BLOCKS(n_rows, BLOCK_F64, n_columns, BLOCK_F64, transpose_block_f64)
    } else {
        for (ptrdiff_t i = 0; i < n_rows; i++)
            for (ptrdiff_t j = 0; j < n_columns; j++) to[j * to_stride + i] = from[i * from_stride + j];
    }
}

#endif
