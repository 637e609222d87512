/* Classes of N_TERMS samples side by side: their sums, and their gradients. What gcc keeps on the stack in such a loop
 * stays in registers here: half the time.
 *
 * x is the first of n classes, `stride` apart and numbered from first_number on; magic, low, hole and shift are of each
 * sample, and hole is the number of the class that is left out. shifts, a literal: whether a shift is subtracted.
 */
#ifndef XENTC_LANE_TERMS_H
#define XENTC_LANE_TERMS_H

#include "stream.h"
#include "terms.h"

#define LANE_GROUP 8 /* classes of samples side by side, between two foldings */

#if EXP_STEPS > 1
ALWAYS_INLINE void add_doubles(double *sums, floats terms) {
    store_f64(sums, add_f64(load_f64(sums), lower_doubles(terms)));
    sums += VECTOR_DOUBLES;
    store_f64(sums, add_f64(load_f64(sums), upper_doubles(terms)));
}
#endif

/* Terms are added in pairs, and LANE_GROUP classes are folded into double sums: a sum of equal terms is then rounded
 * once at most. */
/* What is read after the classes at hand: of class k of these at `near` or, from n_near on, at `beyond`, + k step. */
typedef struct {
    const char *near;
    const char *beyond;
    ptrdiff_t n_near;
    ptrdiff_t step;
} Ahead;

ALWAYS_INLINE void prefetch_lanes(const Ahead *ahead, ptrdiff_t k, int lane, int n_lanes) {
    const char *address = (k < ahead->n_near ? ahead->near : ahead->beyond) + k * ahead->step + lane * sizeof(float);
    for (size_t offset = 0; offset < n_lanes * sizeof(float); offset += 64) prefetch_far(address + offset);
}

#if EXP_STEPS > 1
/* Vectors of lanes that are added up side by side: with AVX2 there are registers for one. */
#if defined(__AVX512F__)
#define JOINED 2
#else
#define JOINED 1
#endif

/* Left out of the sum and of the highest: the logit of the class that the lane's hole is. */
ALWAYS_INLINE floats add_term(const float *x, floats shift, int shifts, floats number, floats hole, floats low,
                              floats magic, floats *own, floats *highest) {
    floats value = shifts ? subtract(load_f32(x), shift) : load_f32(x);
#if defined(__AVX512F__)
    *own = where_equal(hole, number, value, *own);
    value = where_equal(hole, number, all_f32((float)-INFINITY_F64), value);
    *highest = larger_of(value, *highest);
    return exp_floats(larger_of(low, value), magic, 0);
#else
    /* Not blended: gcc makes two instructions of each. As nan it is not the larger one. */
    floats here = equal_bits(hole, number);
    *own = add(*own, and_bits(here, value));
    *highest = larger_of(or_bits(here, value), *highest);
    return and_not_bits(here, exp_floats(larger_of(low, value), magic, 0));
#endif
}

