"""The same samples, cut, merged, saved and loaded in any way, give the same bits."""

from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest
from amount import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from xentc import Evaluator

N, C = 60, 4


class Stream(RuleBasedStateMachine):
    """Evaluators, each with a list of what it has seen; against one that sees the list at once, in any order."""

    parts = Bundle("parts")

    @initialize(seed=st.integers(0, 2**32 - 1), weighted=st.booleans(), smoothing=st.sampled_from([0.0, 0.1]))
    def make_samples(self, seed, weighted, smoothing):
        rng = np.random.default_rng(seed)
        dtype = rng.choice([np.float32, np.float64])
        # Losses of many sizes, so that a sum in float64 would depend on its order.
        self.x = (rng.normal(size=(N, C)) * 10.0 ** rng.integers(-8, 4, (N, 1))).astype(dtype)
        if seed % 4 == 0:
            self.x[rng.integers(0, N, 3), rng.integers(0, C, 3)] = rng.choice([np.nan, np.inf, -np.inf], 3)
        self.target = rng.integers(-1, C, N)
        self.sample_weight = np.abs(rng.standard_cauchy(N)) if seed % 3 == 0 else None
        self.options = {"ignore_index": -1, "label_smoothing": smoothing, "per_class": True, "bins": 5}
        if weighted:
            self.options["weight"] = rng.random(C)

    def update(self, evaluator, samples):
        weight = None if self.sample_weight is None else self.sample_weight[samples]
        evaluator.update(self.x[samples], self.target[samples], sample_weight=weight)

    @rule(target=parts, samples=st.lists(st.integers(0, N - 1), max_size=12))
    def begin(self, samples):
        evaluator = Evaluator(**self.options)
        self.update(evaluator, samples)
        return evaluator, samples

    @rule(target=parts, part=consumes(parts), samples=st.lists(st.integers(0, N - 1), max_size=12))
    def go_on(self, part, samples):
        evaluator, seen = part
        self.update(evaluator, samples)
        return evaluator, seen + samples

    @rule(target=parts, one=consumes(parts), other=parts)
    def merge(self, one, other):
        before = other[0].state_dict()
        one[0].merge(other[0])
        if other[0] is not one[0]:
            assert other[0].state_dict() == before
        return one[0], one[1] + other[1]

    @rule(target=parts, part=consumes(parts))
    def save_and_load(self, part):
        evaluator = Evaluator(**self.options)
        self.update(evaluator, [0])
        evaluator.load_state_dict(json.loads(json.dumps(part[0].state_dict(), allow_nan=False)))
        return evaluator, part[1]

    @rule(target=parts, part=parts, copied=st.sampled_from([copy.copy, lambda x: pickle.loads(pickle.dumps(x))]))
    def duplicate(self, part, copied):
        return copied(part[0]), part[1]

    @rule(part=parts, seed=st.integers(0, 100))
    def same_bits_in_one_go(self, part, seed):
        evaluator, seen = part
        once = Evaluator(**self.options)
        self.update(once, np.random.default_rng(seed).permutation(np.array(seen, int)))
        assert evaluator.state_dict() == once.state_dict()
        assert evaluator.compute() == once.compute()

    @rule(part=parts)
    def failing_updates_change_nothing(self, part):
        before = part[0].state_dict()
        with pytest.raises(IndexError):
            part[0].update(self.x[:2], [0, C])
        assert part[0].state_dict() == before


TestStream = Stream.TestCase
TestStream.settings = settings(max_examples=examples(100), stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_split_with_ten_thousand_samples(rng, dtype):
    """TRUST: the loss to an ULP, counts equal, standard error and calibration error to 1e-12. Here to the bit."""
    x = (rng.normal(size=(10_000, 12)) * 3).astype(dtype)
    target = rng.integers(-1, 12, 10_000)
    found = []
    for n_cuts in (0, 1, 100, 4000):
        cuts = np.sort(rng.integers(0, 10_001, n_cuts))
        parts = []
        for samples in np.split(np.arange(10_000), cuts):
            parts.append(Evaluator(ignore_index=-1))
            parts[-1].update(x[samples], target[samples])
        rng.shuffle(parts)
        while len(parts) > 1:  # a tree of any shape
            i = rng.integers(len(parts) - 1)
            parts[i].merge(parts.pop(i + 1))
        found.append(parts[0].compute())
    assert all(one == found[0] for one in found)
    assert math.isfinite(found[0].loss)


def test_any_number_of_threads(rng):
    x, target = rng.normal(size=(3000, 500)).astype(np.float32), rng.integers(0, 500, 3000)
    states = []
    for num_threads in (1, 2, 3):
        evaluator = Evaluator(per_class=True)
        evaluator.update(x, target, num_threads=num_threads)
        states.append(evaluator.state_dict())
    assert states[0] == states[1] == states[2]
