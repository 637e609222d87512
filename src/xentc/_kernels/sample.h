/* From the sums over a sample's classes to its loss and to what its gradient needs, in double, shared by the row and the
 * lane kernel. Branch-free, so that it vectorises over samples. */
#ifndef XENTC_SAMPLE_H
#define XENTC_SAMPLE_H

#include "point.h"

/* The sums over all classes but the hole: v_c as in api.pxd; origin is one of the sample's logits, so that the terms of
 * the spread target are differences of logits and do not cancel. */
typedef struct {
    double spread_sum;  /* of v_c (origin - x_c) */
    double spread_mass; /* of v_c */
    double origin;
    double shift;         /* what was subtracted from every logit */
    double own;           /* x at the hole */
    double own_mass;      /* v at the hole */
    double target_weight; /* w[t] where targets are indices, else 0 */
} Sums;

/* A coefficient of exactly 0 removes its own term: 0 times inf or nan is 0 here. */
ALWAYS_INLINE double product(double a, double b) {
    return select_f64(mask_of(a == 0.0) | mask_of(b == 0.0), 0.0, a * b);
}

/* lse - base. total = 2^exponent / inverse, inverse in [1/3, 3/2], and exponent * LN2_HI_F64 is exact. */
ALWAYS_INLINE double lse_above(SoftmaxPoint point, double base) {
    double mantissa = mantissa_f64(point.inverse), n = exponent_f64(point.inverse);
    int64_t high = mask_of(mantissa > SQRT2);
    double f = mantissa * select_f64(high, 0.5, 1.0) - 1.0;
    double nan_or_0 = point.inverse - point.inverse; /* the mantissa of a nan is a number */
    return -log_tail_f64(f, (n + select_f64(high, 1.0, 0.0)) - point.exponent, nan_or_0, -base);
}

/* lse - origin. Where the hole has more than half, lse is near its logit, and nll says how near. Of few classes it is as
 * often so as not. */
ALWAYS_INLINE double excess_of(Sums sums, SoftmaxPoint point) {
    return select_f64(mask_of(point.rest_share < 0.5), (sums.own - sums.origin) + point.nll,
                      lse_above(point, sums.origin));
}

/* sum of v_c (lse - x_c) over all classes. A class whose v is 0 adds nothing, whatever its logit. */
ALWAYS_INLINE double spread_loss(Sums sums, double nll, double excess) {
    double mass = sums.spread_mass + sums.own_mass;
    double loss = (product(mass, excess) + sums.spread_sum) + product(sums.own_mass, sums.origin - sums.own);
    /* Also where class weights add up to 0, and infinite terms of both signs need not meet. */
    int64_t any = mask_of(sums.spread_mass != 0.0) | mask_of(sums.own_mass != 0.0) | mask_of(sums.spread_sum != 0.0);
    return select_f64(mask_of(nll != nll) & any, NAN_F64, loss);
}

ALWAYS_INLINE double true_lse(Sums sums, SoftmaxPoint point) { return lse_above(point, 0.0) + sums.shift; }

/* The loss of a sample before its sample weight: keep of its target's and, where it spreads or squares, which are literals
 * where it has to be fast, what these add. */
ALWAYS_INLINE double sample_loss(double keep, int spreads, int squares, double lse_square_scale, Sums sums,
                                 SoftmaxPoint point) {
    double loss = product(keep * sums.target_weight, point.nll);
    if (spreads) loss += spread_loss(sums, point.nll, excess_of(sums, point));
    if (squares) {
        double lse = true_lse(sums, point);
        loss += lse_square_scale * lse * lse;
    }
    return loss;
}

/* What the gradient of a class k is made of: pull p_k - push v_k and, at the hole, at_hole, where p and 1 - p are both
 * known well, and nothing cancels. */
typedef struct {
    double pull;
    double push;
    double at_hole;
} Slopes;

