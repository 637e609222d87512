/* One element of binary cross-entropy, of probabilities and of logits, and of the hinge embedding loss. Branch-free.
 *
 * a) Nothing cancels. log(v) takes f = v 2^-e - 1 in [sqrt(1/2) - 1, sqrt(2) - 1]; for v = 1 - x that is
 *    (2^-e - 1) - 2^-e x, rounded once, so that log(1 - x) of a small x is that of x and not of 1 - x.
 * b) A hard target (0 or 1) takes one logarithm, a soft one both, by the same operations: the same bits either way.
 * c) -100 is torch's bound of a logarithm. Arguments are scaled by 2^64 in float, so that subnormal ones are normal, and
 *    0 is taken for something so small that it ends at the bound.
 */
#ifndef XENTC_BINARY_H
#define XENTC_BINARY_H

#include "vmath.h"

#define LOWEST_LOG (-100.0)
#define LEAST_SLOPE ((double)1e-12f) /* of (1 - x) x: torch has the float, for double too */
#define SQRT_HALF_F32 0x3f3504f3
#define SQRT_HALF_F64 0x3fe6a09e667f3bcdu
#define ONE_F32 0x3f800000u
#define ONE_F64 0x3ff0000000000000u
#define LN2_HI_F32 0.693359375f     /* 9 bits: its product with an exponent is exact */
#define LN2_LO_F32 (-2.12194440e-4f)

ALWAYS_INLINE int32_t mask_of_f32(int condition) { return -(int32_t)condition; }
ALWAYS_INLINE float select_f32(int32_t mask, float yes, float no) {
    return from_bits_f32((uint32_t)((bits_f32(yes) & mask) | (bits_f32(no) & ~mask)));
}
ALWAYS_INLINE float one_nan_f32(float x) { return x == x ? x : from_bits_f32(0x7fc00000u); }
ALWAYS_INLINE float absolute_f32(float x) { return from_bits_f32((uint32_t)bits_f32(x) & 0x7fffffffu); }
ALWAYS_INLINE double absolute_f64(double x) { return from_bits_f64((uint64_t)bits_f64(x) & 0x7fffffffffffffffu); }

/* log(1 + f) + n ln 2. The polynomial is minimax in relative error with 1 f fixed, 4.2e-9. */
ALWAYS_INLINE float log_tail_f32(float f, float n) {
    float q = -0x1.392394p-4f;
    q = madd_f32(q, f, 0x1.08a43ap-3f);
    q = madd_f32(q, f, -0x1.0f35fcp-3f);
    q = madd_f32(q, f, 0x1.226422p-3f);
    q = madd_f32(q, f, -0x1.5425ecp-3f);
    q = madd_f32(q, f, 0x1.99a48cp-3f);
    q = madd_f32(q, f, -0x1.000430p-2f);
    q = madd_f32(q, f, 0x1.555550p-2f);
    q = madd_f32(q, f, -0x1.fffff8p-2f);
    return madd_f32(n, LN2_HI_F32, madd_f32(f * f, q, n * LN2_LO_F32) + f);
}

/* log(x), or where the mask is set log(1 - x), of an x in [0, 1]; -100 at least. */
ALWAYS_INLINE float log_of_f32(float x, int32_t of_rest) {
    float v = select_f32(of_rest, 1.0f - x, x) * 0x1p64f;
    int32_t e = (bits_f32(v) - SQRT_HALF_F32) >> 23;
    float scale = from_bits_f32((uint32_t)(127 + 64 - e) << 23);
    float mantissa = from_bits_f32((uint32_t)bits_f32(v) - ((uint32_t)e << 23));
    float f = select_f32(of_rest, madd_f32(-scale, x, scale - 1.0f), mantissa - 1.0f);
    return at_least_f32(log_tail_f32(f, (float)e - 64.0f), (float)LOWEST_LOG);
}

ALWAYS_INLINE double log_of_f64(double x, int64_t of_rest) {
    uint64_t v = (uint64_t)bits_f64(select_f64(of_rest, 1.0 - x, x)) + (ONE_F64 - SQRT_HALF_F64);
    double n = exponent_f64(from_bits_f64(v));
    double scale = from_bits_f64((2046 - (v >> 52)) << 52);
    double mantissa = from_bits_f64((v & 0x000fffffffffffffu) + SQRT_HALF_F64);
    double f = select_f64(of_rest, madd_f64(-scale, x, scale - 1.0), mantissa - 1.0);
    return at_least_f64(log_tail_f64(f, n, 0.0, 0.0), LOWEST_LOG);
}

