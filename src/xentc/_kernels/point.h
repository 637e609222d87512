/* What one sample's softmax comes to, once its logits have been summed. Branch-free, so that it vectorises. */
#ifndef XENTC_POINT_H
#define XENTC_POINT_H

#include "vmath.h"

/* One sample's softmax, from the sum over all classes but the target and the target's own logit:
 *     rest = sum of exp(x_k), k not the target, given as sum_exp 2^exponent;   own = exp(x_target)
 *     nll = log(1 + rest / own)      1 - p(target) = rest / (rest + own)
 * so nothing cancels, however confident the row. p(k) = exp(x_k) 2^-exponent * inverse.
 * Where own lies so far below that rest / own would overflow, nll = log(rest) - x_target instead.
 * A row without a finite logit, or with a nan, gives nan throughout. */
typedef struct {
    double nll;
    double rest_share;
    double exponent;
    double inverse;
} SoftmaxPoint;

#define FAR_EXPONENT 200.0
#define FAR_LOGIT (-1e5)

static inline SoftmaxPoint softmax_point(double sum_exp, double exponent, double x) {
    SoftmaxPoint point;
    double near_x = at_least_f64(x, FAR_LOGIT);
    double n = madd_f64(near_x, LOG2E, MAGIC_F64) - MAGIC_F64;
    double own = exp_poly_f64(reduce_f64(near_x, n));
    double gap = exponent - n;
    int far = (gap > FAR_EXPONENT) | (x < FAR_LOGIT);
    double shift = at_least_f64(gap > FAR_EXPONENT ? FAR_EXPONENT : gap, -1000.0);
    double q = sum_exp / own * pow2_f64(shift);
    double sum = 1.0 + q;
    double lost = q < 1.0 ? q - (sum - 1.0) : 1.0 - (sum - q); /* what rounding 1 + q lost */
    double u = far ? sum_exp : sum;
    double mantissa = mantissa_f64(u);
    double high = mantissa > 1.4142135623730951 ? 1.0 : 0.0;
    int small = !far & (q < 0.41421356237309503);
    double f = small ? q : mantissa * (1.0 - 0.5 * high) - 1.0;
    double power = small ? 0.0 : exponent_f64(u) + high + (far ? exponent : 0.0);
    double nll = log_tail_f64(f, power, small | far ? 0.0 : lost / sum, far ? x : 0.0);
    double total = far ? sum_exp : own * sum;
    int valid = (total > 0.0) & (total < INFINITY_F64);
    point.nll = u < INFINITY_F64 ? (valid ? nll : NAN_F64) : u;
    point.rest_share = valid ? (far ? 1.0 : q / sum) : NAN_F64;
    point.exponent = valid ? (far ? exponent : n) + exponent_f64(total) : 0.0;
    point.inverse = valid ? 1.0 / mantissa_f64(total) : NAN_F64;
    return point;
}

#endif
