"""A keelson under TLS with users, for clients of other makes: started, set up through the JSON
gateway, and ended."""

import atexit
import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE = 60  # seconds, for anything that must come
SKIPPED = 77


def b64(text):
    return base64.b64encode(text.encode()).decode()


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificates(folder):
    """ca.pem, and server.pem with server.key for 127.0.0.1 and localhost."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    at = lambda name: os.path.join(folder, name)
    openssl("req", "-x509", *key, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "2",
            "-subj", "/CN=ca", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *key, "-keyout", at("server.key"), "-out", at("server.csr"), "-subj", "/CN=server")
    with open(at("ext"), "w") as file:
        file.write("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", at("server.csr"), "-CA", at("ca.pem"), "-CAkey", at("ca.key"),
            "-CAcreateserial", "-out", at("server.pem"), "-days", "2", "-extfile", at("ext"))


class Server:
    """Two ports, with TLS and without. Users once users() was called: root with the password toor, and
    ann with the password secret, who may do what she likes below "ann/" and nothing else."""

    def __init__(self, keelson):
        self.work = tempfile.mkdtemp(prefix="keelson-clients-")
        atexit.register(self.stop)
        certificates(self.work)
        self.ca = os.path.join(self.work, "ca.pem")
        self.log = os.path.join(self.work, "log")
        command = [keelson, "--data-dir", self.work + "/d", "--bcrypt-cost=4",
                   "--listen-client-urls", "https://127.0.0.1:0,http://localhost:0",
                   "--advertise-client-urls", "https://127.0.0.1:1",
                   "--listen-peer-urls", "http://127.0.0.1:0",
                   "--cert-file", self.work + "/server.pem", "--key-file", self.work + "/server.key"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ETCD")}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        until = time.monotonic() + PATIENCE
        while "ready to serve client requests" not in self.text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the server does not start:\n" + self.text())
            time.sleep(0.02)
        said = re.findall(r"serving client traffic ([a-z]+).*?127\.0\.0\.1:([0-9]+)", self.text())
        ports = dict((how, int(port)) for how, port in said)
        self.tls_port, self.plain_port = ports["securely"], ports["insecurely"]

    def text(self):
        with open(self.log) as log:
            return log.read()

    def stop(self):
        process = getattr(self, "process", None)
        if process and process.poll() is None:
            process.kill()
            process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def post(self, path, message, token=None):
        request = urllib.request.Request(f"https://127.0.0.1:{self.tls_port}{path}",
                                         json.dumps(message).encode())
        if token:
            request.add_header("Authorization", token)
        context = ssl.create_default_context(cafile=self.ca)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.code} {error.read().decode()}") from error

    def users(self):
        for name, password in (("root", "toor"), ("ann", "secret")):
            self.post("/v3/auth/user/add", {"name": name, "password": password})
        self.post("/v3/auth/role/add", {"name": "anns"})
        self.post("/v3/auth/role/grant", {"name": "anns", "perm": {
            "permType": "READWRITE", "key": b64("ann/"), "range_end": b64("ann0")}})
        self.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        self.post("/v3/auth/user/grant", {"user": "ann", "role": "anns"})
        self.post("/v3/auth/enable", {})

    def token(self, name, password):
        return self.post("/v3/auth/authenticate", {"name": name, "password": password})["token"]
