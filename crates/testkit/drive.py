"""Drives a program in a terminal: drive.py SECONDS PROGRAM ARGUMENTS… < STEPS

A line of STEPS is `expect TEXT`, `type TEXT`, `choose TEXT` (of a list), or `enter`. Prints the screen and fails if a text doesn't come in time; else ends
with the program's own exit code.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

# What moves the cursor and colours; a move to the right stands for the blanks that it leaves.
RIGHT = re.compile(rb"\x1b\[\d*C")
ESCAPE = re.compile(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[()][A-Z0-9]|\x1b[=>78]")


def main():
    deadline = time.monotonic() + float(sys.argv[1])
    steps = sys.stdin.read().splitlines()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.argv[2], sys.argv[2:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    seen = b""

    def read():
        nonlocal seen
        ready, _, _ = select.select([terminal], [], [], 0.1)
        if not ready:
            return True
        try:
            more = os.read(terminal, 65536)
        except OSError:
            return False
        seen += more
        return bool(more)

    def text():
        return re.sub(rb"\s+", b" ", ESCAPE.sub(b"", RIGHT.sub(b" ", seen))).decode("utf-8", "replace")

    for step in steps:
        word, _, rest = step.partition(" ")
        if word == "type":
            os.write(terminal, rest.encode())
        elif word == "enter":
            os.write(terminal, b"\r")
        elif word == "choose":
            # A list may ignore keys for a while, lest somebody answers it by mistake.
            while "❯" + rest.replace(" ", "") not in text().replace(" ", ""):
                seen = b""
                os.write(terminal, b"\x1b[B")
                pause = time.monotonic() + 1
                while time.monotonic() < pause and read():
                    pass
                if time.monotonic() > deadline:
                    os.kill(pid, 9)
                    sys.exit(f"can't be chosen: {rest}\n{text()}")
        elif word == "expect":
            # Blanks are often drawn by moving the cursor, which leaves none.
            while rest.replace(" ", "") not in text().replace(" ", ""):
                if not read() or time.monotonic() > deadline:
                    os.kill(pid, 9)
                    sys.exit(f"not seen: {rest}\n{text()}")
            seen = b""
    while read():
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            sys.exit(f"does not end\n{text()}")
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
