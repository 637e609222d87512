/* map_terms.h where no table fits a register, and in double: the loops that the compiler makes vectors of. */
#ifndef XENTC_MAP_TERMS_PLAIN_H
#define XENTC_MAP_TERMS_PLAIN_H

#include "binary.h"
#include "terms.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define restrict __restrict
#endif

#if EXP_STEPS == 1

ALWAYS_INLINE int binary_hard_terms_f32(const float *restrict x, const float *restrict target, int slopes,
                                        float scale, float *restrict loss, float *restrict grad) {
    uint32_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= (uint32_t)between_f32(target[i]) | beyond_one_f32(x[i]);
        loss[i] = binary_hard_f32(x[i], target[i]);
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = scale * binary_slope_f32(x[i], target[i]);
    return odd != 0;
}

ALWAYS_INLINE int binary_soft_terms_f32(const float *restrict x, const float *restrict target, int slopes,
                                        float scale, float *restrict loss, float *restrict grad) {
    uint32_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= beyond_one_f32(target[i]) | beyond_one_f32(x[i]);
        loss[i] = binary_soft_f32(x[i], target[i]);
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = scale * binary_slope_f32(x[i], target[i]);
    return odd != 0;
}

ALWAYS_INLINE int logit_hard_terms_f32(const float *restrict x, const float *restrict target, int slopes, float scale,
                                       float *restrict loss, float *restrict grad) {
    int32_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= between_f32(target[i]);
        loss[i] = one_nan_f32(logit_hard_f32(x[i], target[i]));
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f32(scale * logit_hard_slope_f32(x[i], target[i]));
    return odd != 0;
}

ALWAYS_INLINE int logit_soft_terms_f32(const float *restrict x, const float *restrict target,
                                       const float *restrict positive, int slopes, float scale, float *restrict loss,
                                       float *restrict grad) {
    for (int i = 0; i < N_TERMS; i++)
        loss[i] = one_nan_f32(logit_soft_f32(x[i], target[i], positive[i]));
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f32(scale * logit_soft_slope_f32(x[i], target[i], positive[i]));
    return 0;
}

ALWAYS_INLINE int hinge_terms_f32(const float *restrict x, const float *restrict target, float margin, int slopes,
                                  float scale, float *restrict loss, float *restrict grad) {
    for (int i = 0; i < N_TERMS; i++)
        loss[i] = one_nan_f32(hinge_loss_f32(x[i], target[i], margin));
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f32(scale * hinge_slope_f32(x[i], target[i], margin));
    return 0;
}

#endif

ALWAYS_INLINE int binary_hard_terms_f64(const double *restrict x, const double *restrict target, int slopes,
                                        double scale, double *restrict loss, double *restrict grad) {
    uint64_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= (uint64_t)between_f64(target[i]) | beyond_one_f64(x[i]);
        loss[i] = binary_hard_f64(x[i], target[i]);
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = scale * binary_slope_f64(x[i], target[i]);
    return odd != 0;
}

ALWAYS_INLINE int binary_soft_terms_f64(const double *restrict x, const double *restrict target, int slopes,
                                        double scale, double *restrict loss, double *restrict grad) {
    uint64_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= beyond_one_f64(target[i]) | beyond_one_f64(x[i]);
        loss[i] = binary_soft_f64(x[i], target[i]);
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = scale * binary_slope_f64(x[i], target[i]);
    return odd != 0;
}

ALWAYS_INLINE int logit_hard_terms_f64(const double *restrict x, const double *restrict target, int slopes,
                                       double scale, double *restrict loss, double *restrict grad) {
    int64_t odd = 0;
    for (int i = 0; i < N_TERMS; i++) {
        odd |= between_f64(target[i]);
        loss[i] = one_nan_f64(logit_hard_f64(x[i], target[i]));
    }
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f64(scale * logit_hard_slope_f64(x[i], target[i]));
    return odd != 0;
}

ALWAYS_INLINE int logit_soft_terms_f64(const double *restrict x, const double *restrict target,
                                       const double *restrict positive, int slopes, double scale,
                                       double *restrict loss, double *restrict grad) {
    for (int i = 0; i < N_TERMS; i++)
        loss[i] = one_nan_f64(logit_soft_f64(x[i], target[i], positive[i]));
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f64(scale * logit_soft_slope_f64(x[i], target[i], positive[i]));
    return 0;
}

ALWAYS_INLINE int hinge_terms_f64(const double *restrict x, const double *restrict target, double margin, int slopes,
                                  double scale, double *restrict loss, double *restrict grad) {
    for (int i = 0; i < N_TERMS; i++)
        loss[i] = one_nan_f64(hinge_loss_f64(x[i], target[i], margin));
    for (int i = 0; slopes && i < N_TERMS; i++)
        grad[i] = one_nan_f64(scale * hinge_slope_f64(x[i], target[i], margin));
    return 0;
}

#endif
