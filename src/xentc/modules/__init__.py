"""The losses as objects: frozen options with a call."""

from xentc.modules._cross_entropy import CrossEntropyLoss

__all__ = ["CrossEntropyLoss"]
