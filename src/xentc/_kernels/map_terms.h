/* Losses and slopes of N_TERMS elements side by side, of an element-wise loss. Beside terms.h the one file with the
 * compiler's vector functions, for tables in a register.
 *
 * a) log(u 2^n), u between 3/4 and 3/2 or nearly: 1 / c and log c of one of EXP_STEPS centres c are looked up, and
 *    f = u / c - 1 is short. 1 / c are floats whose logarithms are nearly floats, and multiples of 2^-22, so that
 *    (a - 1) - a x is rounded once for the log(1 - x) of every float x: binary.h says why. The cell around 1 has c = 1.
 * b) log(1 + e) of an e in [0, 1] alike, centres 1 + j / (EXP_STEPS - 1); e itself is f in the first.
 * c) A function returns whether an element may not be what the function is for: a target not hard, or a number not
 *    surely in [0, 1] (-0 is not). The caller then looks closer, or takes the losses of soft targets.
 * d) slopes is a literal: whether grad is written, times scale.
 * e) A loss of logits is one chain of 16 operations, 70 cycles, too long for a core to have enough of them under way.
 *    What can lie beside the chain does: the square, the skew, the look for nan.
 */
#ifndef XENTC_MAP_TERMS_H
#define XENTC_MAP_TERMS_H

#include "map_terms_plain.h"

#if EXP_STEPS > 1

#if defined(__AVX512F__)
typedef __mmask16 masks;
#define divide _mm512_div_ps
#define subtract_words _mm512_sub_epi32
#define keep_bits _mm512_and_si512
#define shift_right _mm512_srai_epi32
#define smaller_words _mm512_min_epu32 /* as unsigned numbers */
#define floats_of_numbers _mm512_cvtepi32_ps
#define compare(a, b, how) _mm512_cmp_ps_mask(a, b, how)
#define either(m, n) ((masks)((m) | (n)))
#define both(m, n) ((masks)((m) & (n)))
#define choose(m, yes, no) _mm512_mask_mov_ps(no, m, yes)
#define where(m, yes) _mm512_maskz_mov_ps(m, yes)
#define negative(x) _mm512_movepi32_mask(words_of(x))
#define flip(x, signs) _mm512_xor_ps(x, signs)
#define with_bits(x, signs) _mm512_or_ps(x, signs)
#define above_one(x) _mm512_cmpgt_epu32_mask(words_of(x), all_words(ONE_F32))
#define unequal_any(odd, hard) ((odd) | (masks)~(hard))
#define any_of(m) ((int)(m))
#define NO_MASK ((masks)0)
#else
typedef __m256 masks;
#define divide _mm256_div_ps
#define all_words _mm256_set1_epi32
#define subtract_words _mm256_sub_epi32
#define keep_bits _mm256_and_si256
#define shift_right _mm256_srai_epi32
#define smaller_words _mm256_min_epu32 /* as unsigned numbers */
#define floats_of_numbers _mm256_cvtepi32_ps
#define compare(a, b, how) _mm256_cmp_ps(a, b, how)
#define either(m, n) _mm256_or_ps(m, n)
#define both(m, n) _mm256_and_ps(m, n)
#define choose(m, yes, no) _mm256_blendv_ps(no, yes, m)
#define where(m, yes) _mm256_and_ps(m, yes)
#define negative(x) (x)
#define flip(x, signs) _mm256_xor_ps(x, signs)
#define with_bits(x, signs) _mm256_or_ps(x, signs)
/* In the sign bit, as that is all that any_of() sees: of numbers below 0 it is set already. */
#define above_one(x) either(floats_of(_mm256_cmpgt_epi32(words_of(x), all_words(ONE_F32))), x)
#define unequal_any(odd, hard) either(odd, _mm256_xor_ps(hard, all_f32(-0.0f)))
#define any_of(m) _mm256_movemask_ps(m)
#define NO_MASK all_f32(0.0f)
#endif

#define LOG_SCALE 64 /* see (c) of binary.h */
#define INVERSE(bits) ((uint32_t)(bits) - ((uint32_t)LOG_SCALE << 23))

