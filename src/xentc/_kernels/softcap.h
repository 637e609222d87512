/* s tanh(x / s) and its derivative, in double. With m = exp(2|y|) - 1: tanh|y| = m / (m + 2), and nothing cancels, as
 * the polynomial gives m itself where exp would be near 1. */
#ifndef XENTC_SOFTCAP_H
#define XENTC_SOFTCAP_H

#include "vmath.h"

ALWAYS_INLINE double softcap_f64(double x, double cap) {
    double y = x / cap;
    double twice = -at_least_f64(-2.0 * from_bits_f64((uint64_t)bits_f64(y) & 0x7fffffffffffffffu), -80.0);
    double n = madd_f64(twice, LOG2E, MAGIC_F64) - MAGIC_F64;
    double r = reduce_f64(twice, n);
    double scale = pow2_f64(n);
    double m = madd_f64(scale, expm1_over_r_f64(r) * r, scale - 1.0);
    double bounded = m / (m + 2.0);
    return cap * from_bits_f64((uint64_t)bits_f64(bounded) | ((uint64_t)bits_f64(y) & 0x8000000000000000u));
}

/* 1 - tanh^2 = 4 e / (e + 1)^2, e = exp(2|y|). */
ALWAYS_INLINE double softcap_slope_f64(double x, double cap) {
    double y = x / cap;
    double twice = -at_least_f64(-2.0 * from_bits_f64((uint64_t)bits_f64(y) & 0x7fffffffffffffffu), -600.0);
    double e = exp_over_f64(twice, MAGIC_F64 + 1023.0);
    return 4.0 * e / ((e + 1.0) * (e + 1.0));
}

#endif
