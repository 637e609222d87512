"""The losses as objects: frozen options with a call."""

from dataclasses import KW_ONLY, dataclass, fields

import numpy as np

from xentc import functional


def _own_copy(value):
    """The object's own, so that a later change to the caller's array does not change the loss."""
    if value is None:
        return None
    copy = np.array(value)
    copy.flags.writeable = False
    return copy


def _same(a, b) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return type(a) is type(b) and bool(a == b)


class _Loss:
    """What the classes share: equality, and a repr that shows what differs from the defaults."""

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, field.name), getattr(other, field.name)) for field in fields(self))

    __hash__ = None

    def __repr__(self):
        shown = (
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if not _same(getattr(self, field.name), field.default)
        )
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, eq=False, repr=False)
class CrossEntropyLoss(_Loss):
    """
    Cross-entropy with its options fixed; see `cross_entropy` for what they mean.

    Takes the arguments of torch.nn.CrossEntropyLoss, and xentc's own by keyword. Called as
    ``criterion(input, target)``, with `return_grad`, `grad_output`, `out`, `grad_out`, `num_threads` and
    `sample_weight` as keywords. Immutable, and safe to share between threads.

    Examples
    --------
    >>> from xentc import CrossEntropyLoss
    >>> criterion = CrossEntropyLoss(ignore_index=0, reduction="sum")
    >>> criterion
    CrossEntropyLoss(ignore_index=0, reduction='sum')
    >>> float(criterion([[4.0, 1.0, 2.0]], [0]))
    0.0
    """

    weight: object = None
    size_average: object = None
    ignore_index: int = -100
    reduce: object = None
    reduction: str = "mean"
    label_smoothing: float = 0.0
    _: KW_ONLY
    axis: int | None = None
    softcap: float | None = None
    temperature: float = 1.0
    lse_square_scale: float = 0.0

    def __post_init__(self):
        object.__setattr__(self, "weight", _own_copy(self.weight))

    def __call__(self, input, target, **call_options):
        return functional.cross_entropy(input, target, **self._options(), **call_options)

    def _options(self):
        return {field.name: getattr(self, field.name) for field in fields(self)}
