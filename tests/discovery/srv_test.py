#!/usr/bin/env python3
"""Members and clients that find each other by SRV records (--discovery-srv), as the system's resolver
has them: in a network and a file system of its own, where /etc/resolv.conf names a server on loopback.
A real etcd takes the same flags, where there is one ($KEELSON_ETCD, its directory or the program).

usage: srv_test.py <keelson> <keelctl>
Exit status 77 (skipped) where no namespaces may be made.
"""

import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 60  # seconds, for anything that must come
INSIDE = "KEELSON_SRV_TEST_INSIDE"
SRV, A = 33, 1

failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print("FAILED:", what, flush=True)


def labels(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


class NameServer(threading.Thread):
    """Knows SRV records [(port, target)], and every mN.example.test as 127.0.0.1."""

    def __init__(self, records):
        super().__init__(daemon=True)
        self.records = records
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))

    def answers(self, name, kind):
        if kind == SRV and name in self.records:
            return [struct.pack(">HHH", 0, 0, port) + labels(target)
                    for port, target in self.records[name]]
        if kind == A and name.endswith(".example.test") and name.startswith("m"):
            return [socket.inet_aton("127.0.0.1")]
        return []

    def run(self):
        while True:
            query, who = self.socket.recvfrom(512)
            at, parts = 12, []
            while query[at]:
                parts.append(query[at + 1:at + 1 + query[at]].decode().lower())
                at += 1 + query[at]
            question = query[12:at + 5]
            kind = struct.unpack(">H", query[at + 1:at + 3])[0]
            name = ".".join(parts)
            known = name in self.records or name.startswith("m")
            found = self.answers(name, kind)
            head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if known else 3), 1, len(found), 0, 0)
            body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
                            for data in found)
            self.socket.sendto(head + question + body, who)


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14s", b"lo", 0x1 | 0x40, b"")  # IFF_UP, IFF_RUNNING
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def use_own_resolver(work):
    for path, text in [("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"),
                       ("/etc/hosts", "127.0.0.1 localhost\n"),
                       ("/etc/nsswitch.conf", "hosts: files dns\n")]:
        ours = os.path.join(work, os.path.basename(path))
        with open(ours, "w") as file:
            file.write(text)
        subprocess.run(["mount", "--bind", ours, path], check=True)


class Member:
    def __init__(self, program, work, i, ports, *flags):
        client, peer = ports
        self.log = os.path.join(work, f"member-{client}.log")
        command = [program, f"--name=m{i}", f"--data-dir={self.log}.data",
                   f"--listen-client-urls=http://127.0.0.1:{client}",
                   f"--advertise-client-urls=http://m{i}.example.test:{client}",
                   f"--listen-peer-urls=http://127.0.0.1:{peer}",
                   f"--initial-advertise-peer-urls=http://m{i}.example.test:{peer}",
                   "--discovery-srv=example.test", *flags]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def text(self):
        with open(self.log) as log:
            return log.read()

    def says(self, what):
        until = time.monotonic() + PATIENCE
        while what not in self.text():
            if self.process.poll() is not None or time.monotonic() > until:
                return what in self.text()
            time.sleep(0.02)
        return True

    def kill(self):
        self.process.kill()
        self.process.wait()


def ask(ctl, *words):
    done = subprocess.run([ctl, *words], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def try_three(program, ctl, work, base):
    """Three members of `program`; `ctl` finds them by their records."""
    members = [Member(program, work, i, (base + i, base + 10 + i)) for i in range(3)]
    try:
        for member in members:
            check(member.says("ready to serve client requests"), program + " serves\n" + member.text()[-3000:])
        code, out, err = ask(ctl, "--discovery-srv=example.test", "put", "key", "value")
        check((code, out) == (0, "OK\n"), f"{ctl} puts: {code} {out} {err}")
        code, out, err = ask(ctl, "--discovery-srv=example.test", "member", "list")
        names = sorted(line.split(", ")[2] for line in out.splitlines())
        check(names == ["m0", "m1", "m2"], f"the members say their names: {out}")
        code, out, err = ask(ctl, "--discovery-srv=example.test", "--insecure-discovery=false",
                             "--endpoints=127.0.0.1:1", "--dial-timeout=200ms",
                             "--command-timeout=200ms", "get", "key")
        check('ignoring discovered insecure endpoint "http://m0.example.test' in err,
              f"what is not safe is not used: {err}")
    finally:
        for member in members:
            member.kill()


def inside(keelson, keelctl, work):
    loopback_up()
    use_own_resolver(work)
    # Ports are nobody else's: the network is this test's.
    bases = {"keelson": 2000, "etcd": 3000}
    records = {"_etcd-server._tcp.example.test": [], "_etcd-client._tcp.example.test": []}
    server = NameServer(records)
    server.start()

    def use(base):
        records["_etcd-server._tcp.example.test"] = [
            (base + 10 + i, f"m{i}.example.test") for i in range(3)]
        records["_etcd-client._tcp.example.test"] = [
            (base + i, f"m{i}.example.test") for i in range(3)]

    use(bases["keelson"])
    try_three(keelson, keelctl, work, bases["keelson"])
    stranger = Member(keelson, work, 7, (2007, 2017))
    check(stranger.says('cannot find local etcd member \\"m7\\" in SRV records'), "a stranger is refused")
    check(stranger.process.wait(PATIENCE) == 1, "and ends")
    code, out, err = ask(keelctl, "--discovery-srv=elsewhere.test", "get", "key")
    check(code == 1 and "dns lookup errors: " in err, f"a domain without records: {code} {err}")

    etcd = os.environ.get("KEELSON_ETCD", "")
    if os.path.isfile(etcd):
        etcd = os.path.dirname(etcd)
    if etcd and os.path.exists(os.path.join(etcd, "etcd")):
        use(bases["etcd"])
        try_three(os.path.join(etcd, "etcd"), os.path.join(etcd, "etcdctl"), work, bases["etcd"])
        use(bases["etcd"] + 100)
        try_three(keelson, os.path.join(etcd, "etcdctl"), work, bases["etcd"] + 100)


def main():
    keelson, keelctl = (os.path.abspath(path) for path in sys.argv[1:3])
    if INSIDE not in os.environ:
        own = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
        if shutil.which("unshare") is None or subprocess.run([*own, "true"]).returncode != 0:
            print("skipped: no namespaces here")
            sys.exit(77)
        # The children of whoever is ended here end with the namespace's first process.
        done = subprocess.run([*own, "--pid", "--fork", "--kill-child", sys.executable, *sys.argv],
                              env={**os.environ, INSIDE: "1"})
        sys.exit(done.returncode)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work = tempfile.mkdtemp(prefix="keelson-srv-")
    try:
        inside(keelson, keelctl, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("failed" if failures else "ok")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
