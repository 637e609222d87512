"""gunicorn --preload: workers that are forked off an application which has used its threads answer all the same."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("gunicorn", reason="gunicorn is not installed; .ci/run installs it")

APPLICATION = """
import os
import numpy as np
import xentc

logits, target = np.ones((4096, 100), np.float32), np.zeros(4096, int)
BEFORE = xentc.cross_entropy(logits, target, num_threads=4)     # a team, in the process that is going to fork


def application(environment, start_response):
    loss = xentc.cross_entropy(logits, target, num_threads=4)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {loss == BEFORE}".encode()]
"""


def answer(port: int, seconds: float) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=seconds) as page:
        return page.read().decode()


def test_workers_of_a_preloaded_application_answer(tmp_path: Path) -> None:
    (tmp_path / "served.py").write_text(APPLICATION)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    command += ["--timeout", "30", "--chdir", str(tmp_path), "served:application"]
    with (tmp_path / "log.txt").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path)
    try:
        begin = time.monotonic()
        while True:
            try:
                answer(port, 30)
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, (tmp_path / "log.txt").read_text()
                assert time.monotonic() - begin < 60, (tmp_path / "log.txt").read_text()
                time.sleep(0.1)
        answers = [answer(port, 5).split() for _ in range(20)]  # a worker that hangs would not answer within 5 s
    finally:
        server.terminate()
        server.wait(30)
    assert {right for _, right in answers} == {"True"}
    assert str(server.pid) not in {pid for pid, _ in answers}
    assert "RuntimeWarning: this process was forked" in (tmp_path / "log.txt").read_text()