ALWAYS_INLINE void add_lanes_f32(const float *x, ptrdiff_t stride, ptrdiff_t n, float first_number, const float *magic,
                                 const float *low, const float *hole, const float *shift, int shifts, float *own,
                                 float *highest, double *sums, const Ahead *ahead) {
    for (int i = 0; i < N_TERMS; i += JOINED * VECTOR_FLOATS) {
        int begins_line = i * sizeof(float) % LINE_BYTES == 0;
        floats magics[JOINED], lows[JOINED], holes[JOINED], shifted[JOINED], owns[JOINED], tops[JOINED];
        floats partial[JOINED], pair[JOINED], number = all_f32(first_number);
        for (int j = 0; j < JOINED; j++) {
            int lane = i + j * VECTOR_FLOATS;
            magics[j] = load_f32(magic + lane), lows[j] = load_f32(low + lane), holes[j] = load_f32(hole + lane);
            shifted[j] = shifts ? load_f32(shift + lane) : all_f32(0);
            owns[j] = load_f32(own + lane), tops[j] = load_f32(highest + lane);
        }
#pragma GCC unroll 1
        for (ptrdiff_t k = 0; k < n;) {
            ptrdiff_t stop = k + LANE_GROUP < n ? k + LANE_GROUP : n;
            for (int j = 0; j < JOINED; j++)
                partial[j] = all_f32(0);
            for (; k + 1 < stop; k += 2) {
                const float *first = x + k * stride + i, *second = first + stride;
                floats next = add(number, all_f32(1.0f));
                if (begins_line) {
                    prefetch_lanes(ahead, k, i, JOINED * VECTOR_FLOATS);
                    prefetch_lanes(ahead, k + 1, i, JOINED * VECTOR_FLOATS);
                }
                for (int j = 0; j < JOINED; j++) {
                    pair[j] = add_term(first + j * VECTOR_FLOATS, shifted[j], shifts, number, holes[j], lows[j],
                                       magics[j], &owns[j], &tops[j]);
                    pair[j] = add(pair[j], add_term(second + j * VECTOR_FLOATS, shifted[j], shifts, next, holes[j],
                                                    lows[j], magics[j], &owns[j], &tops[j]));
                    partial[j] = add(partial[j], pair[j]);
                }
                number = add(next, all_f32(1.0f));
            }
            for (; k < stop; k++) {
                for (int j = 0; j < JOINED; j++)
                    partial[j] = add(partial[j], add_term(x + k * stride + i + j * VECTOR_FLOATS, shifted[j], shifts,
                                                          number, holes[j], lows[j], magics[j], &owns[j], &tops[j]));
                number = add(number, all_f32(1.0f));
            }
            for (int j = 0; j < JOINED; j++)
                add_doubles(sums + i + j * VECTOR_FLOATS, partial[j]);
        }
        for (int j = 0; j < JOINED; j++) {
            store_f32(own + i + j * VECTOR_FLOATS, owns[j]);
            store_f32(highest + i + j * VECTOR_FLOATS, tops[j]);
        }
    }
}
#else
ALWAYS_INLINE void add_lanes_f32(const float *x, ptrdiff_t stride, ptrdiff_t n, float first_number, const float *magic,
                                 const float *low, const float *hole, const float *shift, int shifts, float *own,
                                 float *highest, double *sums, const Ahead *ahead) {
    float partial[N_TERMS], pair[N_TERMS];
    for (ptrdiff_t k = 0; k < n;) {
        ptrdiff_t stop = k + LANE_GROUP < n ? k + LANE_GROUP : n;
        for (int i = 0; i < N_TERMS; i++)
            partial[i] = 0;
        while (k < stop) {
            for (int i = 0; i < N_TERMS; i++)
                pair[i] = 0;
            for (ptrdiff_t end = k + 2 < stop ? k + 2 : stop; k < end; k++) {
                float number = first_number + (float)k, others[N_TERMS];
                prefetch_lanes(ahead, k, 0, N_TERMS);
                for (int i = 0; i < N_TERMS; i++) {
                    float value = x[k * stride + i] - (shifts ? shift[i] : 0.0f);
                    others[i] = hole[i] == number ? (float)-INFINITY_F64 : value;
                    own[i] += hole[i] == number ? value : 0.0f;
                }
                for (int i = 0; i < N_TERMS; i++)
                    highest[i] = larger_f32(others[i], highest[i]);
                for (int i = 0; i < N_TERMS; i++)
                    pair[i] += exp_over_f32(at_least_f32(others[i], low[i]), magic[i]);
            }
            for (int i = 0; i < N_TERMS; i++)
                partial[i] += pair[i];
        }
        for (int i = 0; i < N_TERMS; i++)
            sums[i] += partial[i];
    }
}
#endif

/* The largest logit of N_TERMS samples so far, the next one, and where in these n classes the largest is. */
ALWAYS_INLINE void find_lanes_f32(const float *x, ptrdiff_t stride, ptrdiff_t n, float *largest, float *second,
                                  float *found) {
#if EXP_STEPS > 1
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats best = load_f32(largest + i), next = load_f32(second + i), place = load_f32(found + i);
        floats number = all_f32(0);
        for (ptrdiff_t k = 0; k < n; k++) {
            floats value = load_f32(x + k * stride + i);
            place = where_larger(value, best, number, place);
            next = larger_of(smaller_of(value, best), next);
            best = larger_of(value, best);
            number = add(number, all_f32(1.0f));
        }
        store_f32(largest + i, best);
        store_f32(second + i, next);
        store_f32(found + i, place);
    }
#else
    for (ptrdiff_t k = 0; k < n; k++) {
        for (int i = 0; i < N_TERMS; i++) {
            float value = x[k * stride + i];
            found[i] = value > largest[i] ? (float)k : found[i];
            second[i] = larger_f32(value < largest[i] ? value : largest[i], second[i]);
            largest[i] = larger_f32(value, largest[i]);
        }
    }
#endif
}

/* A target that is spread over the classes: its columns of N_TERMS samples, as in lane.pxi. */
typedef struct {
    const float *magic, *low, *hole, *shift, *origin;
    float *own, *highest, *own_mass;
    double *sum, *spread_sum, *spread_mass;
} SpreadLanes;

#if EXP_STEPS > 1
#define HAS_SPREAD_LANES 1

