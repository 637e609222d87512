"""Cross-entropy and its gradient over NumPy arrays, at the speed of memory."""

from typing import TYPE_CHECKING, Any

from xentc._config import show_config
from xentc._threads import get_num_threads, set_num_threads
from xentc._version import __version__
from xentc.functional import (
    Scores,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gather_logprobs,
    hinge_embedding_loss,
    log_softmax,
    logsumexp,
    multilabel_margin_loss,
    nll_loss,
    score,
    softmax,
    top_logprobs,
)
from xentc.modules import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HingeEmbeddingLoss,
    MultiLabelMarginLoss,
    NLLLoss,
)

if TYPE_CHECKING:
    from xentc.evaluation import Evaluation, Evaluator

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "Evaluation",
    "Evaluator",
    "HingeEmbeddingLoss",
    "MultiLabelMarginLoss",
    "NLLLoss",
    "Scores",
    "__version__",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gather_logprobs",
    "get_num_threads",
    "hinge_embedding_loss",
    "log_softmax",
    "logsumexp",
    "multilabel_margin_loss",
    "nll_loss",
    "score",
    "set_num_threads",
    "show_config",
    "softmax",
    "top_logprobs",
]


def __getattr__(name: str) -> Any:
    """What evaluates is imported when it is asked for: it would double the time that the import takes."""
    if name not in ("Evaluation", "Evaluator"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xentc import evaluation

    found = globals()[name] = getattr(evaluation, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
