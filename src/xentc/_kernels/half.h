/* float16 and bfloat16 are storage: widened to float, narrowed with one rounding to nearest even. Branch-free. */
#ifndef XENTC_HALF_H
#define XENTC_HALF_H

#include "vmath.h"

ALWAYS_INLINE float widen_bf16(uint16_t half) { return from_bits_f32((uint32_t)half << 16); }

/* The exponent is moved to float's place and rescaled by 2^112, which also makes subnormals right; 2^16 and above can
 * only come of infinities and nan, which get float's exponent. */
ALWAYS_INLINE float widen_f16(uint16_t half) {
    float magnitude = from_bits_f32((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
    uint32_t special = (uint32_t)-(int32_t)(magnitude >= 65536.0f) & 0x7f800000u;
    return from_bits_f32((uint32_t)bits_f32(magnitude) | special | (uint32_t)(half & 0x8000) << 16);
}

ALWAYS_INLINE uint16_t narrow_bf16(float x) {
    uint32_t bits = (uint32_t)bits_f32(x);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
    uint32_t is_nan = (uint32_t)-(int32_t)((bits & 0x7fffffffu) > 0x7f800000u);
    return (uint16_t)((rounded & ~is_nan) | (((bits >> 16) | 0x40u) & is_nan));
}

/* Normal results: round the bits. Subnormal ones: adding 0.5 makes float's own addition round at their last place. */
ALWAYS_INLINE uint16_t narrow_f16(float x) {
    uint32_t bits = (uint32_t)bits_f32(x), magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1)) >> 13;
    uint32_t tiny = (uint32_t)bits_f32(from_bits_f32(magnitude) + 0.5f) - 0x3f000000u;
    uint32_t result = magnitude < 0x38800000u ? tiny : normal;
    result = magnitude >= 0x477ff000u ? 0x7c00u : result; /* 65520 and above */
    result = magnitude > 0x7f800000u ? 0x7e00u : result;
    return (uint16_t)(result | (bits >> 16 & 0x8000u));
}

#endif
