"""Cross-entropy and its gradient over NumPy arrays, at the speed of memory."""

from xentc._config import show_config
from xentc._threads import get_num_threads, set_num_threads
from xentc._version import __version__
from xentc.evaluation import Evaluation, Evaluator
from xentc.functional import cross_entropy
from xentc.modules import CrossEntropyLoss

__all__ = [
    "CrossEntropyLoss",
    "Evaluation",
    "Evaluator",
    "__version__",
    "cross_entropy",
    "get_num_threads",
    "set_num_threads",
    "show_config",
]
