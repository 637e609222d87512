"""xentc evaluate on every format, on parts of arrays, and what it writes beside its figures."""

import json
import subprocess
import sys

import numpy as np
import pytest
from cli_tools import DIGITS, complaint, evaluate_all, example, run, save
from ml_dtypes import bfloat16

import xentc


@pytest.fixture
def plain(tmp_path):
    """Files, and what they should give in any other format."""
    logits, targets, weight = example((40, 7))
    files = save(tmp_path, logits=logits, targets=targets, weight=weight)
    return logits, targets, weight, files, evaluate_all(*files[:2])


def safetensors(path, **tensors):
    """Written by hand: the test of the reader needs no library."""
    names = {"float32": "F32", "int64": "I64", "bfloat16": "BF16", "float16": "F16"}
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": names[array.dtype.name], "shape": array.shape, "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", "CF")
def test_npz(tmp_path, plain, write, order):
    logits, targets, _, files, truth = plain
    both, alone = tmp_path / "both.npz", tmp_path / "alone.npz"
    write(both, logits=logits.copy(order), targets=targets)
    write(alone, targets)
    assert evaluate_all(f"{both}::logits", f"{both}::targets") == truth
    assert evaluate_all(f"{both}::logits", alone) == truth
    assert "logits, targets" in complaint(run("evaluate", both, alone))
    assert "'other'" in complaint(run("evaluate", f"{both}::other", alone))
    assert complaint(run("evaluate", f"{files[0]}::logits", alone))


def test_safetensors(tmp_path, plain):
    logits, targets, _, _, truth = plain
    both = safetensors(tmp_path / "both.safetensors", logits=logits, targets=targets)
    assert evaluate_all(f"{both}::logits", f"{both}::targets") == truth


def test_safetensors_of_its_library(tmp_path, plain):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file({"logits": plain[0], "targets": plain[1]}, tmp_path / "both.safetensors")
    both = tmp_path / "both.safetensors"
    assert evaluate_all(f"{both}::logits", f"{both}::targets") == plain[-1]


@pytest.mark.parametrize("without_ml_dtypes", [False, True])
@pytest.mark.parametrize("dtype", [bfloat16, np.float16])
def test_half(tmp_path, plain, monkeypatch, dtype, without_ml_dtypes):
    logits, files = plain[0], plain[3]
    half = logits.astype(dtype)
    truth = evaluate_all(*save(tmp_path, wide=half.astype(np.float32)), files[1])
    if without_ml_dtypes:
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    (raw,) = save(tmp_path, raw=half.view("V2"))
    assert "--logits-dtype" in complaint(run("evaluate", raw, files[1]))
    assert evaluate_all(raw, files[1], "--logits-dtype", half.dtype.name) == truth
    assert evaluate_all(safetensors(tmp_path / "half.safetensors", x=half), files[1]) == truth
    assert "float32" in complaint(run("evaluate", *files[:2], "--logits-dtype", "bfloat16"))


@pytest.mark.parametrize("chunks", [(7, 7), (40, 3)])
def test_hdf5(tmp_path, plain, chunks):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "both.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/logits", data=plain[0], chunks=chunks, compression="gzip")
        file["targets"] = plain[1]
    assert evaluate_all(f"{path}::deep/logits", path) == plain[-1]
    assert "'nothing'" in complaint(run("evaluate", f"{path}::nothing", path))


@pytest.mark.filterwarnings("default")
def test_zarr(tmp_path, plain):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(tmp_path / "both.zarr", mode="w")
    group.create_array("logits", data=plain[0], chunks=(7, 4))
    group.create_array("targets", data=plain[1])
    path = tmp_path / "both.zarr"
    assert evaluate_all(f"{path}::logits", f"{path}::targets") == plain[-1]
    assert complaint(run("evaluate", path, f"{path}::targets"))


@pytest.mark.parametrize(("module", "name"), [("h5py", "x.h5"), ("zarr", "x.zarr"), ("matplotlib", "")])
def test_missing_extras_are_named(tmp_path, monkeypatch, module, name):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "x.zarr").mkdir()
    monkeypatch.setitem(sys.modules, module, None)
    argv = [tmp_path / name, DIGITS[1]] if name else [*DIGITS, "--plot", tmp_path / "out.png"]
    extra = {"h5py": "hdf5", "matplotlib": "plot"}.get(module, module)
    assert f'pip install "xentc[{extra}]"' in complaint(run("evaluate", *argv))


