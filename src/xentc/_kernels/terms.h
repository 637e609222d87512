/* exp(x) 2^-m of 32 floats side by side: what the sums and gradients of float rows are made of.
 *
 * a) With AVX-512 and AVX2, x = (n / STEPS) ln 2 + r, and exp(x) = 2^(n / STEPS) (1 + r p(r)): a table of one register
 *    holds the fractions of 2, so that r is short and the whole of degree 3 or 4. On a Zen 4 core this is 1.3 times as
 *    fast as a polynomial of degree 6 with 2^n alone, whose multiplications were the limit. gcc makes a gather of such a
 *    table, far slower, so these two are spelled in the compiler's vector functions; the operations of an element are
 *    the same in every lane. Elsewhere the polynomial of vmath.h.
 * b) The reference rides in the magic number: magic = MAGIC - STEPS m, so that the low bits of t are STEPS (n - m) + j.
 *    The table holds bits(2^(j / STEPS)) less what j adds when t is shifted to the exponent. At the clamp
 *    (m - 127) ln 2 the bits are exactly those of 0.
 * c) Valid below LOGIT_LIMIT of real.pxi: STEPS (|n| + |m|) stays below 2^22.
 * d) The sums of such terms are skewed: see SKEW_F32.
 */
#ifndef XENTC_TERMS_H
#define XENTC_TERMS_H

#include "half.h"
#include "vmath.h"

#define N_TERMS 32
#if defined(__AVX512F__)
#include <immintrin.h>
#define EXP_STEPS 16
#define STEPS_SHIFT 19
#define VECTOR_FLOATS 16
#define EXP_C2 0x1.000234p-1f
#define EXP_C3 0x1.55559ep-3f
typedef __m512 floats;
typedef __m512i words;
typedef __m512d doubles;
#define all_f32 _mm512_set1_ps
#define load_f32 _mm512_loadu_ps
#define store_f32 _mm512_storeu_ps
#define multiply _mm512_mul_ps
#define add _mm512_add_ps
#define subtract _mm512_sub_ps
#define multiply_add _mm512_fmadd_ps
#define larger_of _mm512_max_ps /* the second where either is nan */
#define smaller_of _mm512_min_ps
#define words_of _mm512_castps_si512
#define floats_of _mm512_castsi512_ps
#define add_words _mm512_add_epi32
#define shift_words _mm512_slli_epi32
#define all_words _mm512_set1_epi32
#define where_equal(a, b, yes, no) _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), yes)
#define zero_where_equal(a, b, value) where_equal(a, b, all_f32(0), value)
#define where_larger(a, b, yes, no) _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), yes)
#define add_unless_equal(a, b, sum, term) _mm512_mask_add_ps(sum, _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ), sum, term)
#define bits_above(x, bound) _mm512_cmp_ps_mask(x, bound, _CMP_GT_OQ)
#define bits_at_least(x, bound) _mm512_cmp_ps_mask(x, bound, _CMP_GE_OQ)
#define keep_words(words, t, low) _mm512_maskz_mov_epi32(_mm512_cmp_ps_mask(t, low, _CMP_NLT_UQ), words)
#define look_up(table, index) _mm512_permutexvar_epi32(index, table)
#define load_words(p) _mm512_loadu_si512((const void *)(p))
#define VECTOR_DOUBLES 8
#define load_f64 _mm512_loadu_pd
#define store_f64 _mm512_storeu_pd
#define add_f64 _mm512_add_pd
#define zero_f64 _mm512_setzero_pd
#define lower_doubles(v) _mm512_cvtps_pd(_mm512_castps512_ps256(v))
#define upper_doubles(v) _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))
#define SETTLE(v) ((void)0)
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define EXP_STEPS 8
#define STEPS_SHIFT 20
#define VECTOR_FLOATS 8
#define EXP_C2 0.5f
#define EXP_C3 0x1.555cc0p-3f
#define EXP_C4 0x1.5547bcp-5f
typedef __m256 floats;
typedef __m256i words;
typedef __m256d doubles;
#define all_f32 _mm256_set1_ps
#define load_f32 _mm256_loadu_ps
#define store_f32 _mm256_storeu_ps
#define multiply _mm256_mul_ps
#define add _mm256_add_ps
#define subtract _mm256_sub_ps
#define multiply_add _mm256_fmadd_ps
#define larger_of _mm256_max_ps
#define smaller_of _mm256_min_ps
#define words_of _mm256_castps_si256
#define floats_of _mm256_castsi256_ps
#define add_words _mm256_add_epi32
#define shift_words _mm256_slli_epi32
#define where_equal(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_EQ_OQ))
#define where_larger(a, b, yes, no) _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_GT_OQ))
#define equal_bits(a, b) _mm256_cmp_ps(a, b, _CMP_EQ_OQ)
#define and_bits _mm256_and_ps
#define and_not_bits _mm256_andnot_ps
#define or_bits _mm256_or_ps
#define zero_where_equal(a, b, value) and_not_bits(equal_bits(a, b), value) /* gcc makes two instructions of a blend's */
#define add_unless_equal(a, b, sum, term) add(sum, and_not_bits(equal_bits(a, b), term))
#define bits_above(x, bound) _mm256_movemask_ps(_mm256_cmp_ps(x, bound, _CMP_GT_OQ))
#define bits_at_least(x, bound) _mm256_movemask_ps(_mm256_cmp_ps(x, bound, _CMP_GE_OQ))
#define keep_words(words, t, low) _mm256_and_si256(_mm256_castps_si256(_mm256_cmp_ps(t, low, _CMP_NLT_UQ)), words)
#define look_up(table, index) _mm256_permutevar8x32_epi32(table, index)
#define load_words(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define VECTOR_DOUBLES 4
#define load_f64 _mm256_loadu_pd
#define store_f64 _mm256_storeu_pd
#define add_f64 _mm256_add_pd
#define zero_f64 _mm256_setzero_pd
#define lower_doubles(v) _mm256_cvtps_pd(_mm256_castps256_ps128(v))
#define upper_doubles(v) _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))
/* gcc would put the last operations of several vectors behind one another's, and keep what they wait for on the stack. */
#define SETTLE(v) __asm__("" : "+x"(v))
#else
#define EXP_STEPS 1
#endif