/* What a class adds to a sample's target: keep given + share or 1, times the class's weight. */
ALWAYS_INLINE floats spread_mass_of(const float *given, const float *weight, floats keep, floats share) {
    floats mass = given ? multiply_add(load_f32(given), keep, share) : all_f32(1.0f);
    return weight ? multiply(mass, all_f32(*weight)) : mass;
}

/* A vector of lanes on its way through their classes. */
typedef struct {
    floats magic, low, hole, shift, origin, keep, share;
    floats own, highest, own_mass, number;
    floats spread_sum, spread_mass;
} SpreadState;

/* One class of them. Returns its terms. */
ALWAYS_INLINE floats add_spread_class(const float *x, const float *given, const float *weight, SpreadState *lanes) {
    floats value = subtract(load_f32(x), lanes->shift);
    floats below = multiply_add(value, all_f32(-(float)SPREAD_SCALE), lanes->origin);
    if (given || weight) {
        floats mass = spread_mass_of(given, weight, lanes->keep, lanes->share);
        lanes->own_mass = where_equal(lanes->hole, lanes->number, mass, lanes->own_mass);
        lanes->spread_sum = add_times_unless_equal(lanes->hole, lanes->number, lanes->spread_sum, mass, below);
        if (given) lanes->spread_mass = add_unless_equal(lanes->hole, lanes->number, lanes->spread_mass, mass);
    } else {
        lanes->spread_sum = add_unless_equal(lanes->hole, lanes->number, lanes->spread_sum, below);
    }
    if (!given) lanes->own = where_equal(lanes->hole, lanes->number, value, lanes->own);
    value = where_equal(lanes->hole, lanes->number, all_f32((float)-INFINITY_F64), value);
    lanes->highest = larger_of(value, lanes->highest);
    lanes->number = add(lanes->number, all_f32(1.0f));
    return exp_floats(larger_of(lanes->low, value), lanes->magic, 0);
}

/* What add_class() of lane_sum.pxi does elsewhere: a vector of lanes stays in registers for all its classes.
 * takes_given and weighs, literals: whether there are `given`, given_stride apart, and a weight a class. */
ALWAYS_INLINE void add_spread_lanes_f32(const float *x, ptrdiff_t stride, const float *given, ptrdiff_t given_stride,
                                        const float *weight, int takes_given, int weighs, ptrdiff_t n,
                                        float first_number, float keep, float share, const SpreadLanes *lanes,
                                        const Ahead *ahead, const Ahead *given_ahead) {
#define CLASS(k) x + (k) * stride + i, takes_given ? given + (k) * given_stride + i : 0, weighs ? weight + (k) : 0, &state
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        int begins_line = i * sizeof(float) % LINE_BYTES == 0;
        SpreadState state;
        state.magic = load_f32(lanes->magic + i), state.low = load_f32(lanes->low + i);
        state.hole = load_f32(lanes->hole + i), state.shift = load_f32(lanes->shift + i);
        state.origin = multiply(load_f32(lanes->origin + i), all_f32((float)SPREAD_SCALE));
        state.keep = all_f32(keep), state.share = all_f32(share), state.number = all_f32(first_number);
        state.own = load_f32(lanes->own + i), state.highest = load_f32(lanes->highest + i);
        state.own_mass = load_f32(lanes->own_mass + i);
#pragma GCC unroll 1
        for (ptrdiff_t k = 0; k < n;) {
            ptrdiff_t stop = k + LANE_GROUP < n ? k + LANE_GROUP : n;
            floats partial = all_f32(0);
            state.spread_sum = state.spread_mass = all_f32(0);
#pragma GCC unroll 1
            for (; k + 1 < stop; k += 2) {
                if (begins_line) {
                    prefetch_lanes(ahead, k, i, VECTOR_FLOATS);
                    prefetch_lanes(ahead, k + 1, i, VECTOR_FLOATS);
                    if (takes_given) {
                        prefetch_lanes(given_ahead, k, i, VECTOR_FLOATS);
                        prefetch_lanes(given_ahead, k + 1, i, VECTOR_FLOATS);
                    }
                }
                floats first = add_spread_class(CLASS(k));
                partial = add(partial, add(first, add_spread_class(CLASS(k + 1))));
            }
            if (k < stop) {
                partial = add(partial, add_spread_class(CLASS(k)));
                k++;
            }
            add_doubles(lanes->sum + i, partial);
            add_doubles(lanes->spread_sum + i, state.spread_sum);
            if (takes_given) add_doubles(lanes->spread_mass + i, state.spread_mass);
        }
        store_f32(lanes->own + i, state.own);
        store_f32(lanes->highest + i, state.highest);
        store_f32(lanes->own_mass + i, state.own_mass);
    }
