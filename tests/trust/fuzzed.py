"""Everything public as one flat call: a class is made and called, an Evaluator made, updated, merged and loaded."""

from __future__ import annotations

import contextlib
import copy
import inspect
import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from entry_points import ENTRY_POINTS, Operands, labelled, random_logits

import xentc

# Which functions have the operands of a class.
CLASSES = {
    "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits",
    "CrossEntropyLoss": "cross_entropy",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "MultiLabelMarginLoss": "multilabel_margin_loss",
    "NLLLoss": "nll_loss",
}
RESULTS = {"Evaluation": "Evaluator", "Scores": "score"}  # what is public because a call gives it
CONSTANTS = {"__version__"}


def parameters_of(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


def split(arguments: Operands, function: Callable[..., Any]) -> Operands:
    """The arguments that this function has."""
    return {name: arguments[name] for name in parameters_of(function) if name in arguments}


def made_and_called(name: str) -> Callable[..., Any]:
    loss = getattr(xentc, name)

    def run(**arguments: Any) -> Any:
        return loss(**split(arguments, loss))(**split(arguments, loss.__call__))

    return run


def seen() -> xentc.Evaluator:
    """One of the default options that has seen samples."""
    evaluator = xentc.Evaluator()
    evaluator.update(**labelled(random_logits(5, 4)))
    return evaluator


def same_text(a: Any, b: Any) -> bool:
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def unchanged_where_refused(evaluator: xentc.Evaluator, step: Callable[..., Any], arguments: Operands) -> None:
    before = evaluator.state_dict()
    try:
        step(**arguments)
    except BaseException:
        assert same_text(evaluator.state_dict(), before), f"{step.__name__} was refused and has added something"
        raise


def evaluated(**arguments: Any) -> Any:
    evaluator = xentc.Evaluator(**split(arguments, xentc.Evaluator))
    for step in (evaluator.update, evaluator.merge, evaluator.load_state_dict):
        if given := split(arguments, step):
            unchanged_where_refused(evaluator, step, given)
    state = evaluator.state_dict()
    twin = xentc.Evaluator(**split(arguments, xentc.Evaluator))
    twin.load_state_dict(json.loads(json.dumps(state)))
    for other in (twin, copy.copy(evaluator), pickle.loads(pickle.dumps(evaluator))):
        assert same_text(other.state_dict(), state)
    found = evaluator.compute()
    evaluator.reset()
    return found


def threads_set(**arguments: Any) -> int:
    try:
        xentc.set_num_threads(**arguments)
        return xentc.get_num_threads()
    finally:
        xentc.set_num_threads(None)


def config_shown() -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        xentc.show_config()


FUZZED: dict[str, Callable[..., Any]] = {name: function for name, (function, _, _) in ENTRY_POINTS.items()}
FUZZED |= {name: made_and_called(name) for name in CLASSES}
FUZZED |= {"Evaluator": evaluated, "set_num_threads": threads_set}
FUZZED |= {"get_num_threads": xentc.get_num_threads, "show_config": config_shown}

PARAMETERS = {name: parameters_of(function) for name, (function, _, _) in ENTRY_POINTS.items()}
PARAMETERS |= {
    name: parameters_of(getattr(xentc, name)) + parameters_of(getattr(xentc, name).__call__) for name in CLASSES
}
PARAMETERS |= {
    "Evaluator": [
        name
        for method in ("__init__", "update", "merge", "load_state_dict")
        for name in parameters_of(getattr(xentc.Evaluator, method))
    ],
    "set_num_threads": parameters_of(xentc.set_num_threads),
    "get_num_threads": [],
    "show_config": [],
}


def operands_of(name: str) -> Operands:
    """Arguments that are right."""
    if name in ("get_num_threads", "show_config"):
        return {}
    if name == "set_num_threads":
        return {"num_threads": 2}
    if name == "Evaluator":
        return labelled(random_logits(5, 4))
    return ENTRY_POINTS[CLASSES.get(name, name)][1](random_logits(5, 4))


def state_with(path: list[int], value: Any) -> dict[str, Any]:
    """A right state, but for what lies at the end of the path."""
    state = json.loads(json.dumps(seen().state_dict()))
    place, key = {"state": state}, "state"
    for index in path:
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        place, key = inner, sorted(inner)[index % len(inner)] if isinstance(inner, dict) else index % len(inner)
    place[key] = value
    return state


def zeros_of(dtype: str, shape: tuple[int, ...], value: Any = 0, layout: str = "") -> np.ndarray:
    """The array that ("array", dtype, shape, value, layout) stands for; dtypes without numbers have no value."""
    size = np.dtype(dtype).itemsize
    if layout == "misaligned" and dtype != "O":
        array = np.zeros(int(np.prod(shape)) * size + 1, np.uint8)[1:].view(dtype).reshape(shape)
    else:
        array = np.zeros(shape, dtype)
    if array.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            array[...] = np.array(value).astype(dtype)
    if layout == "read-only":
        array.flags.writeable = False
    if layout == "reversed" and array.ndim:
        array = array[::-1]
    if layout == "strided" and array.ndim:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "broadcast":
        array = np.broadcast_to(array, (3, *shape))
    return array