/* The magic number of a reference 2^m is MAGIC_F32 + EXP_BIAS - EXP_STEPS m. */
#if EXP_STEPS == 1
#define EXP_BIAS 127
#else
#define EXP_BIAS 0
#endif

#if EXP_STEPS > 1

/* The nearest floats of 2^(j / STEPS), as bits. */
#define FRACTION(j, bits) ((bits) - ((uint32_t)(j) << STEPS_SHIFT))
static const uint32_t FRACTIONS[EXP_STEPS] = {
#if EXP_STEPS == 16
    FRACTION(0, 0x3f800000u), FRACTION(1, 0x3f85aac3u), FRACTION(2, 0x3f8b95c2u), FRACTION(3, 0x3f91c3d3u),
    FRACTION(4, 0x3f9837f0u), FRACTION(5, 0x3f9ef532u), FRACTION(6, 0x3fa5fed7u), FRACTION(7, 0x3fad583fu),
    FRACTION(8, 0x3fb504f3u), FRACTION(9, 0x3fbd08a4u), FRACTION(10, 0x3fc5672au), FRACTION(11, 0x3fce248cu),
    FRACTION(12, 0x3fd744fdu), FRACTION(13, 0x3fe0ccdfu), FRACTION(14, 0x3feac0c7u), FRACTION(15, 0x3ff5257du),
#else
    FRACTION(0, 0x3f800000u), FRACTION(1, 0x3f8b95c2u), FRACTION(2, 0x3f9837f0u), FRACTION(3, 0x3fa5fed7u),
    FRACTION(4, 0x3fb504f3u), FRACTION(5, 0x3fc5672au), FRACTION(6, 0x3fd744fdu), FRACTION(7, 0x3feac0c7u),
#endif
};