/* By the upper bits of a mantissa, rounded, from 3/2 on: the first half belongs to the next power of 2. */
static const uint32_t LOG_INVERSES[EXP_STEPS] = {
#if EXP_STEPS == 16
    INVERSE(0x3faaa2d8u), INVERSE(0x3fa3dde6u), INVERSE(0x3f9d906cu), INVERSE(0x3f97c81au), INVERSE(0x3f924ad2u),
    INVERSE(0x3f8d26e6u), INVERSE(0x3f88818eu), INVERSE(0x3f8422a8u), INVERSE(0x3f800000u), INVERSE(0x3f7113dcu),
    INVERSE(0x3f6366ecu), INVERSE(0x3f57a5fcu), INVERSE(0x3f4cd4b4u), INVERSE(0x3f4324fcu), INVERSE(0x3f3a0814u),
    INVERSE(0x3f31f734u),
#else
    INVERSE(0x3faaa2d8u), INVERSE(0x3f9d906cu), INVERSE(0x3f924ad2u), INVERSE(0x3f88818eu), INVERSE(0x3f800000u),
    INVERSE(0x3f6366ecu), INVERSE(0x3f4cd4b4u), INVERSE(0x3f3a0814u),
#endif
};
static const float MINUS_LOGS[EXP_STEPS] = {
#if EXP_STEPS == 16
    0x1.26673p-2f, 0x1.f9e78p-3f, 0x1.a9944ep-3f, 0x1.5d0154p-3f, 0x1.119064p-3f, 0x1.909dbep-4f,
    0x1.07882ap-4f, 0x1.047a88p-5f, 0x0p0f, -0x1.ec002ap-5f, -0x1.e5341cp-4f, -0x1.5f4a34p-3f, -0x1.c8b076p-3f,
    -0x1.15f3a8p-2f, -0x1.46ec64p-2f, -0x1.745024p-2f,
#else
    0x1.26673p-2f, 0x1.a9944ep-3f, 0x1.119064p-3f, 0x1.07882ap-4f, 0x0p0f, -0x1.e5341cp-4f, -0x1.c8b076p-3f,
    -0x1.46ec64p-2f,
#endif
};
static const float LOG1P_INVERSES[EXP_STEPS] = {
#if EXP_STEPS == 16
    0x1p0f, 0x1.e024b8p-1f, 0x1.c39d38p-1f, 0x1.aa6c98p-1f, 0x1.94147p-1f, 0x1.7fea98p-1f, 0x1.6d5928p-1f,
    0x1.5d0df8p-1f, 0x1.4dae38p-1f, 0x1.3ff3ap-1f, 0x1.33468p-1f, 0x1.279d38p-1f, 0x1.1cba8p-1f, 0x1.11ff58p-1f,
    0x1.0898ep-1f, 0x1.ffbf8p-2f,
#else
    0x1p0f, 0x1.bfc048p-1f, 0x1.8e515p-1f, 0x1.661708p-1f, 0x1.45bca8p-1f, 0x1.2a76d8p-1f, 0x1.1390c8p-1f,
    0x1.ffbf8p-2f,
#endif
};
static const float LOG1P_CENTRES[EXP_STEPS] = {
#if EXP_STEPS == 16
    0x0p0f, 0x1.072042p-4f, 0x1.01044ep-3f, 0x1.768f0ap-3f, 0x1.e4c958p-3f, 0x1.26cf38p-2f, 0x1.5992acp-2f,
    0x1.884a6ap-2f, 0x1.b66a7ap-2f, 0x1.e1703cp-2f, 0x1.056ac6p-1f, 0x1.1939dep-1f, 0x1.2c6f8ap-1f, 0x1.401afcp-1f,
    0x1.51fabcp-1f, 0x1.6324b4p-1f,
#else
    0x0p0f, 0x1.129c46p-3f, 0x1.0119c6p-2f, 0x1.6e1f1p-2f, 0x1.cf169p-2f, 0x1.145038p-1f, 0x1.3d2efcp-1f,
    0x1.6324b4p-1f,
#endif
};

/* log(1 + f) of |f| <= 1 / 30 (16 steps) or 1 / 14 (8): f + f f q, of the polynomial through Chebyshev's points. */
ALWAYS_INLINE floats log_near_one(floats f) {
#if EXP_STEPS == 16
    floats q = multiply_add(f, all_f32(0x1.99e2cap-3f), all_f32(-0x1.002ab2p-2f));
    q = multiply_add(multiply_add(q, f, all_f32(0x1.555554p-2f)), f, all_f32(-0x1.fffffep-2f));
#else
    floats q = multiply_add(f, all_f32(-0x1.56f902p-3f), all_f32(0x1.9b792cp-3f));
    q = multiply_add(multiply_add(q, f, all_f32(-0x1.ffff76p-3f)), f, all_f32(0x1.555506p-2f));
    q = multiply_add(q, f, all_f32(-0.5f));
#endif
    return multiply_add(multiply(f, f), q, f);
}

