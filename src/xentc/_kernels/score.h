/* What score gives of one sample, once its logits have been summed. Branch-free, so that it vectorises. */
#ifndef XENTC_SCORE_H
#define XENTC_SCORE_H

#include "point.h"

typedef struct {
    double nll;
    double lse;
    double entropy;
    double confidence; /* the largest probability */
} ScorePoint;

/* From a sample's softmax, its target's logit (-inf: none), the largest of the other logits, and the mean over the
 * others of how far they lie below that:
 *     entropy = (lse - top) + sum over the others of p (top - x) + p(target) (top - own)
 * Every term is 0 or above, so nothing cancels, and lse - top is nll itself where the target is on top. */
ALWAYS_INLINE ScorePoint score_point(SoftmaxPoint softmax, double own, double row_max, double mean_fall, double shift) {
    ScorePoint point;
    int64_t own_is_top = mask_of(own > row_max);
    double top = select_f64(own_is_top, own, row_max);
    double mantissa = 1.0 / softmax.inverse;
    int64_t high = mask_of(mantissa > 1.4142135623730951);
    double f = mantissa * select_f64(high, 0.5, 1.0) - 1.0;
    double above = log_tail_f64(f, softmax.exponent + select_f64(high, 1.0, 0.0), 0.0, row_max);
    above = select_f64(own_is_top, softmax.nll, above);
    above = at_least_f64(above, 0.0);
    double others = softmax.rest_share * (mean_fall + (top - row_max));
    double mine = softmax.own_share * (top - own);
    others = select_f64(mask_of(softmax.rest_share > 0.0), others, 0.0);
    mine = select_f64(mask_of(softmax.own_share > 0.0), mine, 0.0);
    int64_t infinite = mask_of(top - top != 0.0);
    point.nll = softmax.nll;
    point.lse = select_f64(infinite, top, (top + above) + shift);
    point.entropy = above + (others + mine);
    point.confidence = exp_over_f64(at_least_f64(-above, -700.0), MAGIC_F64 + 1023.0);
    return point;
}

#endif
