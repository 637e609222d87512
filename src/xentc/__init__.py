"""Cross-entropy and its gradient over NumPy arrays, at the speed of memory."""

from xentc._config import show_config
from xentc._threads import get_num_threads, set_num_threads
from xentc._version import __version__
from xentc.functional import Scores, cross_entropy, gather_logprobs, score, top_logprobs
from xentc.modules import CrossEntropyLoss

__all__ = [
    "CrossEntropyLoss",
    "Scores",
    "__version__",
    "cross_entropy",
    "gather_logprobs",
    "get_num_threads",
    "score",
    "set_num_threads",
    "show_config",
    "top_logprobs",
]
