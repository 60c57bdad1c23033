"""A contender's process: jobs go in, answers come out, and what goes wrong in it stays in it."""

import ctypes
import json
import os
import pathlib
import select
import signal
import subprocess
import tempfile
import time

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Process:
    """Started when it is first asked, and again where it has ended.

    A job is a line of JSON. The answer is a line of JSON for each thing measured, and `{}` or the end of
    the output behind them. Other lines are a library's own and are ignored.
    """

    def __init__(self, command, **environment):
        self.command = [str(part) for part in command]
        self.environment = environment
        self.process = None

    def start(self):
        # Appended to, so that reading it does not move the place where the process writes.
        self.errors = tempfile.TemporaryFile("a+b")
        try:
            self.process = subprocess.Popen(self.command, bufsize=0, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=self.errors,
                                            env=os.environ | self.environment,
                                            start_new_session=True, preexec_fn=first_to_go)
        except OSError:
            self.errors.close()
            raise
        self.output = b""

    def ask(self, job, seconds):
        """The answer to a job, and why some of it may be missing."""
        if self.process and self.process.poll() is not None:
            self.end()
        try:
            if not self.process:
                self.start()
            before = os.fstat(self.errors.fileno()).st_size
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
        except BrokenPipeError:
            pass  # It has just ended, for a reason that is found below.
        except OSError as error:
            return [], str(error)
        answers = []
        for line in self.lines(time.monotonic() + seconds):
            if line is None:
                self.end(patience=0)
                return answers, f"not done after {seconds:.0f} s"
            answer = parsed(line)
            if answer == {}:
                return answers, None
            if answer:
                answers.append(answer)
        reason = self.why(before)
        self.end()
        return answers, reason

    def lines(self, limit):
        """What it prints, until it prints no more; `None` is the last where the time is over."""
        while True:
            line, newline, rest = self.output.partition(b"\n")
            if newline:
                self.output = rest
                yield line
                continue
            left = limit - time.monotonic()
            if left <= 0:
                yield None
                return
            # Now and then a look at the process: its children may keep its output open.
            if select.select([self.process.stdout], [], [], min(left, 1))[0]:
                more = os.read(self.process.stdout.fileno(), 1 << 16)
                if not more:
                    return
                self.output += more
            elif self.process.poll() is not None:
                return

    def why(self, before):
        """Why it has ended, from its status and what it wrote on stderr behind `before` bytes."""
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "closed its output"
        size = os.fstat(self.errors.fileno()).st_size
        errors = os.pread(self.errors.fileno(), size - before, before).decode(errors="replace")
        return cause(status, errors) if status else "printed nothing"

    def end(self, patience=5):
        """Ends it with all that it has started: by itself, as there are no more jobs, or else by force."""
        if not self.process:
            return
        self.process.stdin.close()
        try:
            self.process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()
        self.process = None


def parsed(line):
    """A line of an answer, or None where it is none; the last one may end in its middle."""
    try:
        return json.loads(line) if line.startswith(b"{") else None
    except ValueError:
        return None


def first_to_go():
    """Has the kernel end this process, not others, where memory runs out; and when its parent ends."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        pathlib.Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass


def cause(status, errors):
    """Why a process failed, in a line."""
    if status == -signal.SIGKILL:
        return "killed, as when memory runs out"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("note: ")]
    # Burn gives the first cause last. Rust says where it panicked in one line and why in the next, Python
    # why in the last.
    causes = [i for i, line in enumerate(lines) if line == "Caused by:"]
    panics = [i for i, line in enumerate(lines) if " panicked at " in line]
    if causes:
        lines = lines[causes[-1] + 1 :][:1]
    else:
        lines = lines[panics[0] + 1 :] if panics else lines[-1:]
    return " ".join(lines)[:300] or f"failed with status {status}"