/* scale: of the sample's gradient; loss: its own, with its weight. */
ALWAYS_INLINE Slopes sample_slopes(double keep, int spreads, int squares, double lse_square_scale, Sums sums,
                                   SoftmaxPoint point, double loss, double scale) {
    Slopes slopes;
    double own = keep * sums.target_weight, others = 0.0;
    if (squares) others = 2.0 * lse_square_scale * true_lse(sums, point);
    if (spreads) {
        others += sums.spread_mass;
        own += sums.own_mass;
    }
    /* nan also where class weights add up to a pull of 0. */
    int64_t is_nan = mask_of(loss != loss) & mask_of(point.inverse != point.inverse);
    slopes.pull = product(scale, select_f64(is_nan, NAN_F64, others + own));
    slopes.push = scale;
    slopes.at_hole = product(scale, product(others, point.own_share) - product(own, point.rest_share));
    return slopes;
}

/* N_ENDS samples side by side: what is known of them, then what it comes to. */
#define N_ENDS 32
typedef struct {
    double spread_sum[N_ENDS], spread_mass[N_ENDS], origin[N_ENDS], shift[N_ENDS], own[N_ENDS], own_mass[N_ENDS];
    double target_weight[N_ENDS];
    double nll[N_ENDS], rest_share[N_ENDS], own_share[N_ENDS], exponent[N_ENDS], inverse[N_ENDS];
    double scale[N_ENDS]; /* of the loss */
    double loss[N_ENDS];
    double pull[N_ENDS], push[N_ENDS], at_hole[N_ENDS];
} Ends;

ALWAYS_INLINE Sums sums_of(const Ends *ends, int i) {
    Sums sums = {ends->spread_sum[i], ends->spread_mass[i], ends->origin[i],       ends->shift[i],
                 ends->own[i],        ends->own_mass[i],    ends->target_weight[i]};
    return sums;
}

ALWAYS_INLINE SoftmaxPoint end_point(const Ends *ends, int i) {
    SoftmaxPoint point = {ends->nll[i], ends->rest_share[i], ends->own_share[i], ends->exponent[i], ends->inverse[i]};
    return point;
}

/* A sample of scale 0 has neither loss nor gradient, whatever its logits are. */
ALWAYS_INLINE double scaled_loss(double scale, double loss) {
    return select_f64(mask_of(scale == 0.0), 0.0, one_nan_f64(scale * loss));
}

ALWAYS_INLINE void end_losses(double keep, int spreads, int squares, double lse_square_scale, Ends *ends) {
    double loss[N_ENDS];
    for (int i = 0; i < N_ENDS; i++)
        loss[i] = scaled_loss(ends->scale[i], sample_loss(keep, spreads, squares, lse_square_scale, sums_of(ends, i),
                                                          end_point(ends, i)));
    memcpy(ends->loss, loss, sizeof loss);
}

/* Of float terms and where the hole's logit is no mask, nll says as well as anything by how much lse is above it: nothing
 * else of the point is needed for the loss. */
ALWAYS_INLINE int is_masked(double own) { return own < FAR_LOGIT; }

ALWAYS_INLINE void end_coarse_losses(double keep, Ends *ends) {
    double loss[N_ENDS];
    for (int i = 0; i < N_ENDS; i++) {
        Sums sums = sums_of(ends, i);
        double nll = ends->nll[i], one = product(keep * sums.target_weight, nll);
        one += spread_loss(sums, nll, (sums.own - sums.origin) + nll);
        loss[i] = scaled_loss(ends->scale[i], one);
    }
    for (int i = 0; i < N_ENDS; i++)
        if (is_masked(ends->own[i]))
            loss[i] = scaled_loss(ends->scale[i], sample_loss(keep, 1, 0, 0.0, sums_of(ends, i), end_point(ends, i)));
    memcpy(ends->loss, loss, sizeof loss);
}

/* each: of the gradient of each loss. */
ALWAYS_INLINE void end_slopes(double keep, int spreads, int squares, double lse_square_scale, const double *each,
                              Ends *ends) {
    double pull[N_ENDS], push[N_ENDS], at_hole[N_ENDS];
    for (int i = 0; i < N_ENDS; i++) {
        Slopes slopes = sample_slopes(keep, spreads, squares, lse_square_scale, sums_of(ends, i), end_point(ends, i),
                                      ends->loss[i], product(ends->scale[i], each[i]));
        pull[i] = slopes.pull, push[i] = slopes.push, at_hole[i] = slopes.at_hole;
    }
    memcpy(ends->pull, pull, sizeof pull);
    memcpy(ends->push, push, sizeof push);
    memcpy(ends->at_hole, at_hole, sizeof at_hole);
}

#endif