/* The loss of a probability. Adding 0 makes a -0 one zero with the other. */
ALWAYS_INLINE float binary_hard_f32(float x, float t) { return 0.0f - log_of_f32(x, mask_of_f32(t == 0.0f)); }
ALWAYS_INLINE double binary_hard_f64(double x, double t) { return 0.0 - log_of_f64(x, mask_of(t == 0.0)); }
ALWAYS_INLINE float binary_soft_f32(float x, float t) {
    return ((t - 1.0f) * log_of_f32(x, -1) - t * log_of_f32(x, 0)) + 0.0f;
}
ALWAYS_INLINE double binary_soft_f64(double x, double t) {
    return ((t - 1.0) * log_of_f64(x, -1) - t * log_of_f64(x, 0)) + 0.0;
}

ALWAYS_INLINE float binary_slope_f32(float x, float t) {
    return (x - t) / at_least_f32((1.0f - x) * x, (float)LEAST_SLOPE);
}
ALWAYS_INLINE double binary_slope_f64(double x, double t) { return (x - t) / at_least_f64((1.0 - x) * x, LEAST_SLOPE); }

/* exp(-|x|), 0 below the smallest normal number. Not exp_over(): a term stands for itself here, so the skew comes out. */
ALWAYS_INLINE float decay_f32(float x) {
    float y = at_least_f32(-absolute_f32(x), -127.0f * (float)LN2);
    float t = madd_f32(y, (float)LOG2E, MAGIC_F32 + 127.0f);
    float n = t - (MAGIC_F32 + 127.0f);
    float r = madd_f32(n, (float)-SKEW_F32, reduce_fast_f32(y, n));
    return exp_poly_f32(r) * from_bits_f32((uint32_t)bits_f32(t) << 23);
}
ALWAYS_INLINE double decay_f64(double x) {
    double y = at_least_f64(-absolute_f64(x), -1023.0 * LN2);
    double t = madd_f64(y, LOG2E, MAGIC_F64 + 1023.0);
    double n = t - (MAGIC_F64 + 1023.0);
    return exp_poly_f64(reduce_f64(y, n)) * from_bits_f64((uint64_t)bits_f64(t) << 52);
}

/* log(1 + e), 0 <= e <= 1. In float minimax in relative error with 1 e fixed, 5.1e-9. */
ALWAYS_INLINE float log1p_unit_f32(float e) {
    float q = -0x1.b2f596p-9f;
    q = madd_f32(q, e, 0x1.4b083cp-6f);
    q = madd_f32(q, e, -0x1.d86328p-5f);
    q = madd_f32(q, e, 0x1.b579c4p-4f);
    q = madd_f32(q, e, -0x1.3a7a82p-3f);
    q = madd_f32(q, e, 0x1.935ca0p-3f);
    q = madd_f32(q, e, -0x1.ff26e2p-3f);
    q = madd_f32(q, e, 0x1.554df0p-2f);
    q = madd_f32(q, e, -0x1.ffffd2p-2f);
    return madd_f32(e * e, q, e);
}
ALWAYS_INLINE double log1p_unit_f64(double e) {
    int64_t high = mask_of(e > 0.41421356237309503);
    return log_tail_f64(select_f64(high, madd_f64(0.5, e, -0.5), e), select_f64(high, 1.0, 0.0), 0.0, 0.0);
}

/* log(1 + exp(x)), and its slope 1 / (1 + exp(-x)). */
ALWAYS_INLINE float softplus_f32(float x) { return log1p_unit_f32(decay_f32(x)) + at_least_f32(x, 0.0f); }
ALWAYS_INLINE double softplus_f64(double x) { return log1p_unit_f64(decay_f64(x)) + at_least_f64(x, 0.0); }
ALWAYS_INLINE float logistic_f32(float x) {
    float e = decay_f32(x);
    return select_f32(bits_f32(x) >> 31, e, 1.0f) / (1.0f + e);
}
ALWAYS_INLINE double logistic_f64(double x) {
    double e = decay_f64(x);
    return select_f64(bits_f64(x) >> 63, e, 1.0) / (1.0 + e);
}

/* (1 - t) softplus(x) + p t softplus(-x): torch's formula, put so that its terms do not cancel. A coefficient of 0
 * removes its term, which is the limit at an infinite logit. A hard target leaves one term: the same
 * bits, as adding 0 makes a -0 the 0 that a difference is. */
