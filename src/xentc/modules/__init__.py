"""The losses as objects: frozen options with a call."""

from xentc.modules._cross_entropy import CrossEntropyLoss
from xentc.modules._elementwise import BCELoss, BCEWithLogitsLoss, HingeEmbeddingLoss

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HingeEmbeddingLoss"]
