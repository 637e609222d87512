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

#define FAR_EXPONENT 200.0
#define FAR_LOGIT (-1e5)

/* coarse, a literal: the sum is of float terms, and 1e-8 is exact. exp(-x) then saves a division by exp(x), and what
 * rounding 1 + q lost is not looked at: a third of the time of a sample of few classes. */
ALWAYS_INLINE SoftmaxPoint softmax_point(double sum_exp, double exponent, double skew, double x, int coarse) {
    SoftmaxPoint point;
    double near_x = at_least_f64(x, FAR_LOGIT);
    double n = madd_f64(near_x, LOG2E, MAGIC_F64) - MAGIC_F64;
    /* By the way the other terms take, so that in a row of equal logits every error is the same and drops out. */
    double own = coarse ? 1.0 : exp_poly_f64(reduce_f64(near_x, n));
    double own_inverse = coarse ? exp_coarse_f64(madd_f64(n, LN2, -near_x)) : 1.0;
    double gap = exponent - n;
    int64_t far = mask_of(gap > FAR_EXPONENT) | mask_of(x < FAR_LOGIT);
    double shift = at_least_f64(-at_least_f64(-gap, -FAR_EXPONENT), -1990.0);
    double half_shift = madd_f64(shift, 0.5, MAGIC_F64) - MAGIC_F64;
    double q = (coarse ? sum_exp * own_inverse : sum_exp / own) * unskew(skew) * pow2_f64(half_shift) * pow2_f64(shift - half_shift);
    double sum = 1.0 + q;
    int64_t below_1 = mask_of(q < 1.0);
    double lost = select_f64(below_1, q, 1.0) - (sum - select_f64(below_1, 1.0, q)); /* what rounding 1 + q lost */
    double u = select_f64(far, sum_exp * unskew(skew), sum);
    double inverse_u = 1.0 / u;
    double mantissa = mantissa_f64(u);
    int64_t high = mask_of(mantissa > 1.4142135623730951);
    int64_t small = ~far & mask_of(q < 0.41421356237309503);
    double f = select_f64(small, q, mantissa * select_f64(high, 0.5, 1.0) - 1.0);
    double power = exponent_f64(u) + select_f64(high, 1.0, 0.0) + select_f64(far, exponent, 0.0);
    double correction = coarse ? 0.0 : select_f64(small | far, 0.0, lost * inverse_u);
    double nll = log_tail_f64(f, select_f64(small, 0.0, power), correction, select_f64(far, x, 0.0));
    double total = u * select_f64(far, 1.0, own);
    int64_t valid = mask_of(u > 0.0) & mask_of(u < INFINITY_F64);
    point.nll = select_f64(valid, nll, NAN_F64);
    point.rest_share = select_f64(valid, select_f64(far, 1.0, coarse ? q * inverse_u : q / u), NAN_F64);
    point.own_share = select_f64(valid, select_f64(far, 0.0, inverse_u), NAN_F64);
    point.exponent = select_f64(valid, select_f64(far, exponent, n) + exponent_f64(total), 0.0);
    point.inverse = coarse ? select_f64(far, 1.0, own_inverse) : 1.0;
    point.inverse = select_f64(valid, point.inverse / mantissa_f64(total), NAN_F64);
    return point;
}

#endif
