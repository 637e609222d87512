/* The sum of a short row of floats or halves, but for its hole: to the bit what cut_span() and add_groups() of
 * row_span.pxi make of it, which for a row of 250 classes take 1.6 times as long as its exponentials.
 *
 * a) All sums stay in registers, and nothing is said of the row in memory: the group that holds the hole is masked, and so
 *    is the last one, where row_span.pxi makes copies. They come last, as there.
 * b) A sum of floats is folded into a sum of doubles when `room` groups are in it, wherever the hole lies.
 */
#ifndef XENTC_SHORT_ROW_H
#define XENTC_SHORT_ROW_H

#include "stretch.h"

#if HAS_STRETCH
#define ROW_DOUBLES (N_TERMS / VECTOR_DOUBLES)

static const float NUMBERS[N_TERMS] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                       16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

typedef struct {
    floats low, magic;
    floats best[GROUP_VECTORS];
    floats partial[GROUP_VECTORS];
    doubles sums[ROW_DOUBLES];
    int room; /* groups until the floats are folded */
} RowSums;

/* The first n of a vector's numbers, and -inf. Nothing behind them is read. */
ALWAYS_INLINE floats load_first(const float *x, ptrdiff_t n) {
    const floats nothing = all_f32((float)-INFINITY_F64);
#if defined(__AVX512F__)
    __mmask16 first = n >= VECTOR_FLOATS ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
    return _mm512_mask_loadu_ps(nothing, first, x);
#else
    floats first = _mm256_cmp_ps(load_f32(NUMBERS), all_f32((float)n), _CMP_LT_OQ);
    return or_bits(and_not_bits(first, nothing), _mm256_maskload_ps(x, _mm256_castps_si256(first)));
#endif
}

/* A group of which n numbers are there, without the hole: a place in it, or -1. */
ALWAYS_INLINE void load_group(const char *x, ptrdiff_t n, ptrdiff_t hole, int bf16, int f16, floats *group) {
    const float *logits = (const float *)(const void *)x;
    float values[N_TERMS];
    if (bf16 || f16) {
        const uint16_t *halves = (const uint16_t *)(const void *)x;
        uint16_t first[N_TERMS];
        if (n < N_TERMS) {
            for (int i = 0; i < N_TERMS; i++)
                first[i] = i < n ? halves[i] : bf16 ? 0xff80 : 0xfc00; /* -inf */
            halves = first;
        }
        if (bf16)
            widen_bf16_terms(halves, values);
        else
            widen_f16_terms(halves, values);
        logits = values, n = N_TERMS;
    }
    for (int i = 0; i < GROUP_VECTORS; i++) {
        ptrdiff_t begin = i * VECTOR_FLOATS;
        group[i] = n < N_TERMS ? load_first(logits + begin, n - begin) : load_f32(logits + begin);
        group[i] = where_equal(load_f32(NUMBERS + begin), all_f32((float)hole), all_f32((float)-INFINITY_F64), group[i]);
    }
}

ALWAYS_INLINE void begin_row_sums(RowSums *row, float low, float magic, int n_pairs) {
    row->low = all_f32(low), row->magic = all_f32(magic), row->room = 2 * n_pairs;
    for (int i = 0; i < GROUP_VECTORS; i++)
        row->best[i] = all_f32((float)-INFINITY_F64), row->partial[i] = all_f32(0);
    for (int i = 0; i < ROW_DOUBLES; i++)
        row->sums[i] = zero_f64();
}

ALWAYS_INLINE void fold_row(RowSums *row) {
    for (int i = 0; i < GROUP_VECTORS; i++) {
        fold_floats(row->partial[i], row->sums + ROW_DOUBLES / GROUP_VECTORS * i);
        row->partial[i] = all_f32(0);
    }
}

/* Of numbers in registers. */
ALWAYS_INLINE void group_terms(RowSums *row, const floats *group, floats *terms) {
    for (int i = 0; i < GROUP_VECTORS; i++) {
        row->best[i] = larger_of(group[i], row->best[i]);
        terms[i] = exp_floats(larger_of(row->low, group[i]), row->magic, 0);
    }
}

