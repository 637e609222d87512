"""The public functions: signatures and docstrings. What they do is in _arguments (checks) and _engine (the run).

The overloads of a function say: the loss is a scalar, except with 'none'; `return_grad` makes it a pair; and where a
type checker sees neither literally, either may come. The deprecated `size_average` and `reduce` count as not seen.
"""

from xentc.functional._cross_entropy import cross_entropy
from xentc.functional._margin import multilabel_margin_loss
from xentc.functional._nll import nll_loss

__all__ = ["cross_entropy", "multilabel_margin_loss", "nll_loss"]
