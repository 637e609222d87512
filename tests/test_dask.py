"""Dask arrays: the same bits as the local stream over the same blocks, whatever becomes of the workers."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import xentc
import xentc.dask

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
Callback = pytest.importorskip("dask.callbacks").Callback

pytestmark = pytest.mark.filterwarnings("default")  # what dask and its server have to say is not ours


@pytest.fixture(autouse=True)
def _threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def local(logits, targets, sample_weight=None, **options):
    evaluator = xentc.Evaluator(**options)
    evaluator.update(logits, targets, sample_weight=sample_weight)
    return evaluator.compute()


@pytest.fixture
def samples(rng):
    target = rng.integers(-1, 10, 1000)
    return rng.normal(size=(1000, 10)).astype(np.float32) * 3, np.where(target < 0, -100, target)


CHUNKS = [(1000, 10), (100, 10), (9, 10), (7, 3), (300, 1), ((0, 400, 0, 600, 0), 10)]


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("options", [{}, {"per_class": True, "weight": np.arange(10) / 7, "label_smoothing": 0.1}])
def test_same_as_local(samples, chunks, options):
    logits, target = samples
    expected = local(logits, target, **options)
    logits = da.from_array(logits, chunks=chunks)
    for targets in (target, target.tolist(), da.from_array(target, chunks=333), da.from_array(target, chunks=1000)):
        assert xentc.dask.evaluate(logits, targets, **options) == expected


def test_axes_and_sample_weights(rng):
    for shape, axis in [((6, 5, 7), None), ((6, 5, 7), -1), ((5, 6), 0), ((5,), None), ((3, 2, 5, 2), 2)]:
        number = min(1, len(shape) - 1) if axis is None else axis % len(shape)
        of_samples = shape[:number] + shape[number + 1 :]
        logits, weight = rng.normal(size=shape), rng.random(of_samples)
        target = rng.integers(0, shape[number], of_samples)
        chunked = da.from_array(logits, chunks=2)
        assert xentc.dask.evaluate(chunked, target, axis=axis) == local(logits, target, axis=axis)
        weighted = xentc.dask.evaluate(chunked, target, axis=axis, sample_weight=da.from_array(weight, chunks=3))
        assert weighted == local(logits, target, weight, axis=axis)


def test_no_samples():
    for shape in [(0, 5), (0, 0)]:
        found = xentc.dask.evaluate(da.zeros(shape, chunks=3), np.zeros(0, int))
        assert found.samples == 0
        assert math.isnan(found.loss)


def test_unknown_sizes(samples):
    logits, target = samples
    chosen = target % 2 == 0
    mask = da.from_array(chosen, chunks=100)
    logits, targets = da.from_array(logits, chunks=(100, 10))[mask], da.from_array(target, chunks=100)[mask]
    assert xentc.dask.evaluate(logits, targets) == local(samples[0][chosen], target[chosen])
    with pytest.raises(ValueError, match=r"^targets: got other blocks"):
        xentc.dask.evaluate(logits, target[chosen])


def test_one_thread_a_task_and_no_block_twice(samples, monkeypatch):
    seen = []
    update = xentc.Evaluator.update

    def spy(self, input, target, *, sample_weight=None, num_threads=None):
        seen.append((input.shape, num_threads))
        update(self, input, target, sample_weight=sample_weight, num_threads=num_threads)

    monkeypatch.setattr(xentc.Evaluator, "update", spy)
    xentc.dask.evaluate(da.from_array(samples[0], chunks=(250, 5)), samples[1])
    assert seen == [((250, 10), 1)] * 4


def test_reading_and_scoring_are_one_task(samples):
    """Else a scheduler may read many blocks before it scores the first."""
    logits = da.from_array(samples[0], chunks=(100, 10)) * 1
    tasks = []
    with Callback(pretask=lambda key, *_: tasks.append(str(key))):
        assert xentc.dask.evaluate(logits, samples[1]) == local(*samples)
    merges = [task for task in tasks if "_merge" in task]
    assert len(merges) == 3
    assert len(tasks) - len(merges) == 10


@pytest.mark.parametrize(
    ("error", "beginning", "changed"),
    [
        (TypeError, "logits: got ndarray", {"logits": np.zeros((4, 3))}),
        (ValueError, "logits: got a 0-dim", {"logits": da.zeros(())}),
        (ValueError, "targets: got shape", {"targets": [0, 1]}),
        (ValueError, "targets: got shape", {"targets": da.zeros((4, 3))}),
        (ValueError, "targets: got shape", {"targets": None}),
        (ValueError, "sample_weight: got shape", {"sample_weight": [1.0]}),
        (TypeError, "target: got", {"targets": np.zeros(4)}),
        (IndexError, "target: got class 7", {"targets": [0, 1, 2, 7]}),
        (ValueError, "axis: got 2", {"axis": 2}),
        (ValueError, "bins: got 0", {"bins": 0}),
        (ValueError, "weight: got", {"weight": [1.0, 2.0]}),
    ],
)
def test_errors(error, beginning, changed):
    with pytest.raises(error, match=f"^{beginning}"):
        xentc.dask.evaluate(**{"logits": da.zeros((4, 3), chunks=2), "targets": [0, 1, 2, 0], **changed})


def test_without_dask():
    script = """
        import sys
        import xentc, xentc.dask
        assert "dask" not in sys.modules
        sys.modules["dask"] = None
        try:
            xentc.dask.evaluate(None, None)
        except ImportError as error:
            assert str(error).endswith("pip install xentc[dask]"), error
        else:
            raise SystemExit("no error")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def made(block_info=None):
    """A block of logits that is nowhere but in its task."""
    location = block_info[None]["array-location"]
    rng = np.random.default_rng(location[0][0])
    return rng.random([stop - start for start, stop in location], np.float32)


def made_then_killed(flag, block_info=None):
    """The same, but the first worker that comes to the middle dies of it."""
    if block_info[None]["chunk-location"][0] == 20:
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return made(block_info)


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed(tmp_path, rng):
    distributed = pytest.importorskip("distributed")
    n_blocks, n, n_classes = 60, 60_000, 3000  # 720 MB of logits, more than the workers may hold together
    target = rng.integers(0, n_classes, n)
    chunks = ((n // n_blocks,) * n_blocks, (n_classes,))
    expected = xentc.Evaluator(per_class=True)
    for samples in np.arange(n).reshape(n_blocks, -1):
        info = {None: {"array-location": [(samples[0], samples[-1] + 1), (0, n_classes)]}}
        expected.update(made(info), target[samples])

    flag = tmp_path / "killed"
    memory = {"processes": True, "memory_limit": "300MB", "dashboard_address": None}
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, **memory) as cluster,
        distributed.Client(cluster) as client,
        dask.config.set(scheduler=client),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        logits = da.map_blocks(made, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0), np.float32))
        assert xentc.dask.evaluate(logits, target, per_class=True) == expected.compute()
        logits = da.map_blocks(made_then_killed, str(flag), chunks=chunks, dtype=np.float32, meta=logits._meta)
        assert xentc.dask.evaluate(logits, target, per_class=True) == expected.compute()
        assert flag.exists()
