"""xentc evaluate's results against the obvious float64 computation; the other commands; wrong arguments."""

import math
import re
import signal

import numpy as np
import pytest
from cli_tools import DIGITS, complaint, evaluate, evaluate_all, example, expected, run, save

from xentc import cli
from xentc._cli import job
from xentc.evaluation import Evaluator, _sums


def test_digits():
    result = evaluate(*DIGITS)
    truth = expected(np.load(DIGITS[0]), np.load(DIGITS[1]))
    assert result == pytest.approx(truth, rel=1e-6)
    assert [result[key] for key in ("samples", "ignored", "accuracy")] == [898, 0, truth["accuracy"]]


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtypes", [(np.float32, np.int64), (np.float64, np.int32)])
@pytest.mark.parametrize("shape", [(23, 7), (1, 1), (5, 33), (4, 3, 6), (2, 5, 3, 4)])
def test_matches_float64(tmp_path, shape, dtypes, order):
    logits, targets, weight = example(shape, *dtypes)
    targets.reshape(-1)[-1:] = 0  # at least one that counts
    files = save(tmp_path, logits=logits.copy(order), targets=targets.copy(order), weight=weight)
    assert evaluate(*files[:2]) == pytest.approx(expected(logits, targets), rel=1e-6)
    assert evaluate(*files[:2], "--weight", files[2]) == pytest.approx(
        expected(logits, targets, weight=weight), rel=1e-6
    )


def test_layout_of_the_file_changes_no_bit(tmp_path):
    logits, targets, _ = example((200, 300))
    plain = evaluate_all(*save(tmp_path, logits=logits, targets=targets))
    assert evaluate_all(*save(tmp_path, logits=np.asfortranarray(logits), targets=targets)) == plain


@pytest.mark.parametrize("dtypes", [(">f4", ">i8"), (">f8", ">u2"), ("i2", "u1"), ("u8", "u8"), ("f4", "i1")])
def test_other_dtypes(tmp_path, dtypes):
    rng = np.random.default_rng(5)
    logits, targets = rng.uniform(0, 9, (23, 7)).astype(dtypes[0]), rng.integers(0, 7, 23).astype(dtypes[1])
    files = save(tmp_path, logits=logits, targets=targets)
    assert evaluate(*files) == pytest.approx(expected(logits, targets), rel=1e-6)
    assert evaluate(*files, "--ignore-index", 3) == pytest.approx(expected(logits, targets, 3), rel=1e-6)


@pytest.mark.parametrize("ignore_index", [-1, 0, 3, -(2**40), 2**62])
def test_ignore_index(tmp_path, ignore_index):
    logits, targets, _ = example()
    targets[targets == -100] = ignore_index
    result = evaluate(*save(tmp_path, logits=logits, targets=targets), "--ignore-index", ignore_index)
    assert result == pytest.approx(expected(logits, targets, ignore_index), rel=1e-6)


def test_division_into_blocks_changes_no_bit(tmp_path, monkeypatch):
    logits, targets, weight = example((23, 7, 3))
    files = save(tmp_path, logits=logits, targets=targets, weight=weight)
    argv = [*files[:2], "--weight", files[2]]
    whole = evaluate_all(*argv)
    for batch in [*range(1, 25), 10**30]:
        assert evaluate_all(*argv, "--batch", batch) == whole
    for block_bytes in (1, 100, 200, 1000):  # the first ones cut the last axis, too
        monkeypatch.setattr(job, "BLOCK_BYTES", block_bytes)
        assert evaluate_all(*argv) == whole
        assert evaluate_all(*argv, "--threads", 3) == whole


