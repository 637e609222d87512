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
import zipfile

import numpy as np
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


RESIDENT = """
import sys
from xentc import cli
from xentc._cli import evaluate
def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))
before, most, with_ = {name: resident(name) for name in ("RssAnon", "RssFile")}, {}, evaluate._Run._with
def watched(*args):
    for name in before:
        most[name] = max(most.get(name, 0), resident(name) - before[name])
    return with_(*args)
evaluate._Run._with = watched
code = cli.main()
print(most["RssAnon"], most["RssFile"])
sys.exit(code)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shift", [False, True])
def test_pages_are_given_back(tmp_path, packed, shift):
    """256 MiB of logits; at any time a few blocks of 16 MiB are in this process."""
    shape = (64, 1024, 1024)
    logits = tmp_path / "logits.npy"
    with open(logits, "wb") as file:
        file.write(npy(header(shape=str(shape))))
        file.truncate(file.tell() + 4 * math.prod(shape))
    np.save(tmp_path / "targets.npy", np.zeros(shape[:2], np.uint16))
    if packed:
        with zipfile.ZipFile(tmp_path / "logits.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(logits, "logits.npy")
        logits = tmp_path / "logits.npz"
    command = [sys.executable, "-c", RESIDENT, "evaluate", str(logits), str(tmp_path / "targets.npy"), "--threads", "2"]
    command += ["--shift"] if shift else ["--axis", "-1"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    anonymous, mapped = map(int, done.stdout.splitlines()[-1].split())
    assert anonymous < 100 << 20
    assert mapped < 80 << 20
