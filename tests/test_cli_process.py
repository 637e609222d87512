"""The command line as a process: pipes, terminals, limits."""

import fcntl
import json
import math
import os
import pty
import resource
import struct
import subprocess
import sys
import termios

import pytest
from cli_tools import COMMAND, DIGITS, complaint, header, npy

# Python must buffer what it prints, as it does for users: half of what can go wrong with a pipe is in that buffer.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_process_piped():
    done = subprocess.run([*COMMAND, *DIGITS], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("samples ")
    done = subprocess.run([*COMMAND, "missing.npy", DIGITS[1]], capture_output=True, text=True, env=ENVIRONMENT)
    complaint((done.returncode, done.stdout, done.stderr))


def on_a_terminal(command):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))  # no bar fits into the 0 columns at first
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=ENVIRONMENT)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:  # how Linux says that the other side has closed
        pass
    os.close(ours)
    out, _ = process.communicate()
    return process.returncode, out, seen.decode()


def test_progress_on_a_terminal():
    code, out, err = on_a_terminal([*COMMAND, *DIGITS])
    assert code == 0
    assert out.startswith("samples ")
    assert "%|" in err
    assert "logit/s" in err
    assert "GB/s" in err


def test_terminal_without_tqdm():
    program = "import sys; sys.modules['tqdm'] = None; from xentc.cli import main; sys.exit(main())"
    code, out, err = on_a_terminal([sys.executable, "-c", program, "evaluate", *DIGITS])
    assert code == 0
    assert out.startswith("samples ")
    assert err.count("\n") == 1
    assert 'pip install "xentc[progress]"' in err


def test_broken_pipe_and_full_disk():
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run([*COMMAND, *DIGITS], stdout=theirs, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, "")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run([*COMMAND, *DIGITS], stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        complaint((done.returncode, "", done.stderr))


@pytest.mark.parametrize("shape", [(2**17, 1000), (2**25, 4), (1, 32, 2**22)])
def test_memory_does_not_grow_with_the_file(tmp_path, shape):
    """512 MiB of logits (holes in a file) in a process that may not have 256 MiB."""
    with open(tmp_path / "logits.npy", "wb") as file:
        file.write(npy(header(shape=str(shape))))
        file.truncate(file.tell() + 4 * math.prod(shape))
    with open(tmp_path / "targets.npy", "wb") as file:
        file.write(npy(header("'|u1'", str(shape[:1] + shape[2:]))))
        file.truncate(file.tell() + math.prod(shape) // shape[1])

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))

    command = [*COMMAND, str(tmp_path / "logits.npy"), str(tmp_path / "targets.npy"), "--threads", "1", "--json"]
    environment = {**ENVIRONMENT, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, preexec_fn=limit, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["loss"] == pytest.approx(math.log(shape[1]))
