"""What an Evaluator refuses, and that it is then as it was."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from xentc import Evaluator
from xentc.evaluation import _sums

X = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [0.0, 0.0, -1.0]], np.float32)
T = np.array([2, 2, 1])


def test_target_that_changes_meanwhile(monkeypatch):
    """Under a memmap, say: the kernel looks again, and so does what comes after it."""
    target = T.copy()

    def score_then_change(*args):
        result = score(*args)
        target[0] = 3
        return result

    score = _sums.score
    monkeypatch.setattr(_sums, "score", score_then_change)
    for options in ({"per_class": True}, {"weight": [1, 2, 3]}):
        target[:] = T
        evaluator = Evaluator(**options)
        before = evaluator.state_dict()
        with pytest.raises(IndexError, match=r"^target: changed while it was read"):
            evaluator.update(X, target)
        assert evaluator.state_dict() == before


@pytest.mark.parametrize(
    ("error", "beginning", "arguments"),
    [
        (IndexError, "target", {"target": [0, 3, 1]}),
        (ValueError, "target", {"target": [0, 1]}),
        (TypeError, "target", {"target": np.full((3, 3), 1 / 3)}),
        (TypeError, "target", {"target": [True, False, True]}),
        (TypeError, "input", {"input": X.astype(complex)}),
        (ValueError, "sample_weight", {"sample_weight": [1, 2]}),
        (ValueError, "sample_weight", {"sample_weight": 1}),
        (TypeError, "sample_weight", {"sample_weight": "abc"}),
        (TypeError, "sample_weight", {"sample_weight": np.ma.masked_equal([1, 2, 3], 2)}),
        (ValueError, "num_threads", {"num_threads": 0}),
        (ValueError, "weight", {"input": X[:, :2], "target": [0, 1, 0]}),
        (ValueError, "input", {"input": np.zeros((3, 4)), "target": [0, 1, 0]}),
    ],
)
@pytest.mark.parametrize("label_smoothing", [0, 0.1])
def test_refused_updates_change_nothing(error, beginning, arguments, label_smoothing):
    weight = np.ones(3) if beginning == "weight" else None
    evaluator = Evaluator(weight=weight, label_smoothing=label_smoothing, per_class=True)
    evaluator.update(X, T)
    before = evaluator.state_dict()
    with pytest.raises(error, match=rf"^{beginning}\b") as refused:
        evaluator.update(**{"input": X, "target": T, **arguments})
    assert refused.type is error
    assert evaluator.state_dict() == before


@pytest.mark.parametrize("name", ["_rank_terms", "_bin_terms", "_class_terms"])
def test_interrupted_update_changes_nothing(monkeypatch, name):
    evaluator = Evaluator(per_class=True)
    evaluator.update(X, T)
    before = evaluator.state_dict()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"xentc.evaluation._sums.{name}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        evaluator.update(X, T)
    assert evaluator.state_dict() == before


@pytest.mark.parametrize(
    ("error", "option", "value"),
    [
        (ValueError, "label_smoothing", 1.5),
        (ValueError, "label_smoothing", math.nan),
        (TypeError, "label_smoothing", "a"),
        (TypeError, "ignore_index", 1.0),
        (ValueError, "ignore_index", 2**63),
        (TypeError, "axis", "a"),
        (TypeError, "axis", True),
        (TypeError, "top_k", 5),
        (TypeError, "top_k", [1.5]),
        (ValueError, "top_k", [0]),
        (ValueError, "bins", 0),
        (ValueError, "bins", 2**20),
        (TypeError, "bins", 1.5),
        (ValueError, "weight", [[1.0]]),
        (TypeError, "weight", "a"),
        (TypeError, "weight", np.ma.masked_equal([1, 2, 3], 2)),
        (TypeError, "per_class", np.zeros(2)),
    ],
)
def test_refused_options(error, option, value):
    with pytest.raises(error, match=rf"^{option}\b"):
        Evaluator(**{option: value})


def test_refused_axis():
    with pytest.raises(ValueError, match=r"^axis: got 2"):
        Evaluator(axis=2).update(X, T)


def test_merge_refuses():
    evaluator = Evaluator(per_class=True)
    evaluator.update(X, T)
    before = evaluator.state_dict()
    with pytest.raises(TypeError, match=r"^other: got dict"):
        evaluator.merge({})
    for options in ({"bins": 3}, {"top_k": (1,)}, {"weight": [1, 2, 3]}, {"label_smoothing": 0.1}, {"ignore_index": 1}):
        with pytest.raises(ValueError, match=f"^other: got {next(iter(options))}"):
            evaluator.merge(Evaluator(**{"per_class": True, **options}))
    larger = Evaluator(per_class=True)
    larger.update(np.zeros((1, 4)), [0])
    with pytest.raises(ValueError, match=r"^other: got 4 classes, expected 3"):
        evaluator.merge(larger)
    assert evaluator.state_dict() == before
    weighted = Evaluator(weight=[1, np.nan, 2])
    weighted.merge(Evaluator(weight=np.array([1, np.nan, 2], np.float32)))
    with pytest.raises(ValueError, match=r"^other: got weight"):
        weighted.merge(Evaluator(weight=[1, 2, np.nan]))


def test_refused_states():
    evaluator = Evaluator(per_class=True)
    evaluator.update(X, T)
    before = evaluator.state_dict()

    def changed(*path, value):
        state = json.loads(json.dumps(before))
        *folders, last = path
        place = state
        for folder in folders:
            place = place[folder]
        place[last] = value
        return state

    with pytest.raises(TypeError, match=r"^state_dict: got list"):
        evaluator.load_state_dict([])
    for state in (
        {},
        changed("version", value=2),
        changed("options", value=None),
        changed("options", "bins", value=3),
        changed("options", "per_class", value=1),
        changed("weighted", value=None),
        changed("n_classes", value=-1),
        changed("n_classes", value=2),
        changed("n_classes", value="3"),
        changed("n_classes", value=True),
        changed("sums", value=[]),
        changed("sums", "loss", value=1),
        changed("sums", "loss", "0", value="0x2p+0"),
        changed("sums", "loss", "0", value=1.5),
        changed("sums", "loss", "1", value="0x1p+0"),
        changed("sums", "losses", value={"0": "0x1p+0"}),
        changed("sums", "samples", "0", value="0x1p-1"),
        changed("sums", "samples", "0", value="-0x1p+0"),
        changed("sums", "samples", "0", value="nan"),
        changed("sums", "correct", "2", value="0x1p+0"),
        changed("sums", "bin_weight", "16", value="0x1p+0"),
        changed("sums", "class_loss", "3", value="0x1p+0"),
        changed("sums", "class_loss", "a", value="0x1p+0"),
    ):
        with pytest.raises(ValueError, match=r"^state_dict: got "):
            evaluator.load_state_dict(state)
        assert evaluator.state_dict() == before
    evaluator.load_state_dict(json.loads(json.dumps(before)))
    assert evaluator.state_dict() == before