@pytest.mark.parametrize("axis", [0, 1])
def test_shards_in_the_order_of_their_numbers(tmp_path, plain, axis):
    logits, targets, _, files, _ = plain
    logits = logits if axis else logits.T
    for number, start in enumerate(range(0, 40, 3)):
        part = slice(start, start + 3)
        np.save(tmp_path / f"part-{number}.npy", logits[part] if axis else logits[:, part])
        np.save(tmp_path / f"class-{number}.npy", targets[start : start + 3])
    truth = evaluate_all(*save(tmp_path, whole=np.ascontiguousarray(logits)), files[1], "--axis", axis)
    for batch in (1, 4, 100):
        argv = [tmp_path / "part-*.npy", tmp_path / "class-*.npy", "--axis", axis, "--batch", batch]
        assert evaluate_all(*argv) == truth
        assert evaluate_all(argv[0], files[1], *argv[2:]) == truth
    np.save(tmp_path / "part-5.npy", np.zeros((3, 9)))
    assert "part-5" in complaint(run("evaluate", tmp_path / "part-*.npy", files[1], "--axis", axis))


@pytest.mark.parametrize("batch", [(), ("--batch", 2)])
def test_shift(tmp_path, rng, batch):
    logits, targets = rng.normal(0, 3, (5, 6, 7)).astype("f4"), rng.integers(0, 7, (5, 6))
    files = save(tmp_path, logits=logits, targets=targets)
    cut = save(tmp_path, cut=logits[:, :-1].copy(), rest=targets[:, 1:].copy())
    assert evaluate_all(*files, "--shift", *batch) == evaluate_all(*cut, "--axis", -1)
    other = save(tmp_path, other=np.moveaxis(logits, -1, 0).copy())
    shifted = evaluate_all(*other, files[1], "--shift", "--axis", 0, *batch)
    assert shifted["loss"] == pytest.approx(evaluate_all(*cut, "--axis", -1)["loss"], rel=1e-6)
    targets[3, 4] = 9
    assert "[3, 4]" in complaint(run("evaluate", *save(tmp_path, targets=targets, logits=logits)[::-1], "--shift"))


def test_shift_makes_no_copy(tmp_path):
    from xentc import cli
    from xentc._cli import job

    files = save(tmp_path, logits=np.zeros((5, 6, 7), "f4"), targets=np.zeros((5, 6), int))
    found = job.Job(cli._parser().parse_args(["evaluate", *files, "--shift"]))
    (block,) = found.blocks()
    assert not found.read_logits(block).flags.owndata


def test_options_are_those_of_the_evaluator(plain):
    logits, targets, weight, files, _ = plain
    evaluator = xentc.Evaluator(weight=weight, label_smoothing=0.1, top_k=(2, 3), per_class=True)
    evaluator.update(logits, targets)
    truth = evaluator.compute()
    argv = ["--weight", files[2], "--label-smoothing", "0.1", "--top-k", "2,3", "--per-class"]
    found = evaluate_all(*files[:2], *argv)
    assert found["loss"] == truth.loss
    assert found["top_k"] == {"2": truth.top_k[2], "3": truth.top_k[3]}
    assert found["class_loss"] == list(truth.class_loss)
    assert found["bins"][-1]["accuracy"] == truth.bins[-1].accuracy
    assert run("evaluate", *files[:2], *argv)[1].count("\n") == 14 + 1 + 8
    complaint(run("evaluate", *files[:2], "--label-smoothing", "2"))
    complaint(run("evaluate", *files[:2], "--top-k", "0"))
    complaint(run("evaluate", *files[:2], "--axis", "2"))


def test_outputs_a_sample(tmp_path, plain):
    logits, targets, weight, files, _ = plain
    losses, best = tmp_path / "losses.npy", tmp_path / "best.npz"
    argv = ["--weight", files[2], "--batch", 7, "--per-sample", losses, "--logprobs", 3, best]
    evaluate_all(*files[:2], *argv)
    np.testing.assert_array_equal(np.load(losses), xentc.cross_entropy(logits, targets, weight, reduction="none"))
    logprobs, indices = xentc.top_logprobs(logits, 3)
    with np.load(best) as found:
        np.testing.assert_array_equal(found["logprobs"], logprobs)
        np.testing.assert_array_equal(found["indices"], indices)
    assert not list(tmp_path.glob("*.part"))
    complaint(run("evaluate", *files[:2], "--logprobs", 8, best))
    complaint(run("evaluate", *files[:2], "--per-sample", files[0]))
    assert evaluate_all(*files[:2]) == plain[-1]  # it is still there


