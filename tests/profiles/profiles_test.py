#!/usr/bin/env python3
"""/debug/pprof/ of a running keelson: there with --enable-pprof and not without, with names of functions
in what it says, and no hindrance to the server's end.

usage: profiles_test.py <keelson>
"""

import gzip
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PATIENCE = 60  # seconds, for anything that must come


class Server:
    def __init__(self, keelson, work, *flags):
        self.log = os.path.join(work, f"log{len(os.listdir(work))}")
        command = [keelson, "--data-dir", self.log + ".data", "--listen-client-urls",
                   "http://127.0.0.1:0", "--advertise-client-urls", "http://127.0.0.1:1",
                   "--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls",
                   "http://127.0.0.1:1", "--initial-cluster", "default=http://127.0.0.1:1", *flags]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE
        while "ready to serve client requests" not in self.text():
            assert self.process.poll() is None and time.monotonic() < until, self.text()
            time.sleep(0.02)
        self.port = int(re.search(r'"traffic":"grpc\+http","address":"127.0.0.1:([0-9]+)"',
                                  self.text()).group(1))

    def text(self):
        with open(self.log) as log:
            return log.read()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == -signal.SIGTERM


def with_profiles(keelson, work):
    server = Server(keelson, work, "--enable-pprof")
    assert '"msg":"pprof is enabled"' in server.text()
    over = threading.Event()

    def load():
        while not over.is_set():
            server.ask("GET", "/metrics")

    loader = threading.Thread(target=load)
    loader.start()
    code, profile = server.ask("GET", "/debug/pprof/profile?seconds=3")
    over.set()
    loader.join()
    profile = gzip.decompress(profile)
    assert code == 200 and b"nanoseconds" in profile, code
    assert b"keelson::http::" in profile, "the functions that make the page"

    server.ask("POST", "/v3/kv/put", '{"key":"YQ==","value":"%s"}' % ("Ym9v" * 250000))
    code, heap = server.ask("GET", "/debug/pprof/heap")
    heap = gzip.decompress(heap) if code == 200 else heap
    # Builds with sanitizers have allocators of their own.
    assert code == 501 or (b"inuse_space" in heap and b"keelson::" in heap), (code, heap[:200])
    code, threads = server.ask("GET", "/debug/pprof/goroutine")
    assert code == 200 and b"consensus" in gzip.decompress(threads)
    code, threads = server.ask("GET", "/debug/pprof/goroutine?debug=1")
    assert code == 200 and threads.startswith(b"goroutine profile: total "), threads[:200]
    assert re.search(rb"^\d+ @\n#\tconsensus-0\n\n", threads, re.MULTILINE), threads
    code, heap = server.ask("GET", "/debug/pprof/heap?debug=1")
    assert code == 501 or re.match(rb"heap profile: \d+: \d+ \[0: 0\] @ heap/524288\n", heap), heap[:200]
    assert code == 501 or b"\tkeelson::" in heap, heap[:2000]
    assert server.ask("GET", "/debug/pprof/goroutine?debug=x")[1].startswith(b"\x1f\x8b")

    # One whose client has closed its side is over, and the next one can be made.
    def begun():
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        client.sendall(b"GET /debug/pprof/profile?seconds=600 HTTP/1.1\r\nHost: a\r\n\r\n")
        return client

    def short_one():
        return server.ask("GET", "/debug/pprof/profile?seconds=1")[0]

    until = time.monotonic() + PATIENCE
    client = begun()
    while short_one() != 500:
        assert time.monotonic() < until
        # The short one may have come first: then it is the long one that was refused.
        if select.select([client], [], [], 0)[0]:
            client.close()
            client = begun()
    client.close()
    while short_one() != 200:
        assert time.monotonic() < until

    # A profile that nobody waits for to its end, and one that is under way, hold up nothing.
    ended = []

    def ask_for_long():
        # Whoever looks below may have come first.
        while not ended or ended[-1] == 500:
            ended.append(server.ask("GET", "/debug/pprof/profile?seconds=600")[0])

    asking = threading.Thread(target=ask_for_long)
    asking.start()
    until = time.monotonic() + PATIENCE
    while short_one() != 500:
        assert time.monotonic() < until
    began = time.monotonic()
    server.end()
    assert time.monotonic() - began < 30
    asking.join()
    assert ended[-1] == 200, ended[-1]  # with what there was until then


def main():
    keelson = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="keelson-profiles-") as work:
        plain = Server(keelson, work)
        assert plain.ask("GET", "/debug/pprof/")[0] == 404
        plain.end()
        with_profiles(keelson, work)
    print("ok")


if __name__ == "__main__":
    main()