/* 2^(n / STEPS - m) in scale, and the r that is left. Just above the clamp lie numbers that would be subnormal, and whose
 * bits are wrong. In a sum they are nothing; where a term stands for itself, flush makes them 0. */
ALWAYS_INLINE void reduce_floats(floats clamped, floats magic, int flush, floats *r, floats *scale) {
    floats t = multiply_add(clamped, all_f32((float)(EXP_STEPS * LOG2E)), magic);
    words bits = add_words(look_up(load_words(FRACTIONS), words_of(t)), shift_words(words_of(t), STEPS_SHIFT));
    *r = multiply_add(subtract(t, magic), all_f32((float)(-LN2 / EXP_STEPS)), clamped);
    *scale = floats_of(flush ? keep_words(bits, t, all_f32(MAGIC_F32 - 126.0f * EXP_STEPS)) : bits);
}

/* 1 + r p(r) is within 1.7e-9 (STEPS 16) or 2.1e-10 (8) of exp(r), minimax; the largest errors are the roundings of the
 * fraction of 2 and of the result. With 8 steps degree 3 errs by 2.8e-8, and rows of equal logits by more than an ULP. */
ALWAYS_INLINE floats upper_poly_floats(floats r, float factor) {
#ifdef EXP_C4
    floats p = multiply_add(all_f32(EXP_C4 * factor), r, all_f32(EXP_C3 * factor));
#else
    floats p = all_f32(EXP_C3 * factor);
#endif
    return multiply_add(p, r, all_f32(EXP_C2 * factor));
}

ALWAYS_INLINE floats poly_floats(floats r, float factor) {
    return multiply_add(upper_poly_floats(r, factor), r, all_f32(factor));
}

ALWAYS_INLINE floats exp_floats(floats clamped, floats magic, int flush) {
    floats r, scale;
    reduce_floats(clamped, magic, flush, &r, &scale);
    return multiply_add(multiply(poly_floats(r, 1.0f), r), scale, scale);
}

ALWAYS_INLINE floats times_floats(floats coefficient, floats x) {
    return zero_where_equal(coefficient, all_f32(0), multiply(coefficient, x));
}

/* sum + coefficient x, but sum where a and b are equal, or the coefficient is 0. */
ALWAYS_INLINE floats add_times_unless_equal(floats a, floats b, floats sum, floats coefficient, floats x) {
#if defined(__AVX512F__)
    __mmask16 counts = _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ);
    counts = _mm512_mask_cmp_ps_mask(counts, coefficient, all_f32(0), _CMP_NEQ_UQ);
    return _mm512_mask3_fmadd_ps(coefficient, x, sum, counts);
#else
    return add_unless_equal(a, b, sum, times_floats(coefficient, x));
#endif
}

ALWAYS_INLINE void exp_terms_f32(const float *x, float low, float magic, float *terms) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS)
        store_f32(terms + i, exp_floats(larger_of(all_f32(low), load_f32(x + i)), all_f32(magic), 0));
}

ALWAYS_INLINE void exp_kept_terms_f32(const float *x, float low, float magic, float *terms) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS)
        store_f32(terms + i, exp_floats(larger_of(all_f32(low), load_f32(x + i)), all_f32(magic), 1));
}

ALWAYS_INLINE void exp_falling_terms_f32(const float *x, float low, float magic, float centre, float *terms,
                                         float *fall) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats clamped = larger_of(all_f32(low), load_f32(x + i)), term = exp_floats(clamped, all_f32(magic), 0);
        store_f32(terms + i, term);
        store_f32(fall + i, multiply_add(term, subtract(all_f32(centre), clamped), load_f32(fall + i)));
    }
}

