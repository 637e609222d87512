# From the sums over a sample's classes to what sample.h makes a loss of, shared by the row and the lane kernel.

cdef inline void finish_sums(const Job *job, double spread_sum, double spread_mass, Sums *sums) noexcept nogil:
    """From what the kernels added up: with smoothing v_c / (e/C), the total of which is known, else v_c itself."""
    spread_sum = spread_sum / SPREAD_SCALE
    if job.spread == SPREAD_GIVEN:
        sums.spread_sum, sums.spread_mass = spread_sum, spread_mass
    else:
        sums.own_mass = job.share * sums.own_mass
        sums.spread_sum, sums.spread_mass = job.share * spread_sum, job.share * job.weight_total - sums.own_mass


cdef inline bint has_terms(const Job *job, double target_weight) noexcept nogil:
    """Whether any term of a sample with this target weight is left; if not, its logits are not looked at."""
    return job.keep * target_weight != 0 or job.spread != SPREAD_NONE or job.lse_square_scale != 0


cdef inline bint is_confident(double sum_exp, double exponent, double row_max) noexcept nogil:
    """Whether one class outweighs the others so far that they are lost beside it: it is to be left out of the sum."""
    # Seldom so, and seldom near it: 2^e is at most the sum (of 0 and of nan it is none, and they go on).
    if (exponent_f64(sum_exp) + exponent) - row_max * LOG2E > 1.001:
        return False
    return sum_exp * exp(exponent * LN2 - row_max) < 2
