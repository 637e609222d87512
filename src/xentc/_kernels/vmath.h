/* Branch-free exp and log for float and double, and the few casts that Cython cannot spell.
 *
 * a) Every function is a fixed sequence of IEEE operations, so a compiler may vectorise it without changing a bit;
 *    the only fused operation is madd(), and it is fused on all of an ISA or on none of it.
 * b) exp is never taken of a difference. With x = n ln 2 + r, exp(x) = 2^n p(r), and dividing by a reference 2^m is
 *    an integer subtraction in the exponent: no rounding of x - reference, and rescaling is exact.
 * c) n is read from the low bits of x log2(e) + MAGIC. Valid for |x| below REDUCE_LIMIT; callers clamp.
 * d) Everything is static: a function compiled for AVX-512 must never be picked by the linker for a lesser machine.
 */
#ifndef XENTC_VMATH_H
#define XENTC_VMATH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A call in a loop keeps it from being vectorised, and gcc stops inlining a long function at its second use. */
#if defined(__GNUC__) || defined(__clang__)
#define ALWAYS_INLINE static inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE static inline
#endif

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define XENTC_FMA 1
ALWAYS_INLINE float madd_f32(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
ALWAYS_INLINE double madd_f64(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
#define XENTC_FMA 0
ALWAYS_INLINE float madd_f32(float a, float b, float c) { return a * b + c; }
ALWAYS_INLINE double madd_f64(double a, double b, double c) { return a * b + c; }
#endif

ALWAYS_INLINE int32_t bits_f32(float x) { int32_t b; memcpy(&b, &x, sizeof b); return b; }
ALWAYS_INLINE int64_t bits_f64(double x) { int64_t b; memcpy(&b, &x, sizeof b); return b; }
ALWAYS_INLINE float from_bits_f32(uint32_t b) { float x; memcpy(&x, &b, sizeof x); return x; }
ALWAYS_INLINE double from_bits_f64(uint64_t b) { double x; memcpy(&x, &b, sizeof x); return x; }

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BIG_ENDIAN_HOST 1
#else
#define BIG_ENDIAN_HOST 0
#endif

#define LOG2E 1.4426950408889634074
#define LN2 0.69314718055994530942
/* Differences of logits are added up scaled by this, exactly: those of the largest floats would overflow. */
#define SPREAD_SCALE (1.0 / 256)
#define MAGIC_F32 12582912.0f       /* 1.5 * 2^23 */
#define MAGIC_F64 6755399441055744.0 /* 1.5 * 2^52 */
/* ln 2 in two parts; n * LN2_HI_F64 is exact for |n| < 2^20. */
#define LN2_HI_F64 0x1.62e42fee00000p-1
#define LN2_LO_F64 0x1.a39ef35793c76p-33

/* p(r) = exp(r) on |r| <= ln(2)/2, minimax in relative error with 1 + r fixed: 3.1e-9 and 7.7e-18. One degree less is
 * 8 % faster in float, and too coarse: a row of equal logits has the same error in every term. */
ALWAYS_INLINE float exp_poly_f32(float r) {
    float p = 0.00138145401768f;
    p = madd_f32(p, r, 0.00836874510894f);
    p = madd_f32(p, r, 0.0416683907835f);
    p = madd_f32(p, r, 0.16666520399f);
    p = madd_f32(p, r, 0.499999934321f);
    p = madd_f32(p, r, 1.0f);
    return madd_f32(p, r, 1.0f);
}

ALWAYS_INLINE double expm1_over_r_f64(double r) {
    double p = 2.511009630403348889e-8;
    p = madd_f64(p, r, 2.7632716110097872761e-7);
    p = madd_f64(p, r, 2.7557242213510690926e-6);
    p = madd_f64(p, r, 0.00002480148716583870928);
    p = madd_f64(p, r, 0.00019841269886699926183);
    p = madd_f64(p, r, 0.0013888888947962542784);
    p = madd_f64(p, r, 0.0083333333333221716312);
    p = madd_f64(p, r, 0.041666666666521526949);
    p = madd_f64(p, r, 0.16666666666666674561);
    p = madd_f64(p, r, 0.50000000000000102655);
    return madd_f64(p, r, 1.0);
}

/* The polynomial of floats in doubles: 3.1e-9. */
ALWAYS_INLINE double exp_coarse_f64(double r) {
    double p = 0.00138145401768;
    p = madd_f64(p, r, 0.00836874510894);
    p = madd_f64(p, r, 0.0416683907835);
    p = madd_f64(p, r, 0.16666520399);
    p = madd_f64(p, r, 0.499999934321);
    p = madd_f64(p, r, 1.0);
    return madd_f64(p, r, 1.0);
}

ALWAYS_INLINE double exp_poly_f64(double r) { return madd_f64(expm1_over_r_f64(r), r, 1.0); }

ALWAYS_INLINE double reduce_f64(double x, double n) {
    return madd_f64(n, -LN2_LO_F64, madd_f64(n, -LN2_HI_F64, x));
}

/* float: x - n L, L near ln 2. With a fused multiply-add L is the nearest float, one operation: a term comes out
 * e^(n (ln 2 - L)) too large. For terms within a row that is a common factor but for the difference of their n, which is
 * small where terms count; unskew() takes it out of the sum. Without a fused multiply-add the products must be exact:
 * 7 bits of ln 2 at a time for |n| < 2^17, and nothing is left to take out. In double a difference of ten n would show. */
#if XENTC_FMA
#define SKEW_F32 (-1.904654299957768e-9)
ALWAYS_INLINE float reduce_fast_f32(float x, float n) { return madd_f32(n, -0x1.62e430p-1f, x); }
#else
#define SKEW_F32 0.0
ALWAYS_INLINE float reduce_fast_f32(float x, float n) {
    float r = (x - n * 0.6953125f) + n * 0.0021667480468750f;
    return r - n * 1.42860676e-6f;
}
#endif

/* exp(-y), for |y| < 3e-4: what a sum of skewed terms of one n, y = n skew, is to be multiplied with. Exactly 1 for y = 0. */
ALWAYS_INLINE double unskew(double y) {
    return madd_f64(y, madd_f64(y, madd_f64(y, -1.0 / 6.0, 0.5), -1.0), 1.0);
}

/* exp(x) 2^-m. The reference rides in the magic number: magic = MAGIC + bias - m, so that the low bits of t are the
 * exponent field of 2^(n - m). Skewed, see above. Exactly 0 for x at the clamp (m - bias) ln 2; nan stays nan. |m| < 2^20. */
ALWAYS_INLINE float exp_over_f32(float x, float magic) {
    float t = madd_f32(x, (float)LOG2E, magic);
    float n = t - magic;
    return exp_poly_f32(reduce_fast_f32(x, n)) * from_bits_f32((uint32_t)bits_f32(t) << 23);
}

ALWAYS_INLINE double exp_over_f64(double x, double magic) {
    double t = madd_f64(x, LOG2E, magic);
    double n = t - magic;
    return exp_poly_f64(reduce_f64(x, n)) * from_bits_f64((uint64_t)bits_f64(t) << 52);
}

/* Comparisons spelled so that nan keeps its place: the running best drops it, the clamp lets it through. Each is one
 * max instruction on x86. */
ALWAYS_INLINE float larger_f32(float x, float best) { return x > best ? x : best; }
ALWAYS_INLINE double larger_f64(double x, double best) { return x > best ? x : best; }
ALWAYS_INLINE float at_least_f32(float x, float low) { return x < low ? low : x; }
ALWAYS_INLINE double at_least_f64(double x, double low) { return x < low ? low : x; }
ALWAYS_INLINE double at_most_f64(double x, double high) { return x > high ? high : x; }

/* A coefficient of exactly 0 removes its term: 0 times inf or nan is 0 here. */
ALWAYS_INLINE float times_f32(float coefficient, float x) { return coefficient == 0.0f ? 0.0f : coefficient * x; }
ALWAYS_INLINE double times_f64(double coefficient, double x) { return coefficient == 0.0 ? 0.0 : coefficient * x; }

/* exp(x) 2^-m scale, for the gradient: the scale rides in the coefficients, which are the same for a whole row. In float
 * one degree less than the sum (9.2e-8): the error of an entry stands for itself here, and is rounded by as much anyway. */
ALWAYS_INLINE float exp_over_scaled_f32(float x, float magic, float scale) {
    float t = madd_f32(x, (float)LOG2E, magic);
    float r = reduce_fast_f32(x, t - magic);
    float p = 0x1.0f9ee4p-7f * scale;
    p = madd_f32(p, r, 0x1.573adap-5f * scale);
    p = madd_f32(p, r, 0x1.555a82p-3f * scale);
    p = madd_f32(p, r, 0x1.fffdc4p-2f * scale);
    p = madd_f32(p, r, 0x1.fffff6p-1f * scale);
    return madd_f32(p, r, scale) * from_bits_f32((uint32_t)bits_f32(t) << 23);
}

ALWAYS_INLINE double exp_over_scaled_f64(double x, double magic, double scale) {
    return exp_over_f64(x, magic) * scale;
}

/* One nan for all: whether a product of nans keeps the sign of the first or the second is the compiler's choice, and
 * differs between the body and the tail of a loop, or between two vectors of one. */
ALWAYS_INLINE double one_nan_f64(double x) { return x == x ? x : from_bits_f64(0x7ff8000000000000u); }

/* A choice by mask, all ones or none. Chains of ?: are threaded into branches by gcc, and then no longer vectorise. */
ALWAYS_INLINE int64_t mask_of(int condition) { return -(int64_t)condition; }
ALWAYS_INLINE double select_f64(int64_t mask, double yes, double no) {
    return from_bits_f64((uint64_t)((bits_f64(yes) & mask) | (bits_f64(no) & ~mask)));
}

/* 2^n for an integral n as a double, |n| <= 1000; nan gives some finite number. */
ALWAYS_INLINE double pow2_f64(double n) {
    return from_bits_f64((uint64_t)(bits_f64(n + MAGIC_F64) + 1023) << 52);
}

/* floor(log2(x)) of a positive normal x, and x scaled to [1, 2). */
ALWAYS_INLINE double exponent_f64(double x) {
    double biased = from_bits_f64(((uint64_t)bits_f64(x) >> 52) | 0x4330000000000000u); /* 2^52 + field */
    return biased - (4503599627370496.0 + 1023.0);
}

ALWAYS_INLINE double mantissa_f64(double x) {
    return from_bits_f64(((uint64_t)bits_f64(x) & 0x000fffffffffffffu) | 0x3ff0000000000000u);
}

#define INFINITY_F64 from_bits_f64(0x7ff0000000000000u)
#define NAN_F64 from_bits_f64(0x7ff8000000000000u)

/* log(u) + n ln 2 + correction - subtract, u = 1 + f in [sqrt(1/2), sqrt(2)]. The atanh series with the minimax
 * coefficients of P. T. P. Tang's and FreeBSD's log; the large parts are added last, and what their sum is rounded by
 * is kept. */
ALWAYS_INLINE double log_tail_f64(double f, double n, double correction, double subtract) {
    double s = f / (2.0 + f);
    double z = s * s;
    double w = z * z;
    double even = madd_f64(w, madd_f64(w, 1.531383769920937332e-01, 2.222219843214978396e-01), 3.999999999940941908e-01);
    double odd = madd_f64(w, madd_f64(w, madd_f64(w, 1.479819860510658591e-01, 1.818357216161805012e-01),
                                      2.857142874366239149e-01), 6.666666666666735130e-01);
    double half_square = 0.5 * f * f;
    double series = s * (half_square + (w * even + z * odd));
    double large = n * LN2_HI_F64 - subtract;
    double rounded = large + f;
    double lost = (large - rounded) + f;
    lost = select_f64(mask_of(lost == lost), lost, 0.0); /* nan where large is infinite */
    return rounded + (lost - (half_square - (series + (n * LN2_LO_F64 + correction))));
}

/* log(1 + f) in [sqrt(1/2), sqrt(2)] to 1e-11: the atanh series, minimax. */
ALWAYS_INLINE double log1p_coarse_f64(double f) {
    double s = f / (2.0 + f);
    double z = s * s;
    double p = 0.23581482672325026;
    p = madd_f64(p, z, 0.28537346321403463);
    p = madd_f64(p, z, 0.40000334546974466);
    p = madd_f64(p, z, 0.66666665648573249);
    return s * madd_f64(p, z, 2.0);
}

#endif
