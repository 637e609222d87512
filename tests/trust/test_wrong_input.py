"""Every argument of everything public, wrong in every way that hypothesis finds; python tests/trust/fuzz.py goes on."""

from __future__ import annotations

import inspect
from pathlib import Path

import corpus_files
import pytest
from amount import examples
from fuzzed import CONSTANTS, FUZZED, PARAMETERS, RESULTS, operands_of
from hypothesis import given, settings
from wrong_values import SCALARS, Call, assert_orderly, calls

import xentc

CORPUS = sorted(corpus_files.CORPUS.glob("*.txt"))


@settings(max_examples=examples(1500))
@given(calls())
def test_any(call: Call) -> None:
    assert_orderly(call)


def test_nothing_public_is_missing() -> None:
    assert {*FUZZED, *RESULTS, *CONSTANTS} == set(xentc.__all__)
    for result, name in RESULTS.items():
        assert isinstance(FUZZED[name](**operands_of(name)), getattr(xentc, result))


def test_no_argument_is_missing() -> None:
    """A method of Evaluator that takes something has its parameters among those that are fuzzed."""
    methods = inspect.getmembers(xentc.Evaluator, inspect.isfunction)
    taken = {name for key, method in methods if key[0] != "_" for name in inspect.signature(method).parameters}
    assert taken - {"self"} <= set(PARAMETERS["Evaluator"])


@pytest.mark.parametrize("name", [name for name in FUZZED if PARAMETERS[name]])
def test_every_argument_and_every_scalar(name: str) -> None:
    refused = 0
    for parameter in PARAMETERS[name]:
        for value in SCALARS:
            refused += assert_orderly((name, {parameter: value})) == parameter
    assert refused > len(SCALARS) * len(PARAMETERS[name]) // 2


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_was_found_before(path: Path) -> None:
    for call in corpus_files.read(path):
        assert_orderly(call)


def test_the_corpus_is_varied() -> None:
    found = [call for path in CORPUS for call in corpus_files.read(path)]
    assert {name for name, _ in found} == set(FUZZED)
    outcomes = {(name, bool(assert_orderly((name, wrong)))) for name, wrong in found}
    assert outcomes >= {(name, outcome) for name in FUZZED if PARAMETERS[name] for outcome in (True, False)}
    assert any(len(wrong) > 2 for _, wrong in found)
