#!/usr/bin/env python3
"""Starts the static executor where there is nothing to lean on: in an empty root folder, in a Debian and in one with
busybox alone. In each it has to serve and to reach its manager by name: from the hosts file, by a search domain, with an
underscore in the name, and without any resolv.conf. `make static-check` calls it.

    static-check.py EXECUTOR [--debian FOLDER]      needs root; busybox-static; debootstrap unless a FOLDER is named

Everything happens in a network namespace of its own, where this program is the DNS server and the manager.
"""

import argparse
import fcntl
import http.server
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

MANAGER_PORT = 18500
EXECUTOR_PORT = 18501
PATIENCE_SECONDS = 120
# What the DNS server knows; everything else doesn't exist.
KNOWN = b"\x10executor_manager\x07example\x03net\x00"
SEARCH = "nameserver 127.0.0.1\nsearch example.net\n"

heartbeats: list[str] = []


class Manager(http.server.BaseHTTPRequestHandler):
    """Takes heartbeats and notes under which name it was called."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        heartbeats.append(self.headers["host"])
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


def serve_dns():
    """RFC 1035, section 4.1: 127.0.0.1 for an A question about KNOWN."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        packet, sender = server.recvfrom(512)
        end = packet.index(0, 12) + 1
        known = packet[12:end].lower() == KNOWN
        address = known and packet[end : end + 2] == b"\x00\x01"
        answer = packet[:2] + (b"\x81\x80" if known else b"\x81\x83")
        answer += struct.pack(">HHHH", 1, address, 0, 0) + packet[12 : end + 4]
        if address:
            answer += b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x7f\x00\x00\x01"
        server.sendto(answer, sender)


def raise_loopback():
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def require_static(executor: Path):
    """No program header asks for a dynamic loader (PT_INTERP)."""
    data = executor.read_bytes()
    offset, size, count = struct.unpack_from("<Q", data, 32) + struct.unpack_from("<HH", data, 54)
    kinds = [struct.unpack_from("<I", data, offset + index * size)[0] for index in range(count)]
    if 3 in kinds:
        sys.exit(f"static-check: {executor} asks for a dynamic loader")
    print(f"static, {len(data) / 1e6:.1f} MB")
    if len(data) > 15_000_000:
        sys.exit("static-check: the executor is larger than 15 MB")


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


def wait_for(what: str, condition, log: Path):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"static-check: {what}: never happened\n{tail(log)}")
        time.sleep(0.05)


def is_up() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{EXECUTOR_PORT}/", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def run_in(root: Path, manager: str, expect: str | None = None):
    """Serves in `root` until a heartbeat has come to `manager`, or until the log says what is expected."""
    log = Path(f"{root}.log")
    environment = {
        "EXECUTOR_MODE": "docker",
        "PORT": str(EXECUTOR_PORT),
        "HOME": "/",
        "PATH": "/bin",
        "HEARTBEAT_ID": "1",
        "HEARTBEAT_ENABLED": "true",
        "HEARTBEAT_INTERVAL": "1",
        "EXECUTOR_MANAGER_HEARTBEAT_BASE_URL": manager,
    }
    heartbeats.clear()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/executor"], env=environment, stdout=output, stderr=output, preexec_fn=lambda: (os.chroot(root), os.chdir("/"))
        )
    try:
        wait_for(f"{root.name} serves", is_up, log)
        host = manager.split("//")[1]
        if expect is None:
            wait_for(f"{root.name} reaches {host}", lambda: host in heartbeats, log)
        else:
            wait_for(f"{root.name} says {expect!r}", lambda: expect in log.read_text(errors="replace"), log)
    finally:
        process.terminate()
        code = process.wait(30)
    if code != 0:
        sys.exit(f"static-check: {root.name}: exit code {code}\n{tail(log)}")
    print(f"{root.name}: serves, {'says ' + repr(expect) if expect else 'reaches ' + host}, ends on SIGTERM")


def make_roots(work: Path, executor: Path, debian: Path) -> tuple[Path, Path]:
    empty, busybox = work / "empty", work / "busybox"
    empty.mkdir()
    for folder in ["bin", "etc"]:
        (busybox / folder).mkdir(parents=True)
    program = shutil.which("busybox")
    if program is None:
        sys.exit("static-check: no busybox: apt-get install busybox-static")
    shutil.copy2(program, busybox / "bin/busybox")
    (busybox / "bin/sh").symlink_to("busybox")
    for root in [empty, busybox, debian]:
        shutil.copy2(executor, root / "executor")
    return empty, busybox


def checks(work: Path, executor: Path, debian: Path):
    empty, busybox = make_roots(work, executor, debian)
    raise_loopback()
    threading.Thread(target=serve_dns, daemon=True).start()
    manager = http.server.ThreadingHTTPServer(("127.0.0.1", MANAGER_PORT), Manager)
    threading.Thread(target=manager.serve_forever, daemon=True).start()

    run_in(empty, f"http://localhost:{MANAGER_PORT}")
    # The server that resolv.conf(5) has by default, the machine itself.
    run_in(empty, f"http://executor_manager.example.net:{MANAGER_PORT}")
    run_in(empty, "https://localhost:1", expect="using the built-in ones")
    for root in [busybox, debian]:
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.0.1 known_host\n")
        (root / "etc/resolv.conf").write_text(SEARCH)
        run_in(root, f"http://known_host:{MANAGER_PORT}")
        run_in(root, f"http://executor_manager:{MANAGER_PORT}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("executor", type=Path)
    parser.add_argument("--debian", type=Path, help="a Debian's root folder; it gets the executor, hosts and resolv.conf")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("static-check: needs root, for chroot")
    if arguments.work is None:
        require_static(arguments.executor)
        # A second time, within a network of its own; debootstrap needs the machine's.
        with tempfile.TemporaryDirectory(prefix="static-check-") as work:
            debian = arguments.debian
            if debian is None:
                debian = Path(work) / "debian"
                subprocess.run(["debootstrap", "--variant=minbase", "stable", debian], check=True, stdout=subprocess.DEVNULL)
            again = [sys.executable, __file__, str(arguments.executor), "--debian", str(debian), "--work", work]
            sys.exit(subprocess.run(["unshare", "--net", "--", *again]).returncode)
    checks(arguments.work, arguments.executor, arguments.debian)
    print("static-check: passed")


if __name__ == "__main__":
    main()
