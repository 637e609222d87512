"""Others that bring threads and modes of their own into the process: right answers and no hang, in every order."""

from __future__ import annotations

import importlib.util
import itertools

import pytest
from scripts import run_script

USES = {
    "torch": "torch.log_softmax(torch.from_numpy(X), 1)",
    "sklearn": "KMeans(3, n_init=1, random_state=0).fit(X[:500, :20])",
    "numpy": "np.matmul(X.T, X)",
    "xentc": "xentc.cross_entropy(X, np.arange(len(X)) % X.shape[1], num_threads=2, return_grad=True)[0]",
    "onnxruntime": "session.run(None, {'x': X})",
}
IMPORTS = {
    "torch": "import torch",
    "sklearn": "from sklearn.cluster import KMeans",
    "numpy": "import numpy as np",
    "xentc": "import xentc",
}
USED_TOGETHER = """
import threading, warnings
import numpy as np
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(2000, 100)).astype(np.float32)
def by_xentc():
    return {xentc}
def by_others():
    {others}
by_others()
expected = float(by_xentc())
logits = X.astype(np.float64)
exact = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(2000), np.arange(2000) % 100])
assert abs(expected - exact) < 1e-5 * exact
for _ in range(3):          # in turn
    by_others()
    assert float(by_xentc()) == expected
wrong = []
def both(which):            # together
    for _ in range(5):
        if which:
            by_others()
        elif float(by_xentc()) != expected:
            wrong.append(1)
threads = [threading.Thread(target=both, args=(i % 2,)) for i in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong
"""


def use_together(names: tuple[str, ...], before: str = "") -> None:
    others = "; ".join(USES[name] for name in names if name != "xentc")
    imports = "\n".join(IMPORTS[name] for name in names if name in IMPORTS)
    run_script(imports + before + USED_TOGETHER.format(xentc=USES["xentc"], others=others), before="")


@pytest.mark.parametrize("order", list(itertools.permutations(["sklearn", "numpy", "xentc"])), ids="-".join)
def test_sklearn_and_blas(order: tuple[str, ...]) -> None:
    pytest.importorskip("sklearn")
    use_together(order)


@pytest.mark.parametrize("order", [("torch", "xentc"), ("xentc", "torch")], ids="-".join)
def test_torch(order: tuple[str, ...], torch: object) -> None:
    use_together(order)


def test_all(torch: object) -> None:
    pytest.importorskip("sklearn")
    use_together(("xentc", "torch", "sklearn", "numpy"))


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
@pytest.mark.skipif(importlib.util.find_spec("onnx") is None, reason="onnx is not installed")
@pytest.mark.parametrize("order", ["import onnxruntime, xentc", "import xentc, onnxruntime"])
def test_onnxruntime(order: str) -> None:
    use_together(("numpy", "xentc", "onnxruntime"), f"""
{order}
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 100]) for name in "xy")
graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"])], "g", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
""")  # fmt: skip