#undef CLASS
}

/* The gradient of such a target: scale exp(x) 2^-m - push mass, and at_hole at the hole. */
ALWAYS_INLINE void grad_spread_lanes_f32(const float *x, ptrdiff_t stride, const float *given, ptrdiff_t given_stride,
                                         const float *weight, int takes_given, int weighs, ptrdiff_t n,
                                         float first_number, float keep, float share, const SpreadLanes *lanes,
                                         const float *scale, const float *push, const float *at_hole, float *grad,
                                         ptrdiff_t grad_stride) {
    for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
        floats magic = load_f32(lanes->magic + i), low = load_f32(lanes->low + i), hole = load_f32(lanes->hole + i);
        floats shift = load_f32(lanes->shift + i), scales = load_f32(scale + i), pushes = load_f32(push + i);
        floats at_holes = load_f32(at_hole + i);
#pragma GCC unroll 1
        for (ptrdiff_t k = 0; k < n; k++) {
            floats value = larger_of(low, subtract(load_f32(x + k * stride + i), shift));
            floats mass = takes_given ? spread_mass_of(given + k * given_stride + i, 0, all_f32(keep), all_f32(share))
                                      : all_f32(share);
            if (weighs) mass = multiply(mass, all_f32(weight[k]));
            value = times_floats(scales, exp_floats(value, magic, 1));
            value = subtract(value, times_floats(pushes, mass));
            value = where_equal(hole, all_f32(first_number + (float)k), at_holes, value);
            store_f32(grad + k * grad_stride + i, value);
        }
    }
}
#else
#define HAS_SPREAD_LANES 0
static inline void add_spread_lanes_f32(const float *x, ptrdiff_t stride, const float *given, ptrdiff_t given_stride,
                                        const float *weight, int takes_given, int weighs, ptrdiff_t n,
                                        float first_number, float keep, float share, const SpreadLanes *lanes,
                                        const Ahead *ahead, const Ahead *given_ahead) {}
static inline void grad_spread_lanes_f32(const float *x, ptrdiff_t stride, const float *given, ptrdiff_t given_stride,
                                         const float *weight, int takes_given, int weighs, ptrdiff_t n,
                                         float first_number, float keep, float share, const SpreadLanes *lanes,
                                         const float *scale, const float *push, const float *at_hole, float *grad,
                                         ptrdiff_t grad_stride) {}
#endif

/* scale exp(x) 2^-m, and at_hole at the hole; a scale of 0 makes it 0, whatever the logit. x and grad may be the same
 * memory. */
#if EXP_STEPS > 1
ALWAYS_INLINE void grad_lanes_f32(const float *x, ptrdiff_t stride, ptrdiff_t n, float first_number, const float *magic,
                                  const float *low, const float *hole, const float *shift, int shifts,
                                  const float *scale, const float *at_hole, float *grad, ptrdiff_t grad_stride) {
#pragma GCC unroll 1
    for (ptrdiff_t k = 0; k < n; k++) {
        floats number = all_f32(first_number + (float)k);
        for (int i = 0; i < N_TERMS; i += VECTOR_FLOATS) {
            floats value = load_f32(x + k * stride + i), scales = load_f32(scale + i);
            value = larger_of(load_f32(low + i), shifts ? subtract(value, load_f32(shift + i)) : value);
            value = multiply(scales, exp_floats(value, load_f32(magic + i), 1));
            value = zero_where_equal(scales, all_f32(0), value);
            value = where_equal(load_f32(hole + i), number, load_f32(at_hole + i), value);
            store_f32(grad + k * grad_stride + i, value);
        }
    }
}
#else
ALWAYS_INLINE void grad_lanes_f32(const float *x, ptrdiff_t stride, ptrdiff_t n, float first_number, const float *magic,
                                  const float *low, const float *hole, const float *shift, int shifts,
                                  const float *scale, const float *at_hole, float *grad, ptrdiff_t grad_stride) {
    float values[N_TERMS];
    for (ptrdiff_t k = 0; k < n; k++) {
        for (int i = 0; i < N_TERMS; i++)
            values[i] = exp_over_f32(at_least_f32(x[k * stride + i] - (shifts ? shift[i] : 0.0f), low[i]), magic[i]);
        for (int i = 0; i < N_TERMS; i++) {
            float value = times_f32(scale[i], values[i]);
            values[i] = hole[i] == first_number + (float)k ? at_hole[i] : value;
        }
        for (int i = 0; i < N_TERMS; i++)
            grad[k * grad_stride + i] = values[i];
    }
}
#endif

#endif
