#!/usr/bin/env python3
"""The JSON gateway of a running keelson, where scripts against a real etcd (tests/compat) do not
reach: websockets, HTTP/2, TLS, long bodies and answers, clients that go away, the end of the server.

usage: gateway_test.py <keelson>
Exit status 77 (skipped) without curl or openssl.
"""

import atexit
import base64
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

PATIENCE = 30  # seconds, for anything that must come


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


class Server:
    def __init__(self, keelson, work, *flags, scheme="http"):
        self.data = tempfile.mkdtemp(dir=work)
        self.log = os.path.join(self.data, "log")
        command = [keelson, "--data-dir", self.data + "/d", "--listen-client-urls",
                   scheme + "://127.0.0.1:0", "--advertise-client-urls", scheme + "://127.0.0.1:1",
                   "--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls",
                   "http://127.0.0.1:1", "--initial-cluster", "default=http://127.0.0.1:1", *flags]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD_")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        atexit.register(self.process.kill)
        until = time.monotonic() + PATIENCE
        while "ready to serve client requests" not in self.text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the server does not start:\n" + self.text())
            time.sleep(0.02)
        self.port = self.port_of("grpc+http") or self.port_of("grpc")
        self.http_port = self.port_of("http") or self.port

    def text(self):
        with open(self.log) as log:
            return log.read()

    def port_of(self, traffic):
        found = re.search('"traffic":"%s","address":"127.0.0.1:([0-9]+)"' % re.escape(traffic),
                          self.text())
        return int(found.group(1)) if found else None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def ask(self, path, body="{}", method="POST", fields=None, port=None):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http_port,
                                                timeout=PATIENCE)
        connection.request(method, path, body, fields or {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def post(self, path, message, fields=None):
        status, text = self.ask(path, json.dumps(message), fields=fields)
        assert status == 200, (path, status, text[:500])
        return json.loads(text)

    def put(self, key, value):
        return self.post("/v3/kv/put", {"key": b64(key), "value": b64(value)})

    def metric(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        connection.request("GET", "/metrics")
        for line in connection.getresponse().read().decode().split("\n"):
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None


class WebSocket:
    """A client that can also do what clients must not."""

    def __init__(self, port, path, fields=(), version="13", key=None, method="GET"):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        key = b64(os.urandom(16)) if key is None else key
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket",
                 "Connection: keep-alive, Upgrade", f"Sec-WebSocket-Key: {key}",
                 f"Sec-WebSocket-Version: {version}", *fields]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.pending = b""
        while b"\r\n\r\n" not in self.pending:
            self.pending += self.receive()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        self.head = head.decode()
        self.status = int(self.head.split()[1])
        if self.status == 101:
            accept = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            assert f"Sec-WebSocket-Accept: {b64(accept)}" in self.head, self.head

    def receive(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        return piece

    def take(self, size):
        while len(self.pending) < size:
            self.pending += self.receive()
        out, self.pending = self.pending[:size], self.pending[size:]
        return out

    @staticmethod
    def frame(payload, opcode=1, fin=True, mask=True, rsv=0):
        payload = payload.encode() if isinstance(payload, str) else payload
        head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
        bit = 0x80 if mask else 0
        if len(payload) < 126:
            head += bytes([bit | len(payload)])
        elif len(payload) < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
        if not mask:
            return head + payload
        key = os.urandom(4)
        repeated = (key * (len(payload) // 4 + 1))[:len(payload)]
        masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
        return head + key + masked.to_bytes(len(payload), "big")

    def send(self, payload, **how):
        self.socket.sendall(self.frame(payload, **how))

    def next_frame(self):
        first, second = self.take(2)
        assert not second & 0x80, "a server masks nothing"
        size = second & 0x7F
        if size == 126:
            size = struct.unpack(">H", self.take(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self.take(8))[0]
        return first & 0x0F, bool(first & 0x80), self.take(size)

    def message(self):
        text = b""
        while True:
            opcode, fin, payload = self.next_frame()
            if opcode == 8:
                raise ConnectionError(struct.unpack(">H", payload[:2])[0])
            assert opcode in (0, 1), opcode
            text += payload
            if fin:
                return json.loads(text)

    def closed_with(self):
        try:
            while True:
                self.message()
        except ConnectionError as end:
            return end.args[0]


def eventually(what, condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


CREATE = json.dumps({"create_request": {"key": b64("w")}})


def test_websocket_watch(keelson, work):
    server = Server(keelson, work)
    for path in ("/v3/watch", "/v3beta/watch"):
        # Whatever page it is from: the token is what counts, and no browser sends that by itself.
        client = WebSocket(server.port, path, ["Origin: http://elsewhere.example"])
        assert client.status == 101 and "Sec-WebSocket-Protocol" not in client.head, client.head
        client.send(CREATE)
        assert client.message()["result"]["created"] is True
        server.put("w", "1")
        assert client.message()["result"]["events"][0]["kv"]["value"] == b64("1")
        client.send("how are you", opcode=9)
        assert client.next_frame() == (10, True, b"how are you")
        # In pieces, with a ping between them, as binary.
        half = len(CREATE) // 2
        client.send(CREATE[:half], opcode=2, fin=False)
        client.send("", opcode=9)
        client.send(CREATE[half:], opcode=0)
        assert client.next_frame() == (10, True, b"")
        assert client.message()["result"]["watch_id"] == "1"
        client.send(struct.pack(">H", 1001), opcode=8)
        assert client.closed_with() == 1001
    eventually("watchers are gone", lambda: server.metric("etcd_debugging_mvcc_watcher_total") == 0)
    # A connection that just breaks.
    client = WebSocket(server.port, "/v3/watch")
    client.send(CREATE)
    client.message()
    client.socket.close()
    eventually("watchers are gone", lambda: server.metric("etcd_debugging_mvcc_watcher_total") == 0)
    server.stop()


def test_websocket_unary(keelson, work):
    server = Server(keelson, work)
    client = WebSocket(server.port, "/v3/kv/put")
    client.send(json.dumps({"key": b64("a")}))
    assert client.message()["header"]["revision"] == "2"
    assert client.closed_with() == 1000
    client = WebSocket(server.port, "/v3/kv/put")
    client.send("{}")
    assert client.message() == {"code": 3, "message": "etcdserver: key is not provided"}
    assert client.closed_with() == 1000
    # The whole of a value may come in several messages.
    client = WebSocket(server.port, "/v3/kv/range?method=GET")
    client.send('{"key":')
    client.send('"YQ=="}')
    assert client.message()["count"] == "1"
    client = WebSocket(server.port, "/v3/nothing")
    assert client.message() == {"code": 5, "message": "Not Found"}
    # What is long comes in frames as it is made.
    value = "v" * 900000
    server.put("long", value)
    client = WebSocket(server.port, "/v3/kv/range")
    client.send(json.dumps({"key": b64("long")}))
    assert client.message()["kvs"][0]["value"] == b64(value)
    server.stop()


def test_websocket_handshake(keelson, work):
    server = Server(keelson, work)
    for how in ({"version": "12"}, {"key": ""}, {"key": "short"}, {"method": "POST"}):
        client = WebSocket(server.port, "/v3/watch", **how)
        assert client.status == (405 if "method" in how else 400), client.head
        assert "Sec-Websocket-Version: 13" in client.head
    assert WebSocket(server.port, "/v3/kv/put", version="12").status == 400
    assert WebSocket(server.port, "/health").status == 200
    # Not asked for in full: a request like any other.
    assert server.ask("/v3/watch", None, "GET", {"Upgrade": "websocket"})[0] == 501
    server.stop()


def test_websocket_misuse(keelson, work):
    server = Server(keelson, work)
    frame = WebSocket.frame
    for what, code in (
            (frame("{}", mask=False), 1002),
            (frame("{}", rsv=4), 1002),
            (frame("{}", opcode=3), 1002),
            (frame("{}", opcode=11), 1002),
            (frame("{}", opcode=0), 1002),
            (frame("x" * 126, opcode=9), 1002),
            (frame("x", opcode=9, fin=False), 1002),
            (frame("{", fin=False) + frame("}"), 1002),
            (frame("x", opcode=8), 1002),
            (frame(struct.pack(">H", 1005), opcode=8), 1002),
            (frame("", opcode=8), 1000),
            (frame("x" * 10)[:1] + b"\xff" + struct.pack(">Q", 1 << 62) + b"1234", 1009)):
        client = WebSocket(server.port, "/v3/watch")
        client.socket.sendall(what)
        assert client.closed_with() == code, (what[:20], code)
    # Very many messages at once delay nobody.
    client = WebSocket(server.port, "/v3/watch")
    flood = frame('{"progress_request":{}}') * 20000
    client.socket.sendall(flood)
    assert server.put("a", "b")["header"]["revision"] == "2"
    client.send(CREATE)
    assert client.message()["result"]["created"] is True
    server.stop()


def test_websocket_auth(keelson, work):
    server = Server(keelson, work, "--bcrypt-cost=4")
    server.post("/v3/auth/user/add", {"name": "root", "password": "toor"})
    server.post("/v3/auth/role/add", {"name": "root"})
    server.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
    server.post("/v3/auth/enable", {})
    token = server.post("/v3/auth/authenticate", {"name": "root", "password": "toor"})["token"]

    def outcome(*fields):
        client = WebSocket(server.port, "/v3/kv/put", fields)
        client.send(json.dumps({"key": b64("a")}))
        answer = client.message()
        return "there" if "header" in answer else answer["message"], client.head

    said, head = outcome(f"Sec-WebSocket-Protocol: Bearer, {token}")
    assert said == "there" and "Sec-WebSocket-Protocol: Bearer\r\n" in head + "\r\n", (said, head)
    assert outcome(f"Sec-WebSocket-Protocol: Bearer,{token}")[0] == "there"
    assert outcome(f"Cookie: a=b; token={token}")[0] == "there"
    assert outcome()[0] == "etcdserver: user name is empty"
    # Not passed on: a page cannot set it.
    assert outcome(f"Authorization: Bearer {token}")[0] == "etcdserver: user name is empty"
    assert outcome("Sec-WebSocket-Protocol: Bearer, nonsense")[0] == \
        "etcdserver: invalid auth token"
    server.stop()
    assert token not in server.text() and "toor" not in server.text()


def curl(*arguments):
    out = subprocess.run(["curl", "-sS", "-m", str(PATIENCE), *arguments], capture_output=True)
    assert out.returncode == 0, (arguments, out.stderr)
    return out.stdout.decode()


def test_long(keelson, work):
    server = Server(keelson, work)
    value = "v" * (1 << 20)
    assert server.put("big", value)["header"]["revision"] == "2"
    for i in range(3000):
        if i % 100 == 0:
            ops = [{"request_put": {"key": b64("k%05d" % (i + j)), "value": b64("x" * 1000)}}
                   for j in range(100)]
            server.post("/v3/kv/txn", {"success": ops})
    request = json.dumps({"key": b64("k"), "range_end": b64("l")})
    url = f"http://127.0.0.1:{server.port}/v3/kv/range"
    for how in ("--http1.1", "--http2-prior-knowledge", "--http1.0"):
        got = json.loads(curl(how, "-d", json.dumps({"key": b64("big")}), url))
        assert got["kvs"][0]["value"] == b64(value), how
        got = json.loads(curl(how, "-d", request, url))
        assert [kv["key"] for kv in got["kvs"]] == [b64("k%05d" % i) for i in range(3000)], how
        assert got["count"] == "3000"
    assert server.ask("/v3/kv/put", "x" * (4 << 20))[0] == 413
    status, text = server.ask("/v3/kv/put", json.dumps({"key": b64("b"), "value": b64("v" * 2000000)}))
    assert status == 400 and "request is too large" in text, (status, text[:200])
    # Bad at its very end.
    status, text = server.ask("/v3/kv/put", '{"key":"%s"' % b64(value))
    assert (status, text) == (400, '{"code":3,"message":"unexpected EOF"}'), text[:200]
    status, text = server.ask("/v3/kv/put", '{"a":' + "[" * 100)
    assert (status, text) == (400, '{"code":3,"message":"exceeded max depth"}'), text[:200]
    # As deep as it may be; what answers is deeper than protobuf's own writer goes.
    levels = 32
    text = '{"success":[{"request_txn":' * levels + "{}" + "}]}" * levels
    status, text = server.ask("/v3/kv/txn", text)
    assert status == 200 and text.count("response_txn") == levels, (status, text[:200])
    # A slow client gets all of it, and holds up nobody.
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.sendall(("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d"
                  "\r\n\r\n%s" % (len(request), request)).encode())
    server.put("a", "b")
    answer = http.client.HTTPResponse(slow, method="POST")
    answer.begin()
    assert len(json.loads(answer.read())["kvs"]) == 3000
    server.stop()


def read_until(connection, text):
    got = b""
    while text not in got:
        piece = connection.recv(65536)
        assert piece, got
        got += piece
    return got


def chunk(text):
    return ("%x\r\n%s\r\n" % (len(text), text)).encode()


def test_streams(keelson, work):
    server = Server(keelson, work)
    head = b"POST /v3/watch HTTP/1.1\r\nHost: x\r\n"
    # Both ways at once.
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(CREATE[:7]))
    client.sendall(chunk(CREATE[7:]))
    read_until(client, b'"created":true}}\n')
    server.put("w", "1")
    read_until(client, b'"events":[')
    client.sendall(chunk('{"cancel_request":{"watch_id":0}}'))
    read_until(client, b'"canceled":true')
    client.sendall(b"0\r\n\r\n")
    client.close()
    # A client that has gone, of either sort, is not waited for.
    for ending in (b"Transfer-Encoding: chunked\r\n\r\n" + chunk(CREATE),
                   b"Content-Length: %d\r\n\r\n%s" % (len(CREATE), CREATE.encode())):
        client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
        client.sendall(head + ending)
        read_until(client, b'"created":true}}\n')
        client.close()
        eventually("watchers are gone",
                   lambda: server.metric("etcd_debugging_mvcc_watcher_total") == 0)
    started = server.metric('grpc_server_started_total{grpc_method="Put",'
                            'grpc_service="etcdserverpb.KV",grpc_type="unary"}')
    server.put("a", "1")
    assert started + 1 == server.metric('grpc_server_started_total{grpc_method="Put",'
                                        'grpc_service="etcdserverpb.KV",grpc_type="unary"}')
    # Over HTTP/2, beside each other.
    url = f"http://127.0.0.1:{server.port}/v3/"
    got = curl("--http2-prior-knowledge", "-w", "%{http_version} %{http_code}\n", "-d",
               '{"ID":"7"}{"ID":"8"}', url + "lease/keepalive")
    assert got.count('"result"') == 2 and got.endswith("2 200\n"), got
    server.stop()


def ask_slowly(server, path, body):
    """Asks, and takes no more than the beginning of the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", server.port))
    client.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" %
                    (path, len(body), body)).encode())
    return client


def test_answers_that_nobody_takes(keelson, work):
    server = Server(keelson, work, "--keelson-io-threads=1")
    for i in range(8):
        server.put("big%d" % i, "v" * 1000000)
    request = json.dumps({"key": b64("big"), "range_end": b64("bih")})
    # What each of them made the member hold is held no more once its client has gone: together
    # they come to more than one loop may hold for the gateway.
    for _ in range(30):
        clients = [ask_slowly(server, "/v3/kv/range", request) for _ in range(10)]
        for client in clients:
            got = client.recv(12)
            assert got == b"HTTP/1.1 200", got
        time.sleep(0.1)  # for most of them to get as far as the client lets them; none has to
        for client in clients:
            client.close()
    status, text = server.ask("/v3/kv/range", request)
    assert status == 200 and len(text) > 8000000, (status, text[:200])
    server.stop()


def memory_mb(server):
    with open("/proc/%d/status" % server.process.pid) as status:
        return int(re.search("VmRSS:\\s+([0-9]+)", status.read()).group(1)) >> 10


def test_messages_that_do_not_end(keelson, work):
    server = Server(keelson, work)
    piece = b'{"a":"' + b"x" * 2000000
    head = b"POST /v3/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    plain, web = [], []
    for _ in range(220):
        plain.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
        web.append(WebSocket(server.port, "/v3/watch"))
        for client, what in ((plain[-1], head + b"%x\r\n" % len(piece) + piece),
                             (web[-1].socket, WebSocket.frame(piece))):
            try:
                client.sendall(what)
            except OSError:
                pass  # the member has had enough of it
    # All of them would be 880 MB. The budget is 512 MB, and gives up from 320 MB on.
    eventually("some are given up",
               lambda: "clients that do not go on make the member hold too much" in server.text())
    assert memory_mb(server) < 800, memory_mb(server)
    for client in plain + [client.socket for client in web]:
        client.close()
    client = WebSocket(server.port, "/v3/watch")
    client.send(CREATE)
    assert client.message()["result"]["created"] is True
    server.stop()


def processor_seconds(server):
    with open("/proc/%d/stat" % server.process.pid) as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_messages_in_one_piece(keelson, work):
    server = Server(keelson, work)

    def cost(pieces, values_in_each):
        client = WebSocket(server.port, "/v3/watch")
        before = processor_seconds(server)
        for _ in range(pieces):
            client.send("{}" * values_in_each)
        client.send(CREATE)
        client.socket.settimeout(4 * PATIENCE)
        assert client.message()["result"]["created"] is True
        return processor_seconds(server) - before

    apart = cost(400, 1000)
    together = cost(1, 400000)
    print("processor seconds:", apart, together)
    assert together < 3 * apart + 1, (together, apart)
    server.stop()


def test_end_of_server(keelson, work):
    server = Server(keelson, work)
    plain = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    plain.sendall(b"POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" %
                  (len(CREATE), CREATE.encode()))
    read_until(plain, b'"created":true}}\n')
    web = WebSocket(server.port, "/v3/watch")
    web.send(CREATE)
    web.message()
    curling = subprocess.Popen(["curl", "-sN", "--http2-prior-knowledge", "-d", CREATE,
                                f"http://127.0.0.1:{server.port}/v3/watch"],
                               stdout=subprocess.PIPE)
    assert b"created" in curling.stdout.readline()
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert b'{"error":{"code":14,' in read_until(plain, b"0\r\n\r\n")
    assert web.message()["error"]["code"] == 14
    assert web.closed_with() == 1000
    assert b'{"error":{"code":14,' in curling.communicate(timeout=PATIENCE)[0]
    server.process.wait(PATIENCE)
    # Less than what clients get who have to be cut off.
    assert time.monotonic() - begin < 4.5


def test_flags(keelson, work):
    server = Server(keelson, work, "--enable-grpc-gateway=false")
    assert server.ask("/v3/kv/range") == (404, "404 page not found\n")
    assert server.ask("/health", None, "GET")[0] == 200
    server.stop()
    server = Server(keelson, work, "--listen-client-http-urls", "http://localhost:0",
                    "--cors", "http://good.example:80", "--host-whitelist", "127.0.0.1")
    assert server.http_port != server.port
    server.put("a", "b")
    assert WebSocket(server.http_port, "/v3/watch").status == 101
    assert server.ask("/v3/kv/range", port=server.port)[0] == 404
    assert server.ask("/v3/kv/range", fields={"Host": "evil.example"})[0] == 421
    connection = http.client.HTTPConnection("127.0.0.1", server.http_port, timeout=PATIENCE)
    for origin, allowed in (("http://good.example:80", "http://good.example:80"),
                            ("http://evil.example:80", None)):
        for path in ("/v3/kv/range", "/v3/nothing", "/v3/watch"):
            connection.request("OPTIONS", path, headers={"Origin": origin})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            assert answer.getheader("Access-Control-Allow-Origin") == allowed, (origin, path)
    server.stop()


def certificate(name, subject, authority=None):
    run = lambda *command: subprocess.run(command, check=True, capture_output=True)
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    if authority is None:
        run("openssl", "req", "-x509", *curve, "-keyout", name + ".key", "-out", name + ".pem",
            "-days", "2", "-subj", subject)
        return
    run("openssl", "req", *curve, "-keyout", name + ".key", "-out", name + ".csr", "-subj", subject)
    with open("ext", "w") as ext:
        ext.write("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("openssl", "x509", "-req", "-in", name + ".csr", "-CA", authority + ".pem", "-CAkey",
        authority + ".key", "-CAcreateserial", "-out", name + ".pem", "-days", "2", "-extfile",
        "ext")


def test_names_of_certificates(keelson, work):
    os.chdir(work)
    certificate("ca", "/CN=ca")
    certificate("server", "/CN=server", "ca")
    certificate("root", "/CN=root", "ca")  # the name of the user who may do all
    certificate("nameless", "/O=nobody", "ca")
    server = Server(keelson, work, "--cert-file", "server.pem", "--key-file", "server.key",
                    "--trusted-ca-file", "ca.pem", "--client-cert-auth", "--bcrypt-cost=4",
                    scheme="https")
    url = f"https://127.0.0.1:{server.port}/v3/"

    def ask(who, path, message, *more):
        return curl("--cacert", "ca.pem", "--cert", who + ".pem", "--key", who + ".key", "-d",
                    json.dumps(message), *more, url + path)

    for protocol in ("--http1.1", "--http2"):
        assert "revision" in ask("root", "kv/put", {"key": b64("a")}, protocol)
    ask("root", "auth/user/add", {"name": "root", "password": "toor"})
    ask("root", "auth/role/add", {"name": "root"})
    ask("root", "auth/user/grant", {"user": "root", "role": "root"})
    ask("root", "auth/enable", {})
    for protocol in ("--http1.1", "--http2"):
        got = ask("root", "kv/put", {"key": b64("a")}, protocol)
        assert got.startswith("CommonName of client sending a request against gateway"), got
        got = json.loads(ask("nameless", "kv/put", {"key": b64("a")}, protocol))
        assert got["message"] == "etcdserver: user name is empty", got
    token = json.loads(ask("nameless", "auth/authenticate",
                           {"name": "root", "password": "toor"}))["token"]
    assert "revision" in ask("nameless", "kv/put", {"key": b64("a")}, "-H",
                             "Authorization: " + token)
    # Neither over a websocket, whose handshake is a request like any other.
    context = ssl.create_default_context(cafile="ca.pem")
    context.load_cert_chain("root.pem", "root.key")
    with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port)),
                             server_hostname="127.0.0.1") as client:
        client.sendall(b"GET /v3/watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: "
                       b"websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                       b"dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 400 ")
    server.stop()


def main():
    for tool in ("curl", "openssl"):
        if shutil.which(tool) is None:
            print("skipped: no", tool)
            sys.exit(77)
    keelson = os.path.abspath(sys.argv[1])
    wanted = sys.argv[2:]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="keelson-gateway-") as work:
        for name, test in sorted(globals().items()):
            if not name.startswith("test_") or (wanted and name not in wanted):
                continue
            try:
                test(keelson, work)
                print("ok", name, flush=True)
            except Exception as fault:  # each by itself
                failed += 1
                import traceback
                traceback.print_exc()
                print("FAILED", name, repr(fault)[:500], flush=True)
    sys.exit(1 if failed else 0)


main()