ALWAYS_INLINE void exp_lanes_f32(const float *x, const float *low, const float *magic, int flush, float *terms) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS)
        store_f32(terms + i, exp_floats(larger_of(load_f32(low + i), load_f32(x + i)), load_f32(magic + i), flush));
}

/* Times factor, which rides in the coefficients: they are the same for a whole row. */
ALWAYS_INLINE void exp_scaled_terms_f32(const float *x, float low, float magic, float factor, float *terms) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats r, scale;
        reduce_floats(larger_of(all_f32(low), load_f32(x + i)), all_f32(magic), 1, &r, &scale);
        floats term = multiply(multiply_add(poly_floats(r, factor), r, all_f32(factor)), scale);
        SETTLE(term);
        store_f32(terms + i, term);
    }
}

#else

ALWAYS_INLINE void exp_falling_terms_f32(const float *x, float low, float magic, float centre, float *terms,
                                         float *fall) {
    for (int i = 0; i < N_TERMS; i++) {
        float clamped = at_least_f32(x[i], low);
        terms[i] = exp_over_f32(clamped, magic);
        fall[i] = madd_f32(terms[i], centre - clamped, fall[i]);
    }
}

ALWAYS_INLINE void exp_terms_f32(const float *x, float low, float magic, float *terms) {
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_f32(at_least_f32(x[i], low), magic);
}

ALWAYS_INLINE void exp_kept_terms_f32(const float *x, float low, float magic, float *terms) {
    exp_terms_f32(x, low, magic, terms); /* a term of the polynomial is either right or 0 */
}

ALWAYS_INLINE void exp_lanes_f32(const float *x, const float *low, const float *magic, int flush, float *terms) {
    (void)flush; /* a term of the polynomial is either right or 0 */
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_f32(at_least_f32(x[i], low[i]), magic[i]);
}

ALWAYS_INLINE void exp_scaled_terms_f32(const float *x, float low, float magic, float factor, float *terms) {
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_scaled_f32(at_least_f32(x[i], low), magic, factor);
}

#endif

/* best of numbers that may have been bits: gcc then makes two instructions of larger_f32(). */
ALWAYS_INLINE void larger_terms_f32(const float *x, float *best) {
#if EXP_STEPS > 1
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS)
        store_f32(best + i, larger_of(load_f32(x + i), load_f32(best + i)));
#else
    for (int i = 0; i < N_TERMS; i++)
        best[i] = larger_f32(x[i], best[i]);
#endif
}

ALWAYS_INLINE void larger_terms_f64(const double *x, double *best) {
    for (int i = 0; i < N_TERMS; i++)
        best[i] = larger_f64(x[i], best[i]);
}

/* own is added to, not chosen, where the compiler does it: gcc branches round a masked store. */
ALWAYS_INLINE void part_hole_f32(const float *x, const float *hole, float number, float *own, float *others) {
#if EXP_STEPS > 1
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats value = load_f32(x + i), holes = load_f32(hole + i), numbers = all_f32(number);
        store_f32(own + i, where_equal(holes, numbers, value, load_f32(own + i)));
        store_f32(others + i, where_equal(holes, numbers, all_f32((float)-INFINITY_F64), value));
    }
#else
    for (int i = 0; i < N_TERMS; i++) {
        own[i] += hole[i] == number ? x[i] : 0.0f;
        others[i] = hole[i] == number ? (float)-INFINITY_F64 : x[i];
    }
#endif
}

ALWAYS_INLINE void part_hole_f64(const double *x, const double *hole, double number, double *own, double *others) {
    for (int i = 0; i < N_TERMS; i++) {
        own[i] += hole[i] == number ? x[i] : 0.0;
        others[i] = hole[i] == number ? -INFINITY_F64 : x[i];
    }
}

/* One bit for each number above the bound, or at it as well. */
ALWAYS_INLINE uint32_t terms_above_f32(const float *x, float bound, int or_equal) {
    uint32_t above = 0;
#if EXP_STEPS > 1
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats value = load_f32(x + i), limit = all_f32(bound);
        above |= (uint32_t)(or_equal ? bits_at_least(value, limit) : bits_above(value, limit)) << i;
    }
