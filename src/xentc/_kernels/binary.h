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
#define LEAST_SLOPE 1e-12 /* torch's bound of (1 - x) x */
#define SQRT_HALF_F32 0x3f3504f3
#define SQRT_HALF_F64 0x3fe6a09e667f3bcdu
#define ONE_F64 0x3ff0000000000000u
#define LN2_HI_F32 0.693359375f     /* 9 bits: its product with an exponent is exact */
#define LN2_LO_F32 (-2.12194440e-4f)

typedef struct { float loss, grad; } Element_f32;
typedef struct { double loss, grad; } Element_f64;

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

/* log(1 + e), 0 <= e <= 1. */
ALWAYS_INLINE float log1p_unit_f32(float e) {
    int32_t high = mask_of_f32(e > 0.41421356f);
    return log_tail_f32(select_f32(high, madd_f32(0.5f, e, -0.5f), e), select_f32(high, 1.0f, 0.0f));
}
ALWAYS_INLINE double log1p_unit_f64(double e) {
    int64_t high = mask_of(e > 0.41421356237309503);
    return log_tail_f64(select_f64(high, madd_f64(0.5, e, -0.5), e), select_f64(high, 1.0, 0.0), 0.0, 0.0);
}

/* (1 - t) softplus(x) + p t softplus(-x): torch's formula, put so that its terms do not cancel. A coefficient of 0
 * removes its term, which is the limit at an infinite logit. */
ALWAYS_INLINE Element_f32 logit_element_f32(float x, float t, float p) {
    Element_f32 element;
    float push = times_f32(t, p), pull = 1.0f - t;
    float e = decay_f32(x), log1p_e = log1p_unit_f32(e), near = 1.0f / (1.0f + e), far = e * near;
    int32_t negative = mask_of_f32(x < 0.0f);
    element.loss = times_f32(pull, log1p_e + at_least_f32(x, 0.0f)) + times_f32(push, log1p_e + at_least_f32(-x, 0.0f));
    element.grad = times_f32(pull, select_f32(negative, far, near)) - times_f32(push, select_f32(negative, near, far));
    return element;
}
ALWAYS_INLINE Element_f64 logit_element_f64(double x, double t, double p) {
    Element_f64 element;
    double push = times_f64(t, p), pull = 1.0 - t;
    double e = decay_f64(x), log1p_e = log1p_unit_f64(e), near = 1.0 / (1.0 + e), far = e * near;
    int64_t negative = mask_of(x < 0.0);
    element.loss = times_f64(pull, log1p_e + at_least_f64(x, 0.0)) + times_f64(push, log1p_e + at_least_f64(-x, 0.0));
    element.grad = times_f64(pull, select_f64(negative, far, near)) - times_f64(push, select_f64(negative, near, far));
    return element;
}

/* t = 1: x. t = -1: max(0, margin - x), of slope -1 at margin = x, as in torch. Any other t: both. */
ALWAYS_INLINE Element_f32 hinge_element_f32(float x, float t, float margin) {
    Element_f32 element;
    float gap = margin - x;
    int32_t similar = mask_of_f32(t != -1.0f), apart = mask_of_f32(t != 1.0f);
    int32_t is_nan = mask_of_f32(x != x) | (apart & mask_of_f32(gap != gap));
    element.loss = select_f32(similar, x, 0.0f) + select_f32(apart, at_least_f32(gap, 0.0f), 0.0f);
    element.grad = select_f32(similar, 1.0f, 0.0f) - select_f32(apart & mask_of_f32(gap >= 0.0f), 1.0f, 0.0f);
    element.grad = select_f32(is_nan, from_bits_f32(0x7fc00000u), element.grad);
    return element;
}
ALWAYS_INLINE Element_f64 hinge_element_f64(double x, double t, double margin) {
    Element_f64 element;
    double gap = margin - x;
    int64_t similar = mask_of(t != -1.0), apart = mask_of(t != 1.0);
    int64_t is_nan = mask_of(x != x) | (apart & mask_of(gap != gap));
    element.loss = select_f64(similar, x, 0.0) + select_f64(apart, at_least_f64(gap, 0.0), 0.0);
    element.grad = select_f64(similar, 1.0, 0.0) - select_f64(apart & mask_of(gap >= 0.0), 1.0, 0.0);
    element.grad = select_f64(is_nan, NAN_F64, element.grad);
    return element;
}

#endif
