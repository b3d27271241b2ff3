"""Run commands and scripts in processes of their own that start from one that has imported PyTorch already.

A start of Python with PyTorch and Lightning takes seconds, a fork of a process that has them a few hundredths. The
server imports the library once and does nothing else, so that every fork begins as a new interpreter would behind its
imports. Processes that a launcher starts there, Lightning's or torchrun's, are forks too: children of the launching
process that were forked before its first line ran. What an interpreter reads before its imports (``PYTHON*``, a rank
without a launcher) needs a real start, see ``can_fork``.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import inspect
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
    "lightning_gans.training.run",
    "lightning_gans.evaluation.comparison",
    "lightning_gans.evaluation.evaluator",
    "lightning_gans.inference.samples",
    "lightning_gans.inference.translator",
    "pytest",
    "torch.distributed.elastic.agent.server.local_elastic_agent",
)
RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "MASTER_PORT")
LAUNCHER = "torch.distributed.run"


def can_fork(program, environment):
    """Return whether a module or script may start from the server: what is read at a real start is as it was there.

    Ranks are read again, see ``become``, where they count; one that a shell has left over is a matter of the start.
    """
    keys = {key for key in {*environment, *os.environ} if key.startswith("PYTHON") and key != "PYTHONPATH"}
    if "WORLD_SIZE" not in environment:
        keys |= set(RANKS)
    same = all(environment.get(key) == os.environ.get(key) for key in keys)
    known = program.startswith("lightning_gans.") or program == LAUNCHER or program.endswith(".py")
    return hasattr(socket, "send_fds") and sys.platform == "linux" and known and same


def spares(arguments):
    """Return how many processes a command will start itself."""
    return 2 if arguments[0] == LAUNCHER else 1 if any("devices=2" in argument for argument in arguments) else 0


class Forked:
    """A running ``python -m ARGUMENTS``: the part of ``subprocess.Popen`` that tests use."""

    def __init__(self, arguments, cwd, environment, *, joined=False):
        self._files = [tempfile.TemporaryFile() for _ in range(1 if joined else 2)]  # noqa: SIM115
        request = {"arguments": list(arguments), "cwd": os.fspath(cwd or os.getcwd()), "environment": environment}
        request["spares"] = spares(arguments)
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


def _interpreter(arguments):
    return [sys.executable, *([] if arguments[0].endswith(".py") else ["-m"]), *arguments]


def run(arguments, cwd, environment, timeout, *, real=False):
    """Run ``python -m ARGUMENTS`` or a script to its end; returns as ``subprocess.run`` with captured text does."""
    if real or not can_fork(arguments[0], environment):
        streams = {"capture_output": True, "text": True}
        return subprocess.run(_interpreter(arguments), cwd=cwd, env=environment, timeout=timeout, **streams)
    process = Forked(arguments, cwd, environment)
    texts = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, *texts)


def start(arguments, environment, *, joined=True):
    """Start ``python -m ARGUMENTS`` or a script, with both streams in one if they are ``joined``."""
    if can_fork(arguments[0], environment):
        return Forked(arguments, None, environment, joined=joined)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT if joined else subprocess.PIPE}
    return subprocess.Popen(_interpreter(arguments), env=environment, text=True, **pipes)


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
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, lambda *_: reap(os.WNOHANG))
    while (received := receive(connection)) is not None:
        request, descriptors = received
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            connection.close()
            attend(request, *descriptors)
        for number in descriptors:
            os.close(number)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reap(0)


def receive(connection):
    """Wait for a request and the files that come with it; ``None``: there will be none."""
    text, descriptors = b"", array.array("i")
    while not text.endswith(b"\n"):
        piece, files, *_ = socket.recv_fds(connection, 1 << 20, 3)
        if not piece:
            return None
        text += piece
        descriptors.extend(files)
    return json.loads(text), descriptors


def reap(how):
    """Take note of children that have ended, so that their processor time counts."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


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
    """Become the command, beside which processes wait for what it launches."""
    null = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((null, stdout, stderr)):
        os.dup2(stream, number)
    waiting = []
    for _ in range(request["spares"]):
        ours, theirs = socket.socketpair()
        if (pid := os.fork()) == 0:
            for _, other in waiting:
                other.close()
            ours.close()
            received = receive(theirs)
            if received is None:
                os._exit(0)
            theirs.close()
            for number, stream in enumerate(received[1], start=1):
                os.dup2(stream, number)
            if received[0]["session"]:
                os.setsid()
            become(received[0])
        theirs.close()
        waiting.append((pid, ours))
    replace_popen(waiting)
    become(request, waiting)


def replace_popen(waiting):
    """Let ``subprocess.Popen`` of an interpreter wake a process that waits, as long as there is one."""
    signature = inspect.signature(subprocess.Popen._execute_child)

    class Popen(subprocess.Popen):
        def _execute_child(self, *arguments):
            given = signature.bind(self, *arguments).arguments
            words = [os.fspath(word) for word in given["args"]] if isinstance(given["args"], list | tuple) else []
            program = [word for word in words[1:4] if word not in ("-u", "-m")]
            environment = dict(os.environ if given["env"] is None else given["env"])
            piped = any(given[name] != -1 for name in ("p2cread", "c2pread", "errread"))
            is_ours = words[:1] == [sys.executable] and words[1] != "-c" and program and not piped
            if not (waiting and is_ours and can_fork(program[0], environment)):
                return super()._execute_child(*arguments)
            self.pid, connection = waiting.pop(0)
            streams = [own if own != -1 else i for i, own in ((1, given["c2pwrite"]), (2, given["errwrite"]))]
            request = {
                "arguments": words[words.index(program[0]) :],
                "cwd": os.fspath(given["cwd"] or os.getcwd()),
                "environment": environment,
                "session": given["start_new_session"],
            }
            socket.send_fds(connection, [json.dumps(request).encode() + b"\n"], streams)
            connection.close()
            self._child_created = True
            return None

    subprocess.Popen = Popen
    handler = sys.modules.get("torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler")
    if handler is not None:
        handler.Popen = Popen


def become(request, waiting=()):
    """Run as ``python -m MODULE ARGUMENTS`` or ``python SCRIPT ARGUMENTS`` in its folder and environment."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    set_ranks()
    program, *arguments = request["arguments"]
    sys.argv = [program, *arguments]
    is_script = program.endswith(".py")
    sys.path[0] = os.path.dirname(os.path.abspath(program)) if is_script else request["cwd"]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in paths if path and path not in sys.path]
    code = 0
    try:
        if is_script:
            runpy.run_path(program, run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
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
    for _, connection in waiting:
        connection.close()
    os._exit(code)


def set_ranks():
    """Read the ranks that libraries have read at their import."""
    from lightning.fabric.utilities import rank_zero
    from torchmetrics.utilities import prints

    rank_zero.rank_zero_only.rank = rank_zero._get_rank() or 0
    prints.rank_zero_only.rank = int(os.environ.get("LOCAL_RANK", 0))


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    serve(socket.socket(fileno=int(sys.argv[1])))
