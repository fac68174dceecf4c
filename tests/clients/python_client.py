"""Python's grpc against a server under TLS that has users (see server.py): the token in metadata, as
the libraries for Python send it, and streams.

usage: python_client.py HOST:PORT CA PROTO_FOLDER
Exit status 77 (skipped) without grpc, protobuf or protoc.
"""

import queue
import shutil
import subprocess
import sys
import tempfile
import threading

from server import SKIPPED

try:
    import google.protobuf  # noqa: F401
    import grpc
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(SKIPPED)
if not shutil.which("protoc"):
    print("skipped: no protoc")
    sys.exit(SKIPPED)

host, ca, protos = sys.argv[1:]
made = tempfile.mkdtemp(prefix="keelson-python-client-")
subprocess.run(["protoc", f"-I{protos}", f"--python_out={made}", "rpc.proto", "kv.proto", "auth.proto",
                "v3lock.proto", "v3election.proto"], check=True)
sys.path.insert(0, made)
import rpc_pb2 as pb  # noqa: E402
import v3lock_pb2 as locks  # noqa: E402

shutil.rmtree(made)
PATIENCE = 60
with open(ca, "rb") as file:
    authorities = file.read()


class Client:
    def __init__(self, name=None, password=None):
        self.channel = grpc.secure_channel(
            host, grpc.ssl_channel_credentials(authorities),
            [("grpc.max_receive_message_length", -1)])
        self.metadata = []
        if name:
            login = pb.AuthenticateRequest(name=name, password=password)
            self.metadata = [("token", self.call("Auth/Authenticate", login, pb.AuthenticateResponse).token)]

    def call(self, method, request, answer, service="etcdserverpb"):
        ask = self.channel.unary_unary(f"/{service}.{method}",
                                       request_serializer=type(request).SerializeToString,
                                       response_deserializer=answer.FromString)
        return ask(request, timeout=PATIENCE, metadata=self.metadata)

    def put(self, key, value):
        return self.call("KV/Put", pb.PutRequest(key=key, value=value), pb.PutResponse)

    def range(self, key, end=b""):
        return self.call("KV/Range", pb.RangeRequest(key=key, range_end=end), pb.RangeResponse)

    def stream(self, method, requests, answer):
        begin = self.channel.stream_stream(f"/etcdserverpb.{method}",
                                           request_serializer=lambda r: r.SerializeToString(),
                                           response_deserializer=answer.FromString)
        return begin(iter(requests.get, None), timeout=PATIENCE, metadata=self.metadata)


def refused(what, code, text):
    try:
        what()
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (code, text), error
        return
    raise AssertionError("was let in, and should hear " + text)


def watch(ann):
    requests = queue.Queue()
    requests.put(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"ann/w", range_end=b"ann/x")))
    answers = ann.stream("Watch/Watch", requests, pb.WatchResponse)
    assert next(answers).created
    for i in range(100):
        ann.put(b"ann/w%d" % i, b"v")
    seen = []
    while len(seen) < 100:
        seen += [event.kv.key for event in next(answers).events]
    assert seen == [b"ann/w%d" % i for i in range(100)]
    # Whose right does not reach so far is told in the stream, which goes on.
    requests.put(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"other")))
    answer = next(answers)
    assert answer.canceled and "PermissionDenied" in answer.cancel_reason, answer
    ann.put(b"ann/w", b"again")
    assert next(answers).events[0].kv.value == b"again"
    requests.put(None)
    answers.cancel()


def lease(ann):
    granted = ann.call("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=100), pb.LeaseGrantResponse)
    requests = queue.Queue()
    answers = ann.stream("Lease/LeaseKeepAlive", requests, pb.LeaseKeepAliveResponse)
    for _ in range(3):
        requests.put(pb.LeaseKeepAliveRequest(ID=granted.ID))
        assert next(answers).TTL == 100
    requests.put(None)
    assert list(answers) == []
    held = ann.call("Lock/Lock", locks.LockRequest(name=b"ann/lock", lease=granted.ID),
                    locks.LockResponse, "v3lockpb")
    waits = threading.Thread(target=lambda: got.append(Client("ann", "secret").call(
        "Lock/Lock", locks.LockRequest(name=b"ann/lock"), locks.LockResponse, "v3lockpb")))
    got = []
    waits.start()
    ann.call("Lock/Unlock", locks.UnlockRequest(key=held.key), locks.UnlockResponse, "v3lockpb")
    waits.join(PATIENCE)
    assert got and got[0].key.startswith(b"ann/lock/")


def main():
    ann, root = Client("ann", "secret"), Client("root", "toor")
    assert ann.put(b"ann/a", b"1").header.revision > 0
    assert ann.range(b"ann/", b"ann0").kvs[0].value == b"1"
    long = b"v" * 1_000_000
    for i in range(8):  # more together than grpc takes by default
        ann.put(b"ann/long%d" % i, long)
    assert [len(kv.value) for kv in ann.range(b"ann/long", b"ann/long9").kvs] == [len(long)] * 8
    denied = grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied"
    refused(lambda: ann.put(b"other", b"1"), *denied)
    refused(lambda: ann.range(b"\0", b"\0"), *denied)
    refused(lambda: ann.call("Auth/UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse), *denied)
    assert list(root.call("Auth/UserList", pb.AuthUserListRequest(), pb.AuthUserListResponse).users) == \
        ["ann", "root"]
    refused(lambda: Client().range(b"ann/a"), grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: user name is empty")
    refused(lambda: Client("ann", "wrong"), grpc.StatusCode.INVALID_ARGUMENT,
            "etcdserver: authentication failed, invalid user ID or password")
    stranger = Client()
    stranger.metadata = [("token", "nonsense.1")]
    refused(lambda: stranger.range(b"ann/a"), grpc.StatusCode.UNAUTHENTICATED,
            "etcdserver: invalid auth token")
    watch(ann)
    lease(ann)
    print("ok python grpc", grpc.__version__)


main()