#else
    for (int i = 0; i < N_TERMS; i++)
        above |= (uint32_t)(or_equal ? x[i] >= bound : x[i] > bound) << i;
#endif
    return above;
}

ALWAYS_INLINE uint32_t terms_above_f64(const double *x, double bound, int or_equal) {
    uint32_t above = 0;
    for (int i = 0; i < N_TERMS; i++)
        above |= (uint32_t)(or_equal ? x[i] >= bound : x[i] > bound) << i;
    return above;
}

/* Added to counts of type float or double: where there is a mask, counting its bits leaves the vector units to others. */
ALWAYS_INLINE int count_above_f32(const float *x, float bound, int or_equal, float *counts) {
#if defined(__AVX512F__)
    (void)counts;
    return __builtin_popcount(terms_above_f32(x, bound, or_equal));
#else
    for (int i = 0; i < N_TERMS; i++)
        counts[i] += (or_equal ? x[i] >= bound : x[i] > bound) ? 1.0f : 0.0f;
    return 0;
#endif
}

ALWAYS_INLINE int count_above_f64(const double *x, double bound, int or_equal, double *counts) {
    for (int i = 0; i < N_TERMS; i++)
        counts[i] += (or_equal ? x[i] >= bound : x[i] > bound) ? 1.0 : 0.0;
    return 0;
}

ALWAYS_INLINE int lowest_bit(uint32_t bits) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctz(bits);
#else
    int bit = 0;
    while (!(bits >> bit & 1))
        bit++;
    return bit;
#endif
}

ALWAYS_INLINE void widen_bf16_terms(const uint16_t *halves, float *values) {
#if defined(__AVX512BW__)
    /* One permutation puts a half in the upper bits: widening and shifting are two instructions on busier ports. */
    static const uint16_t PLACES[32] = {0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7,
                                        0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
    words places = load_words(PLACES), all = load_words(halves), later = add_words(places, all_words(16 << 16));
    store_f32(values, floats_of(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, places, all)));
    store_f32(values + VECTOR_FLOATS, floats_of(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, later, all)));
#else
    for (int i = 0; i < N_TERMS; i++)
        values[i] = widen_bf16(halves[i]);
#endif
}

ALWAYS_INLINE void widen_f16_terms(const uint16_t *halves, float *values) {
#if defined(__AVX512F__)
    for (int i = 0; i < N_TERMS; i += 16)
        _mm512_storeu_ps(values + i, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(halves + i))));
#elif EXP_STEPS > 1 && defined(__F16C__)
    for (int i = 0; i < N_TERMS; i += 8)
        _mm256_storeu_ps(values + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(halves + i))));
#else
    for (int i = 0; i < N_TERMS; i++)
        values[i] = widen_f16(halves[i]);
#endif
}

ALWAYS_INLINE void exp_falling_terms_f64(const double *x, double low, double magic, double centre, double *terms,
                                         double *fall) {
    for (int i = 0; i < N_TERMS; i++) {
        double clamped = at_least_f64(x[i], low);
        terms[i] = exp_over_f64(clamped, magic);
        fall[i] = madd_f64(terms[i], centre - clamped, fall[i]);
    }
}

ALWAYS_INLINE void exp_terms_f64(const double *x, double low, double magic, double *terms) {
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_f64(at_least_f64(x[i], low), magic);
}

ALWAYS_INLINE void exp_lanes_f64(const double *x, const double *low, const double *magic, int flush, double *terms) {
    (void)flush;
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_f64(at_least_f64(x[i], low[i]), magic[i]);
}

ALWAYS_INLINE void exp_scaled_terms_f64(const double *x, double low, double magic, double factor, double *terms) {
    for (int i = 0; i < N_TERMS; i++)
        terms[i] = exp_over_scaled_f64(at_least_f64(x[i], low), magic, factor);
}

#endif
