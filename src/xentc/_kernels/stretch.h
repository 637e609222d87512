/* The hottest loop of all, spelled out for vectors with a table of exponentials: groups of logits added up in stretches,
 * each from one folding of float sums into double ones to the next. To the bit what add_groups() of row_span.pxi does
 * elsewhere.
 *
 * a) With AVX-512 the four vectors of a pair go through each stage together, and are pinned there: gcc puts one behind the
 *    other, and the scheduler fills with operations that wait. With AVX2 there are no registers for that: four
 *    at a time take 1.1 to 1.3 times as long there as one behind the other.
 * b) The sums of AVX-512 never leave their registers. Where gcc keeps them on the stack between loops, each folding waits
 *    for its own stores, some 20 cycles of 250.
 * Together 1.1 times as fast from the second-level cache with AVX-512; with AVX2 1.2 times, long rows.
 */
#ifndef XENTC_STRETCH_H
#define XENTC_STRETCH_H

#include "stream.h"
#include "terms.h"

#if EXP_STEPS > 1 && (defined(__GNUC__) || defined(__clang__))
#define HAS_STRETCH 1
#define GROUP_VECTORS (N_TERMS / VECTOR_FLOATS)

#if defined(__AVX512F__)
#define PIN(v) __asm__ volatile("" : "+v"((v)[0]), "+v"((v)[1]), "+v"((v)[2]), "+v"((v)[3]))
#define PAIR_VECTORS (2 * GROUP_VECTORS)

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

/* Of two groups that lie side by side. */
ALWAYS_INLINE void add_pair(const float *x, floats low, floats magic, floats *highest, floats *partial) {
    floats terms[PAIR_VECTORS];
    exp_pair(x, low, magic, highest, terms);
    for (int i = 0; i < GROUP_VECTORS; i++)
        partial[i] = add(partial[i], add(terms[i], terms[i + GROUP_VECTORS]));
}

#undef PIN
#else

ALWAYS_INLINE void add_pair(const float *x, floats low, floats magic, floats *highest, floats *partial) {
    for (int i = 0; i < GROUP_VECTORS; i++) {
        floats first = load_f32(x + i * VECTOR_FLOATS), second = load_f32(x + i * VECTOR_FLOATS + N_TERMS);
        highest[i] = larger_of(second, larger_of(first, highest[i]));
        floats terms = add(exp_floats(larger_of(low, first), magic, 0), exp_floats(larger_of(low, second), magic, 0));
        partial[i] = add(partial[i], terms);
    }
}

#endif

ALWAYS_INLINE void fold_floats(floats partial, doubles *sums) {
    sums[0] = add_f64(sums[0], lower_doubles(partial));
    sums[1] = add_f64(sums[1], upper_doubles(partial));
}

/* x: floats, or halves of one kind or the other; memory, step: what is prefetched, as in Run. */
ALWAYS_INLINE void add_stretches_f32(const char *x, int bf16, int f16, const char *memory, ptrdiff_t step,
                                     ptrdiff_t n_stretches, int n_pairs, float low, float magic, float *highest,
                                     double *sum_exp) {
    const ptrdiff_t group = N_TERMS * (bf16 || f16 ? 2 : 4);
    floats best[GROUP_VECTORS];
    doubles sums[N_TERMS / VECTOR_DOUBLES];
    for (int i = 0; i < GROUP_VECTORS; i++)
        best[i] = load_f32(highest + i * VECTOR_FLOATS);
    for (int i = 0; i < N_TERMS / VECTOR_DOUBLES; i++)
        sums[i] = load_f64(sum_exp + i * VECTOR_DOUBLES);
    for (ptrdiff_t stretch = 0; stretch < n_stretches; stretch++) {
        floats partial[GROUP_VECTORS];
        for (int i = 0; i < GROUP_VECTORS; i++)
            partial[i] = all_f32(0.0f);
        for (int k = 0; k < n_pairs; k++) {
            float values[2 * N_TERMS];
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
            add_pair(logits, all_f32(low), all_f32(magic), best, partial);
            x += 2 * group;
            memory += 2 * step;
        }
        for (int i = 0; i < GROUP_VECTORS; i++)
            fold_floats(partial[i], sums + 2 * i);
    }
    for (int i = 0; i < GROUP_VECTORS; i++)
        store_f32(highest + i * VECTOR_FLOATS, best[i]);
    for (int i = 0; i < N_TERMS / VECTOR_DOUBLES; i++)
        store_f64(sum_exp + i * VECTOR_DOUBLES, sums[i]);
}

#else
#define HAS_STRETCH 0
#define add_stretches_f32(x, bf16, f16, memory, step, n_stretches, n_pairs, low, magic, highest, sum_exp) ((void)0)
#endif
#endif