/* Of a group that lies in memory; each stands for itself later on, and so is 0 where it would be subnormal. */
ALWAYS_INLINE void keep_group_terms(RowSums *row, const float *x, floats *terms, float *to) {
    for (int i = 0; i < GROUP_VECTORS; i++) {
        floats value = load_f32(x + i * VECTOR_FLOATS);
        row->best[i] = larger_of(value, row->best[i]);
        terms[i] = exp_floats(larger_of(row->low, value), row->magic, 1);
        store_f32(to + i * VECTOR_FLOATS, terms[i]);
    }
}

ALWAYS_INLINE void add_terms(RowSums *row, const floats *terms) {
    for (int i = 0; i < GROUP_VECTORS; i++)
        row->partial[i] = add(row->partial[i], terms[i]);
}

/* Whole groups that lie side by side. */
ALWAYS_INLINE void add_whole(RowSums *row, const char *x, ptrdiff_t n_groups, int bf16, int f16, const char *memory,
                             ptrdiff_t step, int n_pairs) {
    const ptrdiff_t size = N_TERMS * (bf16 || f16 ? 2 : 4);
    while (n_groups > 0) {
        int n = n_groups < row->room ? (int)n_groups : row->room;
        n_groups -= n, row->room -= n;
        for (; n > 0; n -= 2) {
            float values[2 * N_TERMS];
            const float *logits = (const float *)(const void *)x;
            int both = n > 1;
            for (ptrdiff_t offset = 0; offset < size; offset += 64) {
                prefetch_ahead(memory + offset);
                if (both) prefetch_ahead(memory + step + offset);
            }
            if (bf16 || f16) {
                for (int i = 0; i <= both; i++) {
                    const uint16_t *halves = (const uint16_t *)(const void *)x + i * N_TERMS;
                    if (bf16)
                        widen_bf16_terms(halves, values + i * N_TERMS);
                    else
                        widen_f16_terms(halves, values + i * N_TERMS);
                }
                logits = values;
            }
            if (both) {
                add_pair(logits, row->low, row->magic, row->best, row->partial);
            } else {
                floats group[GROUP_VECTORS], terms[GROUP_VECTORS];
                for (int i = 0; i < GROUP_VECTORS; i++)
                    group[i] = load_f32(logits + i * VECTOR_FLOATS);
                group_terms(row, group, terms);
                add_terms(row, terms);
            }
            x += (1 + both) * size, memory += (1 + both) * step;
        }
        if (row->room == 0) {
            fold_row(row);
            row->room = 2 * n_pairs;
        }
    }
}

/* The lanes' sums and the largest of them, in the order of fold_lanes() and largest_lane(). */
ALWAYS_INLINE double fold_sums(const doubles *lanes) {
    double four[4];
    doubles sums[ROW_DOUBLES];
    for (int i = 0; i < ROW_DOUBLES; i++)
        sums[i] = lanes[i];
    for (int n = ROW_DOUBLES / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            sums[i] = add_f64(sums[i], sums[i + n]);
#if defined(__AVX512F__)
    _mm256_storeu_pd(four, _mm256_add_pd(_mm512_castpd512_pd256(sums[0]), _mm512_extractf64x4_pd(sums[0], 1)));
#else
    store_f64(four, sums[0]);
#endif
    return (four[0] + four[2]) + (four[1] + four[3]);
}

ALWAYS_INLINE float largest_of(const floats *lanes) {
    floats best[GROUP_VECTORS];
    for (int i = 0; i < GROUP_VECTORS; i++)
        best[i] = lanes[i];
    for (int n = GROUP_VECTORS / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            best[i] = larger_of(best[i + n], best[i]);
#if defined(__AVX512F__)
    __m256 eight = _mm256_max_ps(_mm512_extractf32x8_ps(best[0], 1), _mm512_castps512_ps256(best[0]));
#else
    __m256 eight = best[0];
#endif
    __m128 four = _mm_max_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));
    __m128 two = _mm_max_ps(_mm_movehl_ps(four, four), four);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(two), two));
}

