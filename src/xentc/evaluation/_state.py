"""An Evaluator's options and sums as what JSON has, and back, with every check."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from xentc._exact import ExactSum
from xentc.evaluation._options import Options
from xentc.evaluation._sums import Sums, Terms

VERSION = 1
_COUNTS = ("samples", "ignored", "nonfinite", "bin_samples", "class_samples")
_SINGLE = (
    *("samples", "ignored", "nonfinite", "weight", "rank", "reciprocal_rank", "entropy"),
    *("loss", "loss_weight", "loss_squared", "loss_times_weight", "loss_weight_squared"),
)
_OF_BINS = ("bin_samples", "bin_weight", "bin_correct", "bin_confidence")
_OF_CLASSES = ("class_samples", "class_weight", "class_correct", "class_loss", "class_loss_weight")


def state(sums: Sums, options: Options) -> dict[str, Any]:
    """The same for the same sums: sorted, and without what is 0."""
    return {
        "version": VERSION,
        "options": options_state(options),
        "weighted": sums.weighted,
        "n_classes": sums.n_classes,
        "sums": {name: texts for name in sorted(sums.terms) if (texts := _texts(sums.terms[name]))},
    }


def _texts(terms: Terms) -> dict[str, str]:
    return {str(number): str(term) for number, term in sorted(terms.items()) if term.units or term.special}


def options_state(options: Options) -> dict[str, Any]:
    weight = None if options.weight is None else [value.hex() for value in options.weight.tolist()]
    return {
        **options._asdict(),
        "weight": weight,
        "label_smoothing": options.label_smoothing.hex(),
        "top_k": list(options.top_k),
    }


def options_of(state: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an Evaluator that can load this state."""
    options = dict(state["options"])
    if options["weight"] is not None:
        options["weight"] = [float.fromhex(text) for text in options["weight"]]
    options["label_smoothing"] = float.fromhex(options["label_smoothing"])
    return options


def check_options(given: Any, options: Options, name: str) -> None:
    for option, expected in options_state(options).items():
        got = given.get(option) if isinstance(given, dict) else None
        if got != expected or type(got) is not type(expected):
            raise ValueError(f"{name}: got {option} {_short(got)}, expected that of this Evaluator, {_short(expected)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:50]}...{text[-5:]}"


def checked_sums(given: Any, options: Options) -> Sums:
    if not isinstance(given, dict):
        raise TypeError(f"state_dict: got {type(given).__name__}, expected what state_dict() gives")
    if type(given.get("version")) is not int or given["version"] != VERSION:
        raise ValueError(f"state_dict: got version {_short(given.get('version'))}, expected {VERSION}")
    check_options(given.get("options"), options, "state_dict")
    weighted, n_classes, sums = given.get("weighted"), given.get("n_classes"), given.get("sums")
    if not isinstance(weighted, bool):
        raise ValueError(f"state_dict: got weighted {_short(weighted)}, expected true or false")
    known = type(n_classes) is int and 0 <= n_classes < 2**31 and options.per_class
    if not known and n_classes is not None:
        raise ValueError(f"state_dict: got n_classes {_short(n_classes)}, expected none, or a number with per_class")
    if not isinstance(sums, dict):
        raise ValueError(f"state_dict: got sums {_short(sums)}, expected names and numbers")
    numbers = _numbers(options, n_classes or 0)
    terms = {name: _terms(name, sums[name], numbers.get(name, ())) for name in sums}
    return Sums((terms,), weighted, n_classes)


def _numbers(options: Options, n_classes: int) -> dict[str, Collection[int]]:
    """What each name may have."""
    return {
        **dict.fromkeys(_SINGLE, range(1)),
        "correct": {1, *options.top_k},
        **dict.fromkeys(_OF_BINS, range(options.bins + 1)),
        **dict.fromkeys(_OF_CLASSES, range(n_classes)),
    }


def _terms(name: str, texts: Any, numbers: Collection[int]) -> Terms:
    terms = {}
    try:
        for number, text in texts.items():
            term = terms[int(number)] = ExactSum.parse(text)
            if int(number) not in numbers or (
                name in _COUNTS and (term.units < 0 or term.exponent < 0 or term.special)
            ):
                raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"state_dict: got sums of {_short(name)} that are none: {_short(texts)}") from None
    return terms
