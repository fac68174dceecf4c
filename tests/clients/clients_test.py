#!/usr/bin/env python3
"""Clients of other makes against a keelson under TLS that has users: what people have in browsers and
programs of theirs. One of them each time.

usage: clients_test.py <keelson> websocket|etcd3|python|chromium
KEELSON_NODE_MODULES   where npm has put etcd3 and ws (default: ~/.cache/keelson/node/node_modules;
                       npm install --prefix ~/.cache/keelson/node etcd3 ws)
Exit status 77 (skipped) where there is no such client.
"""

import os
import shutil
import subprocess
import sys

from server import SKIPPED, Server

HERE = os.path.dirname(os.path.abspath(__file__))


def skip(why):
    print("skipped:", why)
    sys.exit(SKIPPED)


def node(server, script, *arguments, needs=None, flags=()):
    if not shutil.which("node"):
        skip("no node")
    modules = os.environ.get("KEELSON_NODE_MODULES",
                             os.path.expanduser("~/.cache/keelson/node/node_modules"))
    if needs and not os.path.isdir(os.path.join(modules, needs)):
        skip(f"no {needs} in {modules}")
    environment = dict(os.environ, NODE_PATH=modules, NODE_EXTRA_CA_CERTS=server.ca)
    return subprocess.run(["node", *flags, os.path.join(HERE, script), *arguments], env=environment,
                          timeout=240).returncode


def python(what):
    """The one that runs this, or the system's, for which Debian packages grpc."""
    if what == "python" and subprocess.run([sys.executable, "-c", "import grpc, google.protobuf"],
                                           capture_output=True).returncode != 0:
        return shutil.which("python3", path="/usr/bin") or sys.executable
    return sys.executable


def main():
    keelson, what = sys.argv[1:]
    if not shutil.which("openssl"):
        skip("no openssl")
    server = Server(keelson)
    server.users()
    at = f"127.0.0.1:{server.tls_port}"
    token = server.token("ann", "secret")
    if what == "websocket":
        # Behind a flag from Node 20 on, without one from 22 on.
        knows = subprocess.run(["node", "--experimental-websocket", "-e", ""],
                               capture_output=True).returncode == 0 if shutil.which("node") else False
        flags = ("--experimental-websocket",) if knows else ()
        status = node(server, "websocket_client.js", at, server.ca, token, flags=flags)
    elif what == "etcd3":
        status = node(server, "etcd3_client.js", at, server.ca, needs="etcd3")
    else:
        script = {"python": "python_client.py", "chromium": "chromium_client.py"}[what]
        arguments = {"python": [at, server.ca, os.path.join(HERE, "../../proto")],
                     "chromium": [str(server.tls_port), str(server.plain_port), token]}[what]
        status = subprocess.run([python(what), os.path.join(HERE, script), *arguments],
                                timeout=240).returncode
    if status not in (0, SKIPPED):
        print(server.text()[-3000:])
    elif server.process.poll() is not None:
        print("the server has ended:", server.text()[-3000:])
        status = 1
    for secret in ("toor", "secret", token):
        if f'"{secret}"' in server.text():
            print("the log names a secret")
            status = 1
    server.stop()
    sys.exit(status)


main()
