# From the sums over a sample's classes to its loss and to what its gradient needs. One sample, float64, shared by the
# row and the lane kernel.

# The sums over all classes but the hole: v_c as in api.pxd; origin is one of the sample's logits, so that the terms of
# the spread target are differences of logits and do not cancel.
cdef struct Sums:
    double spread_sum           # of v_c (origin - x_c)
    double spread_mass          # of v_c
    double origin
    double shift                # what was subtracted from every logit
    double own                  # x at the hole
    double own_mass             # v at the hole
    double target_weight        # w[t] where targets are indices, else 0


cdef inline void finish_sums(const Job *job, double spread_sum, double spread_mass, Sums *sums) noexcept nogil:
    """From what the kernels added up: with smoothing v_c / (e/C), the total of which is known, else v_c itself."""
    spread_sum = spread_sum / SPREAD_SCALE
    if job.spread == SPREAD_GIVEN:
        sums.spread_sum, sums.spread_mass = spread_sum, spread_mass
    else:
        sums.own_mass = job.share * sums.own_mass
        sums.spread_sum, sums.spread_mass = job.share * spread_sum, job.share * job.weight_total - sums.own_mass


cdef inline double lse_above(const SoftmaxPoint *softmax, double base) noexcept nogil:
    """lse - base. total = 2^exponent / inverse, and exponent * LN2_HI_F64 is exact."""
    return (softmax.exponent * LN2_HI_F64 - base) + (softmax.exponent * LN2_LO_F64 - log(softmax.inverse))


cdef inline double spread_loss(const Sums *sums, const SoftmaxPoint *softmax) noexcept nogil:
    """sum of v_c (lse - x_c) over all classes. A class whose v is 0 adds nothing, whatever its logit."""
    cdef double excess = lse_above(softmax, sums.origin), loss
    if softmax.nll != softmax.nll and (sums.spread_mass != 0 or sums.own_mass != 0 or sums.spread_sum != 0):
        return NAN      # also where class weights add up to 0, and infinite terms of both signs need not meet
    # Below 0.5 lse is near the hole's logit, and nll says how near. Of few classes it is as often below as above.
    excess = select_f64(mask_of(softmax.rest_share < 0.5), (sums.own - sums.origin) + softmax.nll, excess)
    loss = product(sums.spread_mass + sums.own_mass, excess) + sums.spread_sum
    return loss + product(sums.own_mass, sums.origin - sums.own)


cdef inline double true_lse(const Sums *sums, const SoftmaxPoint *softmax) noexcept nogil:
    return lse_above(softmax, 0) + sums.shift


cdef inline double sample_loss(const Job *job, const Sums *sums, const SoftmaxPoint *softmax) noexcept nogil:
    """The loss of a sample before its sample weight."""
    cdef double lse
    cdef double loss = product(job.keep * sums.target_weight, softmax.nll)
    if job.spread != SPREAD_NONE:
        loss += spread_loss(sums, softmax)
    if job.lse_square_scale != 0:
        lse = true_lse(sums, softmax)
        loss += job.lse_square_scale * lse * lse
    return loss


cdef inline void set_gradient(const Job *job, const Sums *sums, const SoftmaxPoint *softmax, double loss, double scale,
                              RowPoint *point) noexcept nogil:
    """pull p_k - push v_k, times scale; at the hole p and 1 - p are both known well, and nothing cancels."""
    cdef double direct = job.keep * sums.target_weight
    cdef double others = 0, own = direct
    if job.lse_square_scale != 0:
        others = 2 * job.lse_square_scale * true_lse(sums, softmax)
    if job.spread != SPREAD_NONE:
        others += sums.spread_mass
        own += sums.own_mass
    point.pull = product(scale, others + own)
    if loss != loss and softmax.inverse != softmax.inverse:     # also where class weights add up to a pull of 0
        point.pull = product(scale, NAN)
    point.push = scale
    point.at_hole = product(scale, product(others, softmax.own_share) - product(own, softmax.rest_share))


cdef inline bint has_terms(const Job *job, double target_weight) noexcept nogil:
    """Whether any term of a sample with this target weight is left; if not, its logits are not looked at."""
    return job.keep * target_weight != 0 or job.spread != SPREAD_NONE or job.lse_square_scale != 0


cdef inline bint is_confident(double sum_exp, double exponent, double row_max) noexcept nogil:
    """Whether one class outweighs the others so far that they are lost beside it: it is to be left out of the sum."""
    # Seldom so, and seldom near it: 2^e is at most the sum (of 0 and of nan it is none, and they go on).
    if (exponent_f64(sum_exp) + exponent) - row_max * LOG2E > 1.001:
        return False
    return sum_exp * exp(exponent * LN2 - row_max) < 2
