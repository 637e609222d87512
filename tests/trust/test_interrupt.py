"""Ctrl-C: a long call ends within half a second of the signal, and the next one is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from entry_points import NAMES
from scripts import PRELUDE, run_script

HERE = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    + PRELUDE
    + """
import entry_points

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background passes on that it is ignored
LIMIT = 0.5
TRIES = 10  # the machine may be busy with something else: the least time of these is held against the limit

def interrupt(run, long):
    sent = []
    def send():
        time.sleep(0.1)     # the call is on its way
        sent.append(time.monotonic())
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        while True:         # most calls below are long enough by themselves, on any machine
            run()
            assert not long, "the call ended before the signal was seen"
            assert not sent or time.monotonic() - sent[0] < 10, "the signal was lost"
    except KeyboardInterrupt:
        end = time.monotonic()
    sender.join()
    return end - sent[0]

def check(name, logits, long=False, **options):
    small = entry_points.random_logits(50, 20)
    expected = entry_points.bits(entry_points.call(name, small))
    run = entry_points.prepare(name, logits, **options)
    took = []
    while len(took) < TRIES and min(took, default=1) > LIMIT:
        took.append(interrupt(run, long))
        assert entry_points.bits(entry_points.call(name, small)) == expected
    assert min(took) <= LIMIT, took
"""
)

# Rows that are one row over and over: the views take no memory, the answers of `rows` of them do once they are written.
ROW = "np.broadcast_to(np.linspace(0, 1, 1000, dtype=np.float32), ({rows}, 1000))"
SCALARS = [name for name in NAMES if name not in ("softmax", "log_softmax")]  # their answers are as large as the input


@pytest.mark.parametrize("name", SCALARS)
def test_many_rows(name: str) -> None:
    # Far longer than the limit: minutes, but for nll_loss, which reads one logit a row.
    rows = 10**8 if name in ("logsumexp", "score", "top_logprobs", "gather_logprobs") else 10**10
    options = "" if name in ("score", "top_logprobs", "gather_logprobs") else ", return_grad=False"
    run_script(f"check({name!r}, {ROW.format(rows=rows)}, long=True, num_threads=2{options})", before=HERE)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy_with_logits", "softmax"])
def test_with_gradients(name: str) -> None:
    """The same memory is written over and over; it takes long enough to be there for the signal."""
    run_script(f"""
logits = {ROW.format(rows=10**5)}
grad_out = np.empty(logits.shape, np.float32)
values = {{"out": np.empty(logits.shape, np.float32)}} if "softmax" in {name!r} else {{}}
check({name!r}, logits, num_threads=2, grad_out=grad_out, **values)
""", before=HERE)  # fmt: skip


@pytest.mark.parametrize("name", ["cross_entropy", "logsumexp", "binary_cross_entropy_with_logits"])
def test_one_long_row(name: str) -> None:
    """Zeros that nobody wrote are one page of memory, and read as fast as others are."""
    run_script(f"check({name!r}, np.zeros((1, 2**30), np.float32), num_threads=1, return_grad=False)", before=HERE)
