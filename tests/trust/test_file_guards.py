"""Files: what no reader gets to see, room on the disk, and checkpoints that are whole."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_tools import DIGITS, complaint, header, npy, run, save

from xentc._cli import checkpoint


def archive(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("logits.npy", data)
    return file.getvalue()


def test_no_pickle_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "load", lambda *args, **kwargs: pytest.fail("np.load was called"))
    (tmp_path / "bad.npy").write_bytes(pickle.dumps([1.0]))
    assert "not a .npy file" in complaint(run("evaluate", tmp_path / "bad.npy", DIGITS[1]))


@pytest.mark.parametrize("shape", ["(-4, -3)", "(4, 4611686018427387904)"])
def test_shapes_that_no_array_has(tmp_path: Path, shape: str) -> None:
    (tmp_path / "bad.npz").write_bytes(archive(npy(header(shape=shape), bytes(48))))
    assert "no array has the shape" in complaint(run("evaluate", tmp_path / "bad.npz", DIGITS[1]))


def test_a_tensor_of_fewer_bytes_than_it_has(tmp_path: Path) -> None:
    text = json.dumps({"logits": {"dtype": "F32", "shape": [4, 3], "data_offsets": [0, 96]}}).encode()
    (tmp_path / "bad.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(96))
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    assert "96 bytes, expected 48" in complaint(run("evaluate", tmp_path / "bad.safetensors", targets))


def test_an_archive_larger_than_the_room_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (targets,) = save(tmp_path, targets=np.zeros(4, np.int64))
    (tmp_path / "logits.npz").write_bytes(archive(npy(header(), bytes(48))))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    assert "has room for 100" in complaint(run("evaluate", tmp_path / "logits.npz", targets))


def test_a_checkpoint_before_the_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "fingerprint", lambda job: {})
    found = {"run": {}, "position": -1, "state": {}, "histogram": {}}
    (tmp_path / "checkpoint").write_text(json.dumps(found))
    message = complaint(run("evaluate", *DIGITS, "--checkpoint", tmp_path / "checkpoint"))
    assert message.strip().endswith("not a checkpoint")


def test_a_checkpoint_is_always_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "checkpoint")
    state: dict[str, Any] = {"sums": {}}
    checkpoint.save(path, {}, 1, state, {})
    before = Path(path).read_bytes()

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {}, 2, state, {})
    assert Path(path).read_bytes() == before