def test_blocks_cover_every_sample_once(tmp_path, monkeypatch):
    for shape in [(5, 3), (4, 3, 6), (3, 2, 5, 7), (1, 9, 50), (0, 3), (2**40, 3, 0)]:
        files = save(tmp_path, logits=np.zeros(shape), targets=np.zeros(shape[:1] + shape[2:], np.int8))
        whole = job.Job(cli._parser().parse_args(["evaluate", *files]))
        for block_bytes in (1, 100, 333, 1 << 24):
            monkeypatch.setattr(job, "BLOCK_BYTES", block_bytes)
            seen = np.zeros(shape[:1] + shape[2:], np.int8)
            for block in whole.blocks():
                seen[block] += 1
                assert seen[block].size <= max(1, block_bytes // (8 * shape[1]))
            assert (seen == 1).all()


def test_threads_and_batch_are_passed_on(monkeypatch):
    calls = []

    def update(self, logits, target, *, num_threads):
        calls.append((len(logits), num_threads))

    monkeypatch.setattr(Evaluator, "update", update)
    evaluate(*DIGITS, "--threads", 3, "--batch", 400)
    evaluate(*DIGITS)
    assert calls == [(400, 3), (400, 3), (98, 3), (898, None)]


@pytest.mark.filterwarnings("error")
def test_special_rows(tmp_path):
    nan, inf = math.nan, math.inf
    logits = np.array([[nan, 1, 2], [0, nan, 9], [0, inf, 1], [7, 0, 0], [0, 5, 5]], np.float32)
    files = save(tmp_path, logits=logits, targets=np.array([0, 1, 1, 0, 1]))
    assert evaluate(*files) == {"samples": 5, "ignored": 0, "loss": None, "perplexity": None, "accuracy": 3 / 5}
    assert re.search(r"^loss +nan$", run("evaluate", *files)[1], re.MULTILINE)

    files = save(tmp_path, logits=np.array([[0, 2000.0]]), targets=np.array([0]))
    assert evaluate(*files) == {"samples": 1, "ignored": 0, "loss": 2000, "perplexity": None, "accuracy": 0}
    assert re.search(r"^perplexity +inf$", run("evaluate", *files)[1], re.MULTILINE)


@pytest.mark.parametrize("shape", [(0, 3), (4, 3), (4, 3, 0), (4, 0), (0, 0)])
def test_nothing_that_counts(tmp_path, shape):
    targets = np.full(shape[:1] + shape[2:], -100)
    files = save(tmp_path, logits=np.zeros(shape, np.float32), targets=targets)
    nothing = {"samples": targets.size, "ignored": targets.size, "loss": None, "perplexity": None, "accuracy": None}
    assert evaluate(*files) == nothing


def test_zero_weights(tmp_path):
    logits = np.array([[0, -np.inf, 1], [2, 1, 0]], np.float32)
    weight = np.array([1, 0, 0])
    files = save(tmp_path, logits=logits, targets=np.array([1, 0]), weight=weight)
    truth = expected(logits[1:], np.array([0]))
    assert evaluate(*files[:2], "--weight", files[2])["loss"] == pytest.approx(truth["loss"], rel=1e-6)
    files = save(tmp_path, logits=logits, targets=np.array([1, 2]), weight=weight)
    assert evaluate(*files[:2], "--weight", files[2])["loss"] is None


def test_table():
    code, out, err = run("evaluate", *DIGITS)
    assert (code, err) == (0, "")
    values = {name: float(text) for name, text in (line.split() for line in out.splitlines())}
    assert len({len(line) for line in out.splitlines()}) == 1
    full = evaluate_all(*DIGITS)
    truth = {name: value for name, value in full.items() if isinstance(value, (int, float))}
    assert values == pytest.approx(truth | {"top_5": full["top_k"]["5"]}, rel=1e-4)


def test_info_version_help():
    from xentc import __version__, show_config

    assert run("--version") == (0, f"xentc {__version__}\n", "")
    code, out, err = run("info")
    show_config()
    assert (code, err) == (0, "")
    assert out
    assert run("evaluate", "--help")[::2] == (0, "")


@pytest.mark.parametrize("bad", [-1, 7, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("batch", [1, 100])
def test_class_out_of_range_names_its_place_in_the_file(tmp_path, bad, batch):
    logits, targets, _ = example((9, 7, 3))
    targets[6, 2] = bad
    err = complaint(run("evaluate", *save(tmp_path, logits=logits, targets=targets), "--batch", batch))
    assert str(bad) in err
    assert "[6, 2]" in err
    assert "7 classes" in err


def test_bad_arguments():
    for option in ("--batch", "--threads"):
        for value in ("0", "-3", "1.5", "many", "", "9" * 5000):
            complaint(run("evaluate", *DIGITS, option, value))
    for argv in (
        [],
        ["evaluate"],
        ["evaluate", DIGITS[0]],
        ["nonsense"],
        ["info", "more"],
        ["evaluate", *DIGITS, "x\ny"],
    ):
        complaint(run(*argv))
    complaint(run("evaluate", *DIGITS, "--ignore-index", "1.5"))
    complaint(run("evaluate", *DIGITS, "--j"))


def test_interrupt(monkeypatch, request):
    def handler(number, frame):  # Python's own may be off: a shell in the background passes on that it is ignored
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setattr(_sums, "score", lambda *args, **kwargs: signal.raise_signal(signal.SIGINT))
    assert run("evaluate", *DIGITS) == (130, "", "xentc: interrupted\n")


def test_out_of_memory(monkeypatch):
    def score(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(_sums, "score", score)
    assert "memory" in complaint(run("evaluate", *DIGITS))


def test_a_wrong_number_of_threads_in_the_environment(monkeypatch):
    monkeypatch.setenv("XENTC_NUM_THREADS", "several")
    assert "XENTC_NUM_THREADS: got 'several'" in complaint(run("info"))
