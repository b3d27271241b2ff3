"""Run commands in processes of their own that start from one that has imported PyTorch already.

A start of Python with PyTorch and Lightning takes seconds, a fork of a process that has them a few hundredths. The
server imports the library once and does nothing else, so that every fork begins as a new interpreter would behind its
imports. What an interpreter reads before that (``PYTHON*``, ranks of launchers) needs a real start, see ``can_fork``.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

PRELOADED = (
    "training.run",
    "evaluation.comparison",
    "evaluation.evaluator",
    "inference.samples",
    "inference.translator",
)
AT_START = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "NODE_RANK", "OMP_NUM_THREADS", "MASTER_PORT")


def can_fork(module, environment):
    """Return whether a module may start from the server: what is read at a real start is as it was at the server's."""
    at_start = {key for key in {*environment, *os.environ} if key.startswith("PYTHON") or key in AT_START}
    same = all(environment.get(key) == os.environ.get(key) for key in at_start - {"OMP_NUM_THREADS"})
    return hasattr(socket, "send_fds") and sys.platform == "linux" and module.startswith("lightning_gans.") and same


class Forked:
    """A running ``python -m ARGUMENTS``: the part of ``subprocess.Popen`` that tests use."""

    def __init__(self, arguments, cwd, environment, *, joined=False):
        self._files = [tempfile.TemporaryFile() for _ in range(1 if joined else 2)]  # noqa: SIM115
        request = {"arguments": list(arguments), "cwd": os.fspath(cwd or os.getcwd()), "environment": environment}
        self._socket, theirs = socket.socketpair()
        streams = [self._files[0].fileno(), self._files[-1].fileno()]
        socket.send_fds(_server(), [json.dumps(request).encode() + b"\n"], [theirs.fileno(), *streams])
        theirs.close()
        self.args, self.returncode = list(arguments), None
        self.pid = int(self._socket.recv(64))

    def poll(self):
        """Return the exit status, or ``None`` while it runs."""
        return self._answer(0)

    def send_signal(self, number):
        os.kill(self.pid, number)

    def communicate(self, timeout=None):
        """Wait for the end; returns what was written to standard output and error."""
        if self._answer(timeout) is None:
            with contextlib.suppress(ProcessLookupError):
                self.send_signal(signal.SIGKILL)
            raise subprocess.TimeoutExpired(self.args, timeout)
        for file in self._files:
            file.seek(0)
        texts = [file.read().decode() for file in self._files]
        return texts[0], texts[1] if len(texts) == 2 else None

    def _answer(self, timeout):
        if self.returncode is None:
            self._socket.settimeout(timeout)
            with contextlib.suppress(TimeoutError, BlockingIOError):
                self.returncode = int(self._socket.recv(64))
        return self.returncode


def run(arguments, cwd, environment, timeout):
    """Run ``python -m ARGUMENTS`` to its end; returns as ``subprocess.run`` with captured text does."""
    if not can_fork(arguments[0], environment):
        own = [sys.executable, "-m", *arguments]
        return subprocess.run(own, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)
    process = Forked(arguments, cwd, environment)
    texts = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, *texts)


def start(arguments, environment):
    """Start ``python -m ARGUMENTS`` with both streams in one."""
    if can_fork(arguments[0], environment):
        return Forked(arguments, None, environment, joined=True)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([sys.executable, "-m", *arguments], env=environment, text=True, **pipes)


_SERVERS = {}  # of this process; pytest's workers have one each


def _server():
    if os.getpid() not in _SERVERS:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], env=environment, pass_fds=[theirs.fileno()]
        )
        theirs.close()
        atexit.register(process.wait)
        atexit.register(ours.close)  # the server ends with it; runs first
        _SERVERS[os.getpid()] = ours
    return _SERVERS[os.getpid()]


def serve(connection):
    """Fork for every request, until the tests have ended."""
    import gc
    import importlib

    for name in PRELOADED:
        importlib.import_module(f"lightning_gans.{name}")
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        text, descriptors = b"", array.array("i")
        while not text.endswith(b"\n"):
            piece, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
            if not piece:
                return
            text += piece
            descriptors.extend(files)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection.close()
            attend(json.loads(text), *descriptors)
        for number in descriptors:
            os.close(number)


def attend(request, answers, stdout, stderr):
    """Fork the command, and tell its number and its exit status."""
    child = os.fork()
    if child == 0:
        os.close(answers)
        begin(request, stdout, stderr)
    os.write(answers, f"{child}\n".encode())
    os.close(stdout)
    os.close(stderr)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, f"{code}".encode())
    os._exit(0)


def begin(request, stdout, stderr):
    """Become ``python -m MODULE ARGUMENTS`` in its folder and environment."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    module, *arguments = request["arguments"]
    sys.argv = [module, *arguments]
    sys.path[0] = request["cwd"]
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # as an interpreter ends: wait for threads, then what was registered
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    serve(socket.socket(fileno=int(sys.argv[1])))
