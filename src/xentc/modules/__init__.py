"""The losses as objects: frozen options with a call."""

from xentc.modules._cross_entropy import CrossEntropyLoss
from xentc.modules._elementwise import BCELoss, BCEWithLogitsLoss, HingeEmbeddingLoss
from xentc.modules._margin import MultiLabelMarginLoss
from xentc.modules._nll import NLLLoss

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HingeEmbeddingLoss",
    "MultiLabelMarginLoss",
    "NLLLoss",
]
