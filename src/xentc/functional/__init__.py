"""The public functions: signatures and docstrings. What they do is in _arguments (checks) and _engine (the run).

The overloads of a function say: the loss is a scalar, except with 'none'; `return_grad` makes it a pair; and where a
type checker sees neither literally, either may come. The deprecated `size_average` and `reduce` count as not seen.
"""

from xentc.functional._binary import binary_cross_entropy
from xentc.functional._binary_with_logits import binary_cross_entropy_with_logits
from xentc.functional._cross_entropy import cross_entropy
from xentc.functional._hinge import hinge_embedding_loss
from xentc.functional._margin import multilabel_margin_loss
from xentc.functional._nll import nll_loss
from xentc.functional._score import Scores, gather_logprobs, score, top_logprobs
from xentc.functional._softmax import log_softmax, logsumexp, softmax

__all__ = [
    "Scores",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gather_logprobs",
    "hinge_embedding_loss",
    "log_softmax",
    "logsumexp",
    "multilabel_margin_loss",
    "nll_loss",
    "score",
    "softmax",
    "top_logprobs",
]
