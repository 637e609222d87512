"""Every argument of every function, wrong in every way that hypothesis finds; python tests/trust/fuzz.py goes on."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amount import examples
from entry_points import ENTRY_POINTS, NAMES, random_logits
from hypothesis import given, settings
from wrong_values import PARAMETERS, SCALARS, assert_orderly, calls

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.txt"))


@settings(max_examples=examples(1500))
@given(calls())
def test_any(call: tuple[str, dict[str, Any]]) -> None:
    assert_orderly(*call)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_and_every_scalar(name: str) -> None:
    refused = 0
    for parameter in PARAMETERS[name]:
        for value in SCALARS:
            arguments = ENTRY_POINTS[name][1](random_logits(5, 4)) | {parameter: value}
            refused += assert_orderly(name, arguments) == parameter
    assert refused > len(SCALARS)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_before(path: Path) -> None:
    """A function's name and its arguments, as Python writes them; ("array", dtype, shape) is an array of zeros."""
    name, arguments = ast.literal_eval(path.read_text())
    for key, value in arguments.items():
        if isinstance(value, tuple) and value[:1] == ("array",):
            arguments[key] = np.zeros(value[2], value[1])
    assert_orderly(name, ENTRY_POINTS[name][1](random_logits(5, 4)) | arguments)
