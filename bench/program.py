"""A program under measurement: started, watched, ended; its messages are kept for complaints."""

import os
import signal
import subprocess
import time


class Failed(Exception):
    """A row could not be measured, or what was measured is not what it should be."""


class Program:
    """A child process. What it prints goes into a file of the run's folder."""

    def __init__(self, command, log, environment=None):
        self.command = command
        self.log = log
        self.environment = environment or {}
        with open(log, "w") as out:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=out, env={**os.environ, **self.environment})

    def words(self):
        """The command as one would type it."""
        variables = [f'{name}="{value}"' if " " in value else f"{name}={value}"
                     for name, value in self.environment.items()]
        return " ".join(variables + self.command)

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def fail(self, why):
        tail = "\n".join(self.said().splitlines()[-15:])
        raise Failed(f"{why}; the end of the messages of {self.command[0]}:\n{tail}")

    def wait_until(self, is_true, what, seconds=60):
        end = time.monotonic() + seconds
        while not is_true():
            if self.child.poll() is not None:
                self.fail(f"it ended with code {self.child.returncode} before {what}")
            if time.monotonic() > end:
                self.fail(f"not within {seconds} s: {what}")
            time.sleep(0.05)

    def end(self, by=signal.SIGTERM):
        if self.child.poll() is None:
            self.child.send_signal(by)
        try:
            return self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            self.fail("it did not end when it was told to")