ALWAYS_INLINE float facing_f32(float x, float t) { return select_f32(mask_of_f32(t == 0.0f), x, -x); }
ALWAYS_INLINE double facing_f64(double x, double t) { return select_f64(mask_of(t == 0.0), x, -x); }
ALWAYS_INLINE float logit_hard_f32(float x, float t) { return softplus_f32(facing_f32(x, t)); }
ALWAYS_INLINE float logit_soft_f32(float x, float t, float p) {
    return times_f32(1.0f - t, softplus_f32(x)) + times_f32(times_f32(t, p), softplus_f32(-x));
}
ALWAYS_INLINE float logit_hard_slope_f32(float x, float t) {
    return select_f32(mask_of_f32(t == 0.0f), 1.0f, -1.0f) * logistic_f32(facing_f32(x, t)) + 0.0f;
}
ALWAYS_INLINE float logit_soft_slope_f32(float x, float t, float p) {
    return times_f32(1.0f - t, logistic_f32(x)) - times_f32(times_f32(t, p), logistic_f32(-x));
}
ALWAYS_INLINE float positive_part_f32(float t, float p, float value) {
    return times_f32(select_f32(mask_of_f32(t == 0.0f), 1.0f, p), value) + 0.0f;
}
ALWAYS_INLINE double logit_hard_f64(double x, double t) { return softplus_f64(facing_f64(x, t)); }
ALWAYS_INLINE double logit_soft_f64(double x, double t, double p) {
    return times_f64(1.0 - t, softplus_f64(x)) + times_f64(times_f64(t, p), softplus_f64(-x));
}
ALWAYS_INLINE double logit_hard_slope_f64(double x, double t) {
    return select_f64(mask_of(t == 0.0), 1.0, -1.0) * logistic_f64(facing_f64(x, t)) + 0.0;
}
ALWAYS_INLINE double logit_soft_slope_f64(double x, double t, double p) {
    return times_f64(1.0 - t, logistic_f64(x)) - times_f64(times_f64(t, p), logistic_f64(-x));
}
ALWAYS_INLINE double positive_part_f64(double t, double p, double value) {
    return times_f64(select_f64(mask_of(t == 0.0), 1.0, p), value) + 0.0;
}

/* t = 1: x. t = -1: max(0, margin - x), of slope -1 at margin = x, as in torch. Any other t: both. */
ALWAYS_INLINE float hinge_loss_f32(float x, float t, float margin) {
    return select_f32(mask_of_f32(t != -1.0f), x, 0.0f) +
           select_f32(mask_of_f32(t != 1.0f), at_least_f32(margin - x, 0.0f), 0.0f);
}
ALWAYS_INLINE double hinge_loss_f64(double x, double t, double margin) {
    return select_f64(mask_of(t != -1.0), x, 0.0) + select_f64(mask_of(t != 1.0), at_least_f64(margin - x, 0.0), 0.0);
}

ALWAYS_INLINE float hinge_slope_f32(float x, float t, float margin) {
    float gap = margin - x;
    int32_t apart = mask_of_f32(t != 1.0f);
    int32_t is_nan = mask_of_f32(x != x) | (apart & mask_of_f32(gap != gap));
    float slope = select_f32(mask_of_f32(t != -1.0f), 1.0f, 0.0f) -
                  select_f32(apart & mask_of_f32(gap >= 0.0f), 1.0f, 0.0f);
    return select_f32(is_nan, from_bits_f32(0x7fc00000u), slope);
}
ALWAYS_INLINE double hinge_slope_f64(double x, double t, double margin) {
    double gap = margin - x;
    int64_t apart = mask_of(t != 1.0);
    int64_t is_nan = mask_of(x != x) | (apart & mask_of(gap != gap));
    double slope = select_f64(mask_of(t != -1.0), 1.0, 0.0) - select_f64(apart & mask_of(gap >= 0.0), 1.0, 0.0);
    return select_f64(is_nan, NAN_F64, slope);
}

/* Larger than ONE_* outside [0, 1], by the order of the bits; -0 is made 0 first. beyond_one: 1 outside, and at -0.
 * between: all ones if t is neither 0 nor 1. */
ALWAYS_INLINE uint32_t beyond_one_f32(float x) { return (uint32_t)bits_f32(x) > ONE_F32; }
ALWAYS_INLINE uint64_t beyond_one_f64(double x) { return (uint64_t)bits_f64(x) > ONE_F64; }
ALWAYS_INLINE uint32_t unit_bits_f32(float x) { return (uint32_t)bits_f32(x + 0.0f); }
ALWAYS_INLINE uint64_t unit_bits_f64(double x) { return (uint64_t)bits_f64(x + 0.0); }
ALWAYS_INLINE int32_t between_f32(float t) { return mask_of_f32(t != 0.0f) & mask_of_f32(t != 1.0f); }
ALWAYS_INLINE int64_t between_f64(double t) { return mask_of(t != 0.0) & mask_of(t != 1.0); }

#endif
