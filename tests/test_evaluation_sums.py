"""What an evaluation adds up, where it takes a shorter way: bins, ranks and layers, against the way that is long."""

import numpy as np
import pytest

from xentc import Evaluator
from xentc._exact import ExactSum
from xentc.evaluation import _sums


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 15, 31, 32, 33, 64])
def test_bins_of_confidences_at_their_edges(bins, dtype):
    edges = _sums.bin_edges(bins)
    confidence = edges.astype(dtype)
    around = [np.nextafter(confidence, dtype(side)) for side in (0, 1)]
    confidence = np.concatenate([confidence, *around, np.linspace(0, 1, 1001, dtype=dtype), [dtype(np.nan)]])
    found = _sums._bin_numbers(confidence, bins)
    for x, number in zip(confidence.astype(np.float64).tolist(), found.tolist(), strict=True):
        assert number == (bins if np.isnan(x) else sum(edge < x for edge in edges[1:-1].tolist()))


def texts(terms):
    return {name: {k: str(term) for k, term in of_name.items()} for name, of_name in terms.items()}


@pytest.mark.parametrize("highest", [0, 9, 4095, 4096, 10**6])
@pytest.mark.parametrize("n_samples", [0, 1, 3, 70_000])
def test_counted_ranks(rng, highest, n_samples):
    rank = rng.integers(0, highest + 1, n_samples)
    entropy = rng.normal(size=n_samples)
    ones = _sums._Weights(np.ones(n_samples))  # weighed, so not counted
    found = _sums._rank_terms(rank, entropy, _sums._Weights(None), (1, 5, 10**9))
    assert texts(found) == texts(_sums._rank_terms(rank, entropy, ones, (1, 5, 10**9)))


def test_layers_are_no_part_of_the_sums(rng):
    """One block, blocks of a sample, and what these have been merged from in pairs."""
    logits, target = rng.normal(size=(300, 50)).astype(np.float32), rng.integers(0, 50, 300)
    whole, parts, pairs = (Evaluator(per_class=True) for _ in range(3))
    whole.update(logits, target)
    for i in range(300):
        parts.update(logits[i : i + 1], target[i : i + 1])
    for i in range(0, 300, 2):
        pair = Evaluator(per_class=True)
        pair.update(logits[i : i + 2], target[i : i + 2])
        pairs.merge(pair)
    assert whole.state_dict() == parts.state_dict() == pairs.state_dict()
    assert whole.compute() == parts.compute() == pairs.compute()


def test_a_small_block_copies_few_of_many_classes(monkeypatch):
    """Amortised: every sum is copied as often as its layer doubles."""
    large = _sums.Sums(({"class_loss": {k: ExactSum(1) for k in range(100_000)}},), False, 100_000)
    small = _sums.Sums(({"class_loss": {7: ExactSum(1)}},), False, 100_000)
    copied, merged = [], _sums._merged
    monkeypatch.setattr(
        _sums, "_merged", lambda *layers: copied.append(sum(map(_sums._size, layers))) or merged(*layers)
    )
    total = large
    for _ in range(1000):
        total = total + small
    assert sum(copied) < 20_000
    assert total.count("class_loss", 7) == 1001
    assert large.count("class_loss", 7) == 1