/* x: floats, or halves of one kind or the other; memory, step: what is prefetched, as in Run. n_pairs: GROUPS. */
ALWAYS_INLINE double add_short_f32(const char *x, int bf16, int f16, const char *memory, ptrdiff_t step, ptrdiff_t n,
                                   ptrdiff_t hole, int n_pairs, float low, float magic, float *row_max) {
    const ptrdiff_t size = N_TERMS * (bf16 || f16 ? 2 : 4), n_groups = n / N_TERMS, n_last = n % N_TERMS;
    int parted = 0 <= hole && hole < n_groups * N_TERMS; /* a whole group holds the hole */
    ptrdiff_t before = parted ? hole / N_TERMS : n_groups, after = parted ? n_groups - before - 1 : 0;
    RowSums row;
    begin_row_sums(&row, low, magic, n_pairs);
    for (int i = 0; i < 2; i++) {
        ptrdiff_t first = i ? before + 1 : 0;
        add_whole(&row, x + first * size, i ? after : before, bf16, f16, memory + first * step, step, n_pairs);
    }
    floats group[GROUP_VECTORS], parted_terms[GROUP_VECTORS], last_terms[GROUP_VECTORS];
    if (parted) {
        load_group(x + before * size, N_TERMS, hole % N_TERMS, bf16, f16, group);
        group_terms(&row, group, parted_terms);
    }
    if (n_last) {
        load_group(x + n_groups * size, n_last, hole - n_groups * N_TERMS, bf16, f16, group);
        group_terms(&row, group, last_terms);
    }
    if (parted && n_last && row.room > 1) {
        for (int i = 0; i < GROUP_VECTORS; i++)
            row.partial[i] = add(row.partial[i], add(parted_terms[i], last_terms[i]));
    } else {
        if (parted) {
            add_terms(&row, parted_terms);
            if (row.room == 1) fold_row(&row);
        }
        if (n_last) add_terms(&row, last_terms);
    }
    fold_row(&row);
    *row_max = largest_of(row.best);
    return fold_sums(row.sums);
}

/* The sum of a row whose terms are kept, as keep_groups() of row_terms.pxi makes it: those of n classes, and 0 behind them
 * up to a whole group. */
ALWAYS_INLINE double keep_terms_f32(const float *x, ptrdiff_t n, int n_pairs, float low, float magic, float *terms,
                                    float *row_max) {
    RowSums row;
    floats group[GROUP_VECTORS], first[GROUP_VECTORS], second[GROUP_VECTORS];
    begin_row_sums(&row, low, magic, n_pairs);
    for (; n >= 2 * N_TERMS && row.room > 1; n -= 2 * N_TERMS, x += 2 * N_TERMS, terms += 2 * N_TERMS) {
        for (int i = 0; i < 2 * N_TERMS; i += 64 / sizeof(float))
            prefetch_ahead((const char *)(x + i));
        keep_group_terms(&row, x, first, terms);
        keep_group_terms(&row, x + N_TERMS, second, terms + N_TERMS);
        for (int i = 0; i < GROUP_VECTORS; i++)
            row.partial[i] = add(row.partial[i], add(first[i], second[i]));
        row.room -= 2;
        if (row.room == 0) {
            fold_row(&row);
            row.room = 2 * n_pairs;
        }
    }
    for (; n > 0; n -= N_TERMS, x += N_TERMS, terms += N_TERMS) { /* a group at most, and a part of one */
        load_group((const char *)x, n, -1, 0, 0, group);
        for (int i = 0; i < GROUP_VECTORS; i++) {
            row.best[i] = larger_of(group[i], row.best[i]);
            first[i] = exp_floats(larger_of(row.low, group[i]), row.magic, 1);
            store_f32(terms + i * VECTOR_FLOATS, first[i]);
        }
        add_terms(&row, first);
        if (--row.room == 0) {
            fold_row(&row);
            row.room = 2 * n_pairs;
        }
    }
    fold_row(&row);
    *row_max = largest_of(row.best);
    return fold_sums(row.sums);
}

#else
static inline double keep_terms_f32(const float *x, ptrdiff_t n, int n_pairs, float low, float magic, float *terms,
                                    float *row_max) {
    return 0.0;
}
static inline double add_short_f32(const char *x, int bf16, int f16, const char *memory, ptrdiff_t step, ptrdiff_t n,
                                   ptrdiff_t hole, int n_pairs, float low, float magic, float *row_max) {
    return 0.0;
}
#endif
#endif
