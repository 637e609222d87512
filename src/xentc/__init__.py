"""Cross-entropy and its gradient over NumPy arrays, at the speed of memory."""

from xentc._config import show_config
from xentc._threads import get_num_threads, set_num_threads
from xentc._version import __version__
from xentc.functional import cross_entropy, multilabel_margin_loss, nll_loss
from xentc.modules import CrossEntropyLoss, MultiLabelMarginLoss, NLLLoss

__all__ = [
    "CrossEntropyLoss",
    "MultiLabelMarginLoss",
    "NLLLoss",
    "__version__",
    "cross_entropy",
    "get_num_threads",
    "multilabel_margin_loss",
    "nll_loss",
    "set_num_threads",
    "show_config",
]
