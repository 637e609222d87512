/* The hottest loop of all, spelled out for AVX-512: groups of logits added up in stretches, each from one folding of
 * float sums into double ones to the next. To the bit what add_groups() of row_span.pxi does elsewhere.
 *
 * a) The four vectors of a pair go through each stage together, and are pinned there: gcc puts one behind the other, and
 *    the scheduler fills with operations that wait.
 * b) The sums never leave their registers. Where gcc keeps them on the stack between loops, each folding
 *    waits for its own stores, some 20 cycles of 250.
 * Together 1.1 times as fast from the second-level cache.
 */
#ifndef XENTC_STRETCH_H
#define XENTC_STRETCH_H

#include "stream.h"
#include "terms.h"

#if defined(__AVX512F__) && (defined(__GNUC__) || defined(__clang__))
#define HAS_STRETCH 1
#define PAIR_VECTORS (2 * N_TERMS / VECTOR_FLOATS)
#define PIN(v) __asm__ volatile("" : "+v"((v)[0]), "+v"((v)[1]), "+v"((v)[2]), "+v"((v)[3]))

/* The terms of four vectors, as exp_floats(). */
ALWAYS_INLINE void exp_pair(const float *x, floats low, floats magic, floats *highest, floats *terms) {
    floats clamped[PAIR_VECTORS], n[PAIR_VECTORS], r[PAIR_VECTORS], scale[PAIR_VECTORS];
    for (int i = 0; i < PAIR_VECTORS; i++) {
        floats value = load_f32(x + i * VECTOR_FLOATS);
        highest[i % 2] = larger_of(value, highest[i % 2]);
        clamped[i] = larger_of(low, value);
        n[i] = multiply_add(clamped[i], all_f32((float)(EXP_STEPS * LOG2E)), magic);
    }
    PIN(n);
    for (int i = 0; i < PAIR_VECTORS; i++) {
        words t = words_of(n[i]);
        scale[i] = floats_of(add_words(look_up(load_words(FRACTIONS), t), shift_words(t, STEPS_SHIFT)));
        n[i] = subtract(n[i], magic);
    }
    PIN(n);
    for (int i = 0; i < PAIR_VECTORS; i++)
        r[i] = multiply_add(n[i], all_f32((float)(-LN2 / EXP_STEPS)), clamped[i]);
    PIN(r);
    for (int i = 0; i < PAIR_VECTORS; i++)
        terms[i] = multiply_add(all_f32(EXP_C3), r[i], all_f32(EXP_C2));
    PIN(terms);
    for (int i = 0; i < PAIR_VECTORS; i++)
        terms[i] = multiply_add(terms[i], r[i], all_f32(1.0f));
    PIN(terms);
    for (int i = 0; i < PAIR_VECTORS; i++)
        terms[i] = multiply(terms[i], r[i]);
    PIN(terms);
    for (int i = 0; i < PAIR_VECTORS; i++)
        terms[i] = multiply_add(terms[i], scale[i], scale[i]);
    PIN(terms);
}

ALWAYS_INLINE void fold_floats(floats partial, __m512d *sums) {
    sums[0] = _mm512_add_pd(sums[0], _mm512_cvtps_pd(_mm512_castps512_ps256(partial)));
    sums[1] = _mm512_add_pd(sums[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(partial, 1)));
}

/* x: floats, or halves of one kind or the other; memory, step: what is prefetched, as in Run. */
ALWAYS_INLINE void add_stretches_f32(const char *x, int bf16, int f16, const char *memory, ptrdiff_t step,
                                     ptrdiff_t n_stretches, int n_pairs, float low, float magic, float *highest,
                                     double *sum_exp) {
    const ptrdiff_t group = N_TERMS * (bf16 || f16 ? 2 : 4);
    floats best[2] = {load_f32(highest), load_f32(highest + VECTOR_FLOATS)};
    __m512d sums[N_TERMS / 8];
    for (int i = 0; i < N_TERMS / 8; i++)
        sums[i] = _mm512_loadu_pd(sum_exp + 8 * i);
    for (ptrdiff_t stretch = 0; stretch < n_stretches; stretch++) {
        floats partial[2] = {all_f32(0.0f), all_f32(0.0f)};
        for (int k = 0; k < n_pairs; k++) {
            float values[2 * N_TERMS];
            floats terms[PAIR_VECTORS];
            const float *logits = bf16 || f16 ? values : (const float *)(const void *)x;
            for (ptrdiff_t offset = 0; offset < group; offset += 64) {
                prefetch_ahead(memory + offset);
                prefetch_ahead(memory + step + offset);
            }
            for (int i = 0; i < 2; i++) {
                const uint16_t *halves = (const uint16_t *)(const void *)x + i * N_TERMS;
                if (bf16)
                    widen_bf16_terms(halves, values + i * N_TERMS);
                if (f16)
                    widen_f16_terms(halves, values + i * N_TERMS);
            }
            exp_pair(logits, all_f32(low), all_f32(magic), best, terms);
            for (int i = 0; i < 2; i++)
                partial[i] = add(partial[i], add(terms[i], terms[i + 2]));
            x += 2 * group;
            memory += 2 * step;
        }
        fold_floats(partial[0], sums);
        fold_floats(partial[1], sums + 2);
    }
    for (int i = 0; i < 2; i++)
        store_f32(highest + i * VECTOR_FLOATS, best[i]);
    for (int i = 0; i < N_TERMS / 8; i++)
        _mm512_storeu_pd(sum_exp + 8 * i, sums[i]);
}

#undef PIN
#else
#define HAS_STRETCH 0
#define add_stretches_f32(x, bf16, f16, memory, step, n_stretches, n_pairs, low, magic, highest, sum_exp) ((void)0)
#endif
#endif
