"""Make logits.npy and labels.npy: scikit-learn's handwritten digits, scored by a classifier that has not seen them.

    python make_digits.py [FOLDER]

Needs scikit-learn; xentc does not. The same versions on the same machine give the same bytes.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def score_unseen_half() -> tuple[np.ndarray, np.ndarray]:
    """Train on every other image, score the rest: logits (N, 10) and labels (N,)."""
    images, labels = load_digits(return_X_y=True)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(images[::2], labels[::2])
    return classifier.decision_function(images[1::2]), labels[1::2]


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    logits, labels = score_unseen_half()
    np.save(folder / "logits.npy", np.ascontiguousarray(logits, dtype=np.float32))
    np.save(folder / "labels.npy", np.ascontiguousarray(labels, dtype=np.int64))


if __name__ == "__main__":
    main()
