"""Loss, ranks and calibration of any number of blocks of samples, as if they had come in one.

(a) An Evaluator is options and sums (_sums.py); what it has seen is in the sums alone, which are exact.
(b) Its state says the same thing in texts that any JSON keeps: sums as whole hexadecimal numbers times a power of two,
    floats as float.hex writes them. A pickle holds the state as well, and so does not depend on how this is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

from xentc._types import Readable, Real
from xentc.evaluation import _state
from xentc.evaluation._options import checked_options, same_options
from xentc.evaluation._results import Evaluation, evaluate
from xentc.evaluation._sums import Sums, block_sums


class Evaluator:
    """
    Add up loss, ranks and calibration over blocks of samples, here or on many machines.

    Blocks that are cut, ordered and merged in any way give the same bits, as long as the class axis of the logits stays
    contiguous or strided as it is. Memory does not grow with the samples, and only with `per_class` with the classes.
    Not to be updated by several threads at once: give each its own, and merge.

    Parameters
    ----------
    weight : array_like, shape (C,), optional
        One weight a class, for the loss; copied.
    ignore_index : int, optional
        Targets of this class do not count.
    label_smoothing : float, optional
        As in `cross_entropy`, for the loss. Above 0 the logits are read twice.
    axis : int, optional
        The class axis of what `update` is given; None is torch's rule, axis 1, or 0 for one-dimensional input.
    top_k : sequence of int, optional
        The k of the top-k accuracies.
    bins : int, optional
        How many bins the calibration error has.
    per_class : bool, optional
        Whether each class gets its own loss and accuracy. Then all blocks have the same number of classes.

    Examples
    --------
    >>> import numpy as np
    >>> from xentc import Evaluator
    >>> logits, target = np.array([[4.0, 1.0, 2.0], [0.0, 1.0, 2.0]], np.float32), np.array([0, 1])
    >>> first, second = Evaluator(), Evaluator()
    >>> first.update(logits[:1], target[:1])
    >>> second.update(logits[1:], target[1:])
    >>> first.merge(second)
    >>> found = first.compute()
    >>> found.samples, round(found.loss, 4), found.accuracy, found.top_k[5]
    (2, 0.7887, 0.5, 1.0)
    """

    def __init__(
        self,
        *,
        weight: Readable | None = None,
        ignore_index: SupportsIndex = -100,
        label_smoothing: Real = 0.0,
        axis: SupportsIndex | None = None,
        top_k: Iterable[SupportsIndex] = (1, 5),
        bins: SupportsIndex = 15,
        per_class: bool = False,
    ) -> None:
        self._options = checked_options(weight, ignore_index, label_smoothing, axis, top_k, bins, per_class)
        self._sums = Sums()

    def update(
        self,
        input: Readable,
        target: Readable,
        *,
        sample_weight: Readable | None = None,
        num_threads: SupportsIndex | None = None,
    ) -> None:
        """
        Add a block of samples. When it raises, or is interrupted, nothing has been added.

        Parameters
        ----------
        input : array_like, shape (N, C), (C,) or (N, C, d1, ...), the classes on `axis`
            Logits, of float16, bfloat16, float32, float64, or integers.
        target : array_like, the input's shape without the class axis
            Class indices, of any integer dtype, or `ignore_index`.
        sample_weight : array_like, the target's shape, optional
            One weight a sample: of its loss, accuracies, ranks, entropy and calibration. A sample of weight 0 is not
            ignored, but adds nothing to these.
        num_threads : int, optional
            Threads for this call; see `set_num_threads`. The result has the same bits for any number.

        Raises
        ------
        TypeError, ValueError, IndexError
            As `cross_entropy` does.
        """
        self._add(block_sums(input, target, sample_weight, num_threads, self._options), "input")

    def merge(self, other: Evaluator) -> None:
        """
        Add all that another one has seen.

        Parameters
        ----------
        other : Evaluator
            Of the same options; it stays as it is.

        Raises
        ------
        TypeError, ValueError
            If it is no Evaluator, or one of other options or another number of classes.
        """
        if not isinstance(other, Evaluator):
            raise TypeError(f"other: got {type(other).__name__}, expected an Evaluator")
        if not same_options(other._options, self._options):
            _state.check_options(_state.options_state(other._options), self._options, "other")
        self._add(other._sums, "other")

    def _add(self, sums: Sums, name: str) -> None:
        seen = self._sums.n_classes
        if None not in (seen, sums.n_classes) and seen != sums.n_classes:
            raise ValueError(f"{name}: got {sums.n_classes} classes, expected {seen} as before, because of per_class")
        self._sums = self._sums + sums

    def compute(self) -> Evaluation:
        """
        The result for all samples so far; more may follow.

        Returns
        -------
        Evaluation
        """
        return evaluate(self._sums, self._options)

    def reset(self) -> None:
        """Forget all samples."""
        self._sums = Sums()

    def state_dict(self) -> dict[str, Any]:
        """
        Options and sums, for `load_state_dict`.

        Returns
        -------
        dict
            Of what JSON has; equal for equal sums, however they came about. It says its version.
        """
        return _state.state(self._sums, self._options)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """
        Go on from where another one was: what this one has seen is replaced.

        Parameters
        ----------
        state_dict : dict
            What `state_dict` gave, perhaps by way of JSON, of an Evaluator with the same options.

        Raises
        ------
        TypeError, ValueError
            If it is no such thing, or of other options. Then nothing has changed.
        """
        self._sums = _state.checked_sums(state_dict, self._options)

    def __copy__(self) -> Evaluator:
        twin = object.__new__(type(self))
        twin._options, twin._sums = self._options, self._sums  # neither of which ever changes
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_state, (self.state_dict(),)

    def __repr__(self) -> str:
        return f"<Evaluator: {self._sums.count('samples')} samples>"


def _from_state(state: dict[str, Any]) -> Evaluator:
    evaluator = Evaluator(**_state.options_of(state))
    evaluator.load_state_dict(state)
    return evaluator
