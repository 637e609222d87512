/* What one sample's softmax comes to, once its logits have been summed. Branch-free, so that it vectorises. */
#ifndef XENTC_POINT_H
#define XENTC_POINT_H

#include "vmath.h"

/* One sample's softmax, from the sum over all classes but the target and the target's own logit:
 *     rest = sum of exp(x_k), k not the target, given as sum_exp 2^exponent;   own = exp(x_target)
 *     nll = log(1 + rest / own)      own_share = p(target) = own / (rest + own)      rest_share = rest / (rest + own)
 * where sum_exp is too large by e^skew (see vmath.h). Nothing cancels, however confident the row.
 * p(k) = exp(x_k) 2^-exponent * inverse, which is between 1/3 and 3/2.
 * Where own lies so far below that rest / own would overflow, nll = log(rest) - x_target instead.
 * A row without a finite logit, or with a nan, gives nan throughout. */
typedef struct {
    double nll;
    double rest_share;
    double own_share;
    double exponent;
    double inverse;
} SoftmaxPoint;

#define SQRT2 1.4142135623730951
#define FAR_EXPONENT 865.0 /* 600 nats: below it the target's own share is no longer told from 0 */
#define FAR_LOGIT (-1e5)

/* Of double terms: every operation's error is below the promise of 8 ULP. */
ALWAYS_INLINE SoftmaxPoint fine_point(double sum_exp, double exponent, double skew, double x) {
    SoftmaxPoint point;
    double near_x = at_least_f64(x, FAR_LOGIT);
    double n = madd_f64(near_x, LOG2E, MAGIC_F64) - MAGIC_F64;
    /* By the way the other terms take, so that in a row of equal logits every error is the same and drops out. */
    double own = exp_poly_f64(reduce_f64(near_x, n));
    double gap = exponent - n;
    int64_t far = mask_of(gap > FAR_EXPONENT) | mask_of(x < FAR_LOGIT);
    double shift = at_least_f64(-at_least_f64(-gap, -FAR_EXPONENT), -1990.0);
    double half_shift = madd_f64(shift, 0.5, MAGIC_F64) - MAGIC_F64;
    double q = (sum_exp / own) * unskew(skew) * pow2_f64(half_shift) * pow2_f64(shift - half_shift);
    double sum = 1.0 + q;
    int64_t below_1 = mask_of(q < 1.0);
    double lost = select_f64(below_1, q, 1.0) - (sum - select_f64(below_1, 1.0, q)); /* what rounding 1 + q lost */
    double u = select_f64(far, sum_exp * unskew(skew), sum);
    double inverse_u = 1.0 / u;
    double mantissa = mantissa_f64(u);
    int64_t high = mask_of(mantissa > SQRT2);
    int64_t small = ~far & mask_of(q < SQRT2 - 1.0);
    double f = select_f64(small, q, mantissa * select_f64(high, 0.5, 1.0) - 1.0);
    double power = exponent_f64(u) + select_f64(high, 1.0, 0.0) + select_f64(far, exponent, 0.0);
    double correction = select_f64(small | far, 0.0, lost * inverse_u);
    double nll = log_tail_f64(f, select_f64(small, 0.0, power), correction, select_f64(far, x, 0.0));
    double total = u * select_f64(far, 1.0, own);
    int64_t valid = mask_of(u > 0.0) & mask_of(u < INFINITY_F64);
    point.nll = select_f64(valid, nll, NAN_F64);
    point.rest_share = select_f64(valid, select_f64(far, 1.0, q / u), NAN_F64);
    point.own_share = select_f64(valid, select_f64(far, 0.0, inverse_u), NAN_F64);
    point.exponent = select_f64(valid, select_f64(far, exponent, n) + exponent_f64(total), 0.0);
    point.inverse = select_f64(valid, 1.0 / mantissa_f64(total), NAN_F64);
    return point;
}

/* Of float terms: 1e-8 is exact, and what a sample of few classes costs is this. In two steps, as either is a chain of
 * operations that wait for each other: of many samples a step at a time is twice as fast.
 * q is the sum times e^gap, the gap from own to the reference (the skew is a part of it). What a gap has beyond 600 is
 * added to the logarithm, as 1 is nothing beside q then. Of a gap far below 0 nothing of q is left, whatever the power. */
#define HIGHEST_GAP 600.0
#define LOWEST_POWER (-1000.0)
typedef struct {
    double q;
    double n;           /* of the gap */
    double above_own;   /* e^gap 2^-n */
    double far;         /* what the gap has beyond HIGHEST_GAP; nan: there is no softmax */
} CoarseOdds;

ALWAYS_INLINE CoarseOdds coarse_odds(double sum_exp, double exponent, double skew, double x) {
    CoarseOdds odds;
    double whole_gap = madd_f64(exponent, LN2, -x) - skew;
    double gap = at_most_f64(whole_gap, HIGHEST_GAP);
    /* An infinite logit or sum, or none at all. */
    int64_t valid = mask_of(sum_exp < INFINITY_F64) & mask_of(x < INFINITY_F64);
    valid &= mask_of(sum_exp > 0.0) | mask_of(x > -INFINITY_F64);
    odds.n = madd_f64(gap, LOG2E, MAGIC_F64) - MAGIC_F64;
    odds.above_own = exp_coarse_f64(madd_f64(odds.n, -LN2, gap));
    odds.q = sum_exp * odds.above_own * pow2_f64(at_least_f64(odds.n, LOWEST_POWER));
    odds.far = select_f64(valid, at_least_f64(whole_gap, HIGHEST_GAP) - HIGHEST_GAP, NAN_F64);
    return odds;
}

ALWAYS_INLINE double coarse_nll(double q, double far) {
    double u = 1.0 + q;
    double mantissa = mantissa_f64(u);
    int64_t high = mask_of(mantissa > SQRT2), small = mask_of(q < SQRT2 - 1.0);
    double f = select_f64(small, q, madd_f64(mantissa, select_f64(high, 0.5, 1.0), -1.0));
    double power = select_f64(small, 0.0, exponent_f64(u) + select_f64(high, 1.0, 0.0));
    return madd_f64(power, LN2, log1p_coarse_f64(f)) + far;
}

ALWAYS_INLINE SoftmaxPoint coarse_point(double exponent, double skew, CoarseOdds odds) {
    SoftmaxPoint point;
    double u = 1.0 + odds.q;
    int64_t valid = mask_of(odds.far == odds.far), far = mask_of(odds.far > 0.0);
    double inverse_u = select_f64(valid, 1.0 / u, NAN_F64);
    point.nll = coarse_nll(odds.q, odds.far);
    point.rest_share = select_f64(far, 1.0, odds.q * inverse_u);
    point.own_share = select_f64(far, 0.0, inverse_u);
    point.exponent = select_f64(valid, (exponent - odds.n) + exponent_f64(u), 0.0);
    point.inverse = odds.above_own * unskew(-skew) * inverse_u * pow2_f64(exponent_f64(u));
    return point;
}

/* coarse, a literal: the sum is of float terms. */
ALWAYS_INLINE SoftmaxPoint softmax_point(double sum_exp, double exponent, double skew, double x, int coarse) {
    return coarse ? coarse_point(exponent, skew, coarse_odds(sum_exp, exponent, skew, x))
                  : fine_point(sum_exp, exponent, skew, x);
}

#endif