/* -log(one + x), 100 at most; both times 2^64, one being 2^64 or 0. Compared as words: that of 0 may be -inf or nan. */
ALWAYS_INLINE floats minus_log(floats one, floats x) {
    words offset = all_words((1 << (STEPS_SHIFT - 1)) + (1 << 22) - ((127 + LOG_SCALE) << 23));
    words key = add_words(words_of(add(one, x)), offset), index = shift_right(key, STEPS_SHIFT);
    words inverse = look_up(load_words(LOG_INVERSES), index);
    floats a = floats_of(subtract_words(inverse, keep_bits(key, all_words((int)0xff800000u))));
    floats f = multiply_add(a, x, multiply_add(a, one, all_f32(-1.0f)));
    floats n = floats_of_numbers(shift_right(key, 23)), centre = floats_of(look_up(load_words(MINUS_LOGS), index));
    floats loss = subtract(multiply_add(n, all_f32((float)-LN2), centre), log_near_one(f));
    return floats_of(smaller_words(words_of(loss), words_of(all_f32((float)-LOWEST_LOG))));
}

/* One nan for all, where x is. */
ALWAYS_INLINE floats nan_of(floats x, floats y) {
    return choose(compare(x, x, _CMP_UNORD_Q), all_f32(from_bits_f32(0x7fc00000u)), y);
}

ALWAYS_INLINE floats one_nan(floats x) { return nan_of(x, x); }

ALWAYS_INLINE floats binary_slopes(floats x, floats t) {
    floats spread = multiply(subtract(all_f32(1.0f), x), x);
    return divide(subtract(x, t), larger_of(spread, all_f32((float)LEAST_SLOPE)));
}

ALWAYS_INLINE int binary_hard_terms_f32(const float *x, const float *target, int slopes, float scale, float *loss,
                                        float *grad) {
    masks odd = NO_MASK;
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats p = load_f32(x + i), t = load_f32(target + i), scaled = multiply(p, all_f32(0x1p64f));
        masks rest = compare(t, all_f32(0.0f), _CMP_EQ_OQ);
        floats signs = where(rest, all_f32(-0.0f)), one = where(rest, all_f32(0x1p64f));
        odd = either(odd, unequal_any(above_one(p), either(rest, compare(t, all_f32(1.0f), _CMP_EQ_OQ))));
        if (slopes)
            store_f32(grad + i, multiply(all_f32(scale), binary_slopes(p, t)));
        store_f32(loss + i, minus_log(one, flip(scaled, signs)));
    }
    return any_of(odd);
}

ALWAYS_INLINE int binary_soft_terms_f32(const float *x, const float *target, int slopes, float scale, float *loss,
                                        float *grad) {
    masks odd = NO_MASK;
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats p = load_f32(x + i), t = load_f32(target + i), scaled = multiply(p, all_f32(0x1p64f));
        floats of_rest = minus_log(all_f32(0x1p64f), flip(scaled, all_f32(-0.0f)));
        odd = either(odd, either(above_one(p), above_one(t)));
        if (slopes)
            store_f32(grad + i, multiply(all_f32(scale), binary_slopes(p, t)));
        of_rest = multiply(subtract(all_f32(1.0f), t), of_rest);
        store_f32(loss + i, add(of_rest, multiply(t, minus_log(all_f32(0.0f), scaled))));
    }
    return any_of(odd);
}

/* exp(-|x|), without the skew: a term stands for itself here. */
ALWAYS_INLINE floats decay_floats(floats x) {
    floats magic = all_f32(MAGIC_F32), r, scale;
    floats y = larger_of(all_f32(-127.0f * (float)LN2), with_bits(x, all_f32(-0.0f)));
    floats n = subtract(multiply_add(y, all_f32((float)(EXP_STEPS * LOG2E)), magic), magic);
    reduce_floats(y, magic, 1, &r, &scale);
    floats right = multiply_add(n, all_f32((float)(-SKEW_F32 / EXP_STEPS)), r);
    return multiply_add(multiply_add(multiply(r, r), upper_poly_floats(r, 1.0f), right), scale, scale);
}

