"""The installed package gives the documented values, in a parent, and in a child forked after it: within 5 seconds.

A forked child whose parent has run an OpenMP team hangs for ever if it starts one of its own: so the parent's call is
large enough for a team, and the child makes the same one.
"""

import os
import signal
import warnings

import numpy as np

import xentc

signal.alarm(5)
three_rows = np.array([[0.3703, -0.1607, -0.7473, -2.2135], [0.6929, -0.2042, -0.7660, -0.3613],
                       [-0.3363, 0.6417, 0.3103, 0.3132]])  # fmt: skip
assert abs(xentc.cross_entropy(three_rows, np.array([0, 1, 2])) - 1.2130) < 5e-5
assert abs(xentc.cross_entropy(np.array([[4.0, 1.0, 2.0]]), np.array([0])) - 0.1698) < 5e-5

logits = np.zeros((4096, 4096), np.float32)
target = np.arange(4096)
expected = xentc.cross_entropy(logits, target, num_threads=2)
assert abs(expected - np.log(4096)) < 1e-5

warnings.simplefilter("ignore")  # Python's own about forking with threads, and xentc's about the child being serial
child = os.fork()
if child == 0:
    signal.alarm(5)  # alarms are not inherited
    same = xentc.cross_entropy(logits, target, num_threads=2) == expected
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
assert status == 0, f"the forked child ended with status {status}"
print(f"xentc {xentc.__version__}: right in the parent and in a forked child")
