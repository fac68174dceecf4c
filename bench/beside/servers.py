"""Starts and stops the two servers, and reads what they cost from /proc.

Each has its own fresh data directory and free ports on the loopback. Both get the same flags: etcd's.
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A server or a load did not do what a measurement needs."""


def find_etcd(root):
    """$KEELSON_ETCD, else what get-etcd beside the repository fetches, else etcd in PATH."""
    if os.environ.get("KEELSON_ETCD"):
        return os.environ["KEELSON_ETCD"]
    getter = root.parent / "shared" / "bin" / "get-etcd"
    if getter.exists():
        found = subprocess.run([getter], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.strip().splitlines()[-1] + "/etcd"
    path = shutil.which("etcd")
    if not path:
        raise Failed("no etcd to compare with: set KEELSON_ETCD or put etcd in PATH")
    return path


def version_of(binary):
    out = subprocess.run([binary, "--version"], capture_output=True, text=True)
    return (out.stdout + out.stderr).strip().splitlines()[0]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Server:
    """One server process. `kind` is what the table calls it."""

    def __init__(self, kind, binary, directory, flags=(), name="default"):
        self.kind = kind
        self.name = name
        self.flags = list(flags)  # after ours, so they win
        self.binary = binary
        self.directory = pathlib.Path(directory)
        self.process = None
        self.client_port, self.peer_port = free_ports(2)
        self.founders = [f"--initial-cluster={name}={self.peer_url}"]

    @property
    def endpoint(self):
        return f"127.0.0.1:{self.client_port}"

    @property
    def peer_url(self):
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        client, peer = f"http://{self.endpoint}", self.peer_url
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / "output", "ab") as output:
            self.process = subprocess.Popen(
                [self.binary, f"--name={self.name}", f"--data-dir={self.directory / 'data'}",
                 f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
                 f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                 "--log-level=error", f"--quota-backend-bytes={8 << 30}", *self.founders,
                 *self.flags],
                stdout=output, stderr=output)

    def check_alive(self):
        if self.process.poll() is None:
            return
        tail = (self.directory / "output").read_text(errors="replace")[-2000:]
        raise Failed(f"{self.kind} ended with {self.process.returncode}: {tail}")

    def wait_until(self, answers, patience=300):
        """Polls `answers` until it is true; returns the seconds it took."""
        began = time.monotonic()
        while not answers(self):
            self.check_alive()
            if time.monotonic() - began > patience:
                raise Failed(f"{self.kind} did not answer in {patience} s")
            time.sleep(0.005)
        return time.monotonic() - began

    def accepts(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.client_port)) == 0

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def cpu_us(self):
        """User and system time of all its threads (proc(5), stat: fields 14 and 15)."""
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2:].split()
        return (int(fields[11]) + int(fields[12])) * TICK_US

    def forget_peak(self):
        """The highest resident memory is that of from now on (proc(5), clear_refs)."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def memory_mb(self):
        """Resident memory now and at its highest."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        kb = {line.split(":")[0]: int(line.split()[1])
              for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM"))}
        return kb["VmRSS"] / 1024, kb["VmHWM"] / 1024

    def disk_mb(self, part=""):
        """What its files take; `part` is a directory of them. Some may go meanwhile."""
        total = 0
        for where, _, names in os.walk(self.directory / "data" / part):
            for name in names:
                try:
                    total += os.stat(os.path.join(where, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total / 1e6

    def store_mb(self):
        """The same without the log."""
        return self.disk_mb("member/snap" if self.kind == "etcd" else "member/keelson")
