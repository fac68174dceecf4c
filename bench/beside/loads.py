"""Runs one load against one server and returns what came out, as a dictionary of numbers.

Both generators give the same names: throughput (1/s), cpu_us (the server's, per operation), errors,
and busy (the share of one core that the generator itself used: near 1 it is the limit).
"""

import json
import re
import resource
import struct
import subprocess
import time

from .servers import Failed

KEY = b"/bench/0000000000"
PATHS = {"put": "Put", "get": "Range", "sget": "Range"}


def _varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _bytes_field(number, value):
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def write_bodies(directory, value_size):
    """The gRPC frames that h2load sends; returns their files by kind."""
    import random
    value = random.Random(1).randbytes(value_size)
    messages = {
        "put": _bytes_field(1, KEY) + _bytes_field(2, value),
        "get": _bytes_field(1, KEY),
        "sget": _bytes_field(1, KEY) + _varint(7 << 3) + b"\x01",
    }
    files = {}
    for kind, message in messages.items():
        files[kind] = directory / f"body-{kind}"
        files[kind].write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
    return files


def _children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Loads:
    def __init__(self, generator, bodies, seconds):
        self.generator = generator
        self.bodies = bodies
        self.seconds = seconds

    def own(self, server, mode, **flags):
        """keelson_load; flags are its own, with _ for -."""
        flags.setdefault("pid", server.pid)
        command = [str(self.generator), mode, f"--endpoint={server.endpoint}"]
        command += [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
        done = subprocess.run(command, capture_output=True, text=True)
        result = self.parse(done, server)
        if result["errors"] or result["ops"] == 0:
            raise Failed(f"{server.kind}: {mode} had errors: {done.stdout.strip()}")
        result["cpu_us"] = result["server_cpu_us_per_op"]
        result["busy"] = result["client_cpu_us_per_op"] * result["throughput"] / 1e6
        return result

    @staticmethod
    def parse(done, server):
        """What keelson_load printed."""
        if done.returncode != 0:
            server.check_alive()
            raise Failed(f"{server.kind}: {' '.join(done.args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def timed(self, server, mode, **flags):
        return self.own(server, mode, seconds=self.seconds, warm_up=0.3, **flags)

    def h2load(self, server, kind, connections, streams):
        command = ["h2load", f"-c{connections}", f"-m{streams}", f"-D{self.seconds}",
                   f"-d{self.bodies[kind]}", "-Hcontent-type: application/grpc",
                   "-Hte: trailers", f"http://{server.endpoint}/etcdserverpb.KV/{PATHS[kind]}"]
        cpu, own, began = server.cpu_us(), _children_cpu(), time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True)
        cpu, own = server.cpu_us() - cpu, _children_cpu() - own
        wall = time.monotonic() - began
        server.check_alive()
        rate = re.search(r"finished in [^,]*, ([0-9.]+) req/s", done.stdout)
        counts = re.search(r"requests: .* ([0-9]+) done, ([0-9]+) succeeded, ([0-9]+) failed",
                           done.stdout)
        if done.returncode != 0 or not rate or not counts or counts[1] == "0":
            raise Failed(f"{server.kind}: {' '.join(command)}: {done.stdout}{done.stderr}")
        if counts[3] != "0":
            raise Failed(f"{server.kind}: h2load {kind}: {counts[3]} calls failed")
        return {"throughput": float(rate[1]), "cpu_us": cpu / int(counts[1]), "errors": 0,
                "busy": own / wall}

    def answers(self, server):
        """True when a linearizable read of one key is answered."""
        if not server.accepts():
            return False
        done = subprocess.run([str(self.generator), "get", f"--endpoint={server.endpoint}",
                               "--count=1", "--value-size=0"], capture_output=True, text=True)
        return done.returncode == 0 and json.loads(done.stdout)["errors"] == 0