def test_plot(tmp_path, plain):
    pytest.importorskip("matplotlib")
    evaluate_all(*plain[3][:2], "--plot", tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    complaint(run("evaluate", *plain[3][:2], "--plot", tmp_path / "out.nonsense"))
    nothing = save(tmp_path, logits=np.full((3, 2), np.nan), targets=np.array([0, 1, -100]))
    evaluate_all(*nothing, "--plot", tmp_path / "out.png")


KILLED = """
import os, signal, sys
from xentc import cli
from xentc._cli import evaluate
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background passes on that it is ignored
evaluate.CHECKPOINT_SECONDS = 0
save, left = evaluate.checkpoint.save, [5]
def counted(*args):
    save(*args)
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.{signal})
evaluate.checkpoint.save = counted
sys.exit(cli.main())
"""


@pytest.mark.parametrize(("name", "code"), [("SIGKILL", -9), ("SIGINT", 130)])
def test_killed_runs_go_on(tmp_path, plain, name, code, monkeypatch):
    losses, best, checkpoint = tmp_path / "losses.npy", tmp_path / "best.npz", tmp_path / "checkpoint"
    argv = ["evaluate", *plain[3][:2], "--batch", 4, "--json", "--checkpoint", checkpoint]
    argv = [str(word) for word in [*argv, "--per-sample", losses, "--logprobs", 2, best]]
    done = subprocess.run([sys.executable, "-c", KILLED.format(signal=name), *argv], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "")
    assert json.loads(checkpoint.read_text())["position"] == 5
    assert "options" in complaint(run(*argv, "--label-smoothing", "0.5"))
    rows = []
    update = xentc.Evaluator.update
    monkeypatch.setattr(xentc.Evaluator, "update", lambda *args, **kw: (rows.append(1), update(*args, **kw)))
    code, out, err = run(*argv)
    assert (code, err) == (0, "")
    assert json.loads(out) == plain[-1]
    assert len(rows) == 5
    assert not checkpoint.exists()
    np.testing.assert_array_equal(np.load(losses), xentc.cross_entropy(*plain[:2], reduction="none"))
    np.testing.assert_array_equal(np.load(best)["indices"], xentc.top_logprobs(plain[0], 2)[1])


def test_checkpoints_of_others(tmp_path):
    for text in ("", "[]", "{}", "[" * 100000, '{"position": -1}', '{"position": 1, "run": {}}'):
        (tmp_path / "checkpoint").write_text(text)
        assert "checkpoint" in complaint(run("evaluate", *DIGITS, "--checkpoint", tmp_path / "checkpoint"))


def test_checkpoints_that_do_not_add_up(tmp_path, plain):
    """Whoever edited them gets one line, not a wrong number or a traceback."""
    path = tmp_path / "checkpoint"
    argv = [str(word) for word in ["evaluate", *plain[3][:2], "--batch", 4, "--checkpoint", path]]
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(signal="SIGKILL"), *argv], capture_output=True, text=True
    )
    assert done.returncode == -9
    good = json.loads(path.read_text())
    for changes in ({"position": 0}, {"position": 4}, {"position": 6}, {"position": 11}, {"position": 10**30}):
        path.write_text(json.dumps(good | changes))
        assert "not a checkpoint" in complaint(run(*argv))
    for histogram in ({"0": float("inf")}, {"x": 1}, [], None):
        path.write_text(json.dumps(good | {"histogram": histogram}))
        assert "not a checkpoint" in complaint(run(*argv))
    path.write_text(json.dumps(good))
    assert run(*argv)[0] == 0


@pytest.mark.parametrize("option", ["--per-sample", "--logprobs"])
@pytest.mark.parametrize("content", [b"", b"garbage" * 40, None], ids=["empty", "garbage", "cut off"])
def test_outputs_that_are_no_longer_there(tmp_path, plain, option, content):
    """What a killed run has written was changed before it goes on."""
    output = tmp_path / "output.npy"
    argv = ["evaluate", *plain[3][:2], "--batch", 4, "--checkpoint", tmp_path / "checkpoint"]
    argv = [str(word) for word in [*argv, option, *([2] if option == "--logprobs" else []), output]]
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(signal="SIGKILL"), *argv], capture_output=True, text=True
    )
    assert done.returncode == -9
    written = output if option == "--per-sample" else output.with_name("output.npy.logprobs.part")
    written.write_bytes(written.read_bytes()[:90] if content is None else content)
    assert "is not what the run" in complaint(run(*argv))
