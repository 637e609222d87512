"""Loss, ranks and calibration of any number of blocks of samples."""

from xentc.evaluation._evaluator import Evaluator
from xentc.evaluation._results import Bin, Evaluation

__all__ = ["Bin", "Evaluation", "Evaluator"]