ALWAYS_INLINE floats log1p_floats(floats e) {
    words index = words_of(multiply_add(e, all_f32(EXP_STEPS - 1.0f), all_f32(MAGIC_F32)));
    floats inverse = floats_of(look_up(load_words(LOG1P_INVERSES), index));
    floats f = multiply_add(e, inverse, subtract(inverse, all_f32(1.0f)));
    return add(floats_of(look_up(load_words(LOG1P_CENTRES), index)), log_near_one(f));
}

/* log(1 + exp(x)), from log(1 + exp(-|x|)); 1 / (1 + exp(-x)), from e = exp(-|x|) and 1 / (1 + e). */
ALWAYS_INLINE floats softplus_floats(floats x, floats log1p) { return add(log1p, larger_of(all_f32(0.0f), x)); }
ALWAYS_INLINE floats logistic_floats(floats x, floats e, floats inverse) {
    return multiply(choose(negative(x), e, all_f32(1.0f)), inverse);
}
ALWAYS_INLINE int logit_hard_terms_f32(const float *x, const float *target, int slopes, float scale, float *loss,
                                       float *grad) {
    masks odd = NO_MASK;
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats t = load_f32(target + i), logit = load_f32(x + i), e = decay_floats(logit);
        masks rest = compare(t, all_f32(0.0f), _CMP_EQ_OQ), one = compare(t, all_f32(1.0f), _CMP_EQ_OQ);
        floats signs = where(one, all_f32(-0.0f)), facing = flip(logit, signs);
        odd = either(odd, unequal_any(NO_MASK, either(rest, one)));
        if (slopes) {
            floats inverse = divide(all_f32(1.0f), add(all_f32(1.0f), e));
            floats slope = add(flip(logistic_floats(facing, e, inverse), signs), all_f32(0.0f));
            store_f32(grad + i, one_nan(multiply(all_f32(scale), slope)));
        }
        store_f32(loss + i, nan_of(logit, softplus_floats(facing, log1p_floats(e))));
    }
    return any_of(odd);
}

ALWAYS_INLINE int logit_soft_terms_f32(const float *x, const float *target, const float *positive, int slopes,
                                       float scale, float *loss, float *grad) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats t = load_f32(target + i), logit = load_f32(x + i), e = decay_floats(logit), log1p = log1p_floats(e);
        floats turned = flip(logit, all_f32(-0.0f)), rest = subtract(all_f32(1.0f), t);
        floats one = times_floats(t, load_f32(positive + i));
        if (slopes) {
            floats inverse = divide(all_f32(1.0f), add(all_f32(1.0f), e));
            floats slope = subtract(times_floats(rest, logistic_floats(logit, e, inverse)),
                                    times_floats(one, logistic_floats(turned, e, inverse)));
            store_f32(grad + i, one_nan(multiply(all_f32(scale), slope)));
        }
        store_f32(loss + i, one_nan(add(times_floats(rest, softplus_floats(logit, log1p)),
                                        times_floats(one, softplus_floats(turned, log1p)))));
    }
    return 0;
}

ALWAYS_INLINE int hinge_terms_f32(const float *x, const float *target, float margin, int slopes, float scale,
                                  float *loss, float *grad) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats t = load_f32(target + i), distance = load_f32(x + i), gap = subtract(all_f32(margin), distance);
        masks near = compare(t, all_f32(-1.0f), _CMP_NEQ_UQ), apart = compare(t, all_f32(1.0f), _CMP_NEQ_UQ);
        if (slopes) {
            masks open = both(apart, compare(gap, all_f32(0.0f), _CMP_GE_OQ));
            masks lost = both(apart, compare(gap, gap, _CMP_UNORD_Q));
            masks is_nan = either(compare(distance, distance, _CMP_UNORD_Q), lost);
            floats slope = multiply(all_f32(scale), subtract(where(near, all_f32(1.0f)), where(open, all_f32(1.0f))));
            store_f32(grad + i, one_nan(choose(is_nan, all_f32(from_bits_f32(0x7fc00000u)), slope)));
        }
        store_f32(loss + i, one_nan(add(where(near, distance), where(apart, larger_of(all_f32(0.0f), gap)))));
    }
    return 0;
}

#endif
#endif
