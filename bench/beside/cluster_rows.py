"""The rows of bench/clusters: what is measured on three members of each kind, and the floors.

A row's `run` gets the bench and a cluster, and returns figures as those of rows.py do. Rows of the group
"cluster" share one cluster of each kind, which they leave as they found it: three members that serve.
"""

import datetime
import json
import re
import signal
import statistics
import subprocess
import threading
import time

from . import clusters
from .rows import Line, Row
from .servers import Failed

# etcd's from 3.6 on; 3.5 would keep ten times as many entries, and send those.
SNAPSHOT_COUNT = ("--snapshot-count=10000",)
ENTRIES = 25_000  # more than two of those, so that the log does not go back to the beginning


def _load(mode, everywhere, **flags):
    def run(bench, cluster):
        target = cluster.target() if everywhere else cluster.target(cluster.leader())
        return bench.loads.timed(target, mode, **flags)
    return run


def _throughput(name, what, mode, everywhere, floors, **flags):
    rate, cpu = floors
    lines = [Line(f"{what}: throughput", "throughput", "/s", True, rate, or_else="cpu_us"),
             Line(f"{what}: CPU of all members per operation", "cpu_us", "µs", False, cpu)]
    return Row(name, "cluster", _load(mode, everywhere, **flags), lines)


def _fail_over(bench, cluster):
    """Seconds from the death of the leader until a put by way of the others is answered.

    What lies between is read in the others' logs, whose words are the same.
    """
    times, parts = [], []
    for _ in range(bench.options.kills):
        victim = cluster.leader()
        # Whoever has just been elected may not have been heard of by everybody.
        bench.loads.own(cluster.target(*cluster.others(victim)), "put", connections=2, count=20)
        rest = ",".join(member.endpoint for member in cluster.others(victim))
        diaries = [_Diary(member) for member in cluster.others(victim)]
        victim.kill()
        died, clock = time.monotonic_ns(), time.time()
        done = subprocess.run([str(bench.loads.generator), "paced", f"--endpoint={rest}", "--first",
                               "--rate=200", "--seconds=60"], capture_output=True, text=True)
        figures = bench.loads.parse(done, cluster.target(*cluster.others(victim)))
        if figures["first_ns"] == 0:
            raise Failed(f"{cluster.kind}: nobody took over within a minute")
        times.append((figures["first_ns"] - died) / 1e9)
        parts.append(_parts_of(times[-1], clock, diaries))
        victim.start()
        victim.wait_until(bench.loads.answers)
    return {"median_s": statistics.median(times), "worst_s": max(times), "times": times,
            "parts": parts,
            **{name: statistics.median(part[name] for part in parts) for name in parts[0]}}


class _Diary:
    """What a member writes to its log from now on."""

    def __init__(self, member):
        self.path = member.directory / "output"
        self.size = self.path.stat().st_size

    def lines(self):
        """Time (of day, in seconds) and message of each."""
        with open(self.path, "rb") as output:
            output.seek(self.size)
            for line in output.read().decode(errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                    yield datetime.datetime.fromisoformat(entry["ts"]).timestamp(), entry["msg"]
                except (ValueError, KeyError):
                    pass


def _parts_of(whole, died, diaries):
    """Until somebody stands for election, until one is elected, until the first put is answered."""
    entries = sorted(entry for diary in diaries for entry in diary.lines())
    stood = [at for at, message in entries if "is starting a new election" in message]
    elected = [at for at, message in entries
               if "became leader" in message and at - died < whole + 0.005]
    if not stood or not elected:
        raise Failed("nobody's log tells of an election")
    return {"stood_s": stood[0] - died, "elected_s": elected[-1] - stood[0],
            "answered_s": whole - (elected[-1] - died), "campaigns": len(stood)}


class _Paced:
    """So many puts a second, in the background; over at the end of the block."""

    def __init__(self, bench, target, rate, *flags):
        self.bench, self.target, self.rate, self.flags = bench, target, rate, flags

    def __enter__(self):
        self.process = subprocess.Popen(
            [str(self.bench.loads.generator), "paced", f"--endpoint={self.target.endpoint}",
             f"--rate={self.rate}", "--seconds=600", *self.flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate()
        done = subprocess.CompletedProcess(self.process.args, self.process.returncode, out, err)
        self.figures = self.bench.loads.parse(done, self.target)
        self.errors = err.splitlines()


class _Peaks(threading.Thread):
    """The highest resident memory of some servers, looked at fifty times a second."""

    def __init__(self, servers):
        super().__init__()
        self.servers, self.peaks, self.over = servers, [0] * len(servers), threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            self.look()

    def look(self):
        for i, server in enumerate(self.servers):
            self.peaks[i] = max(self.peaks[i], server.memory_mb()[0])

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


def _wiped(bench, cluster):
    """A member's disk is gone: it is removed, added anew and started beside 200 puts a second."""
    keys = bench.options.megabytes * 1000
    leader = cluster.leader()
    bench.loads.own(cluster.target(leader), "fill", prefix="/many/", space=keys,
                    value_size=1000, batch=max(1, keys // ENTRIES), fresh="true", connections=4, streams=16)
    with _Paced(bench, cluster.target(leader), 200) as quiet:
        time.sleep(bench.loads.seconds)
    victim, other = cluster.others(leader)
    normal, before = other.memory_mb()[0], leader.memory_mb()[0]
    victim.kill()
    fresh = cluster.replace(victim)
    if cluster.leader() is not leader:
        raise Failed(f"{cluster.kind}: another member leads now")
    with _Paced(bench, cluster.target(leader), 200) as meanwhile:
        began = time.monotonic()
        fresh.start()
        with _Peaks([leader, fresh]) as memory:
            fresh.wait_until(bench.loads.answers)
            seconds = time.monotonic() - began
            # What is freed and what is still read shows a moment later.
            time.sleep(0.5)
    if clusters.counter(leader, "etcd_network_snapshot_send_success") == 0:
        raise Failed(f"{cluster.kind}: no state was sent, the log went back to the beginning")
    return {"seconds": seconds, "sender_mb": max(memory.peaks[0] - before, 0),
            "receiver_mb": max(memory.peaks[1] - normal, 0), "normal_mb": normal,
            "p99_us": meanwhile.figures["p99_us"], "quiet_p99_us": quiet.figures["p99_us"],
            "p99_times": meanwhile.figures["p99_us"] / quiet.figures["p99_us"]}


class _Client:
    """40 puts a second through one member, each key once, as long as that serves."""

    def __init__(self, bench, cluster, member):
        self.cluster, self.prefix = cluster, f"/rolling/{member.name}/"
        self.load = _Paced(bench, cluster.target(member), 40, f"--prefix={self.prefix}",
                           "--keys=distinct")
        self.load.__enter__()

    def leave(self):
        self.load.__exit__()
        figures = self.load.figures
        self.answered = figures["ops"]
        self.failed = figures["errors"] + figures["unanswered"]
        self.slowest = figures["max_us"]
        self.errors = [f"{self.prefix} {line}" for line in self.load.errors]

    def sent_during(self, times):
        """How many of the failed were sent in one of these spans."""
        sent = [float(at) - float(after) for at, after in
                re.findall(r" ([0-9.]+): status -?[0-9]+ after ([0-9.]+) s", "\n".join(self.errors))]
        return sum(any(began <= at <= over for began, over in times) for at in sent)

    def lost(self):
        told = self.cluster.control("get", "--prefix", "--count-only", "--write-out=fields",
                                    self.prefix)
        count = next(line for line in told.splitlines() if line.startswith('"Count"'))
        return max(0, self.answered - int(count.split(":")[1]))



def _rolling(bench, cluster):
    """All three members make room for others, one after the other, and these for etcd's again.

    A fourth member, of etcd's, is there meanwhile, or there would be no way back from the newer version.
    """
    began = time.monotonic()
    voters = list(cluster.members)
    anchor = cluster.add_learner("anchor", voters, bench.binaries["etcd"], ())
    cluster.promote(anchor, voters)
    clients = [_Client(bench, cluster, member) for member in voters]
    gone = []
    for kind in (cluster.kind, "etcd"):
        for old in list(voters):
            fresh = cluster.add_learner(f"{old.name}{kind[0]}", voters, bench.binaries[kind], ())
            cluster.promote(fresh, voters)
            fresh.wait_until(bench.loads.answers)
            clients.append(_Client(bench, cluster, fresh))
            mine = next(c for c in clients if c.prefix == f"/rolling/{old.name}/")
            mine.leave()
            clients.remove(mine)
            gone.append(mine)
            voters.append(fresh)
            if cluster.leader() in (old, anchor):
                cluster.move_leader(fresh, [m for m in voters if m is not old])
            voters.remove(old)
            cluster.remove(old, voters)
    for client in clients:
        client.leave()
    if cluster.leader() is anchor:
        cluster.move_leader(voters[0], voters)
    cluster.remove(anchor, voters)
    gone += clients
    by_etcd = [(began, over) for server, began, over in cluster.hand_overs
               if server.binary == bench.binaries["etcd"]]
    return {"failed": sum(c.failed for c in gone),
            "failed_by_etcd": sum(c.sent_during(by_etcd) for c in gone), "lost": sum(c.lost() for c in gone),
            "puts": sum(c.answered for c in gone), "slowest_us": max(c.slowest for c in gone),
            "errors": sorted(line for c in gone for line in c.errors), "notes": cluster.notes,
            "seconds": time.monotonic() - began}


def all_rows(options):
    throughput = [
        _throughput("put-16x16", "put to the leader, 16 × 16", "put", False, (4, 5),
                    connections=16, streams=16),
        _throughput("put-100x10", "put to the leader, 100 × 10", "put", False, (4, 5),
                    connections=100, streams=10),
        _throughput("put-all", "put to all members, 18 × 16", "put", True, (4, None),
                    connections=18, streams=16),
        _throughput("get-all", "linearizable get on all members, 18 × 16", "get", True, (5, 9),
                    connections=18, streams=16),
    ]
    one = Row("put-one", "cluster", _load("put", False),
              [Line("put to the leader, one at a time: mean latency", "mean_us", "µs", False, 1),
               Line("put, one at a time: median latency", "p50_us", "µs", False),
               Line("put, one at a time: p99 latency", "p99_us", "µs", False),
               Line("put, one at a time: CPU of all members", "cpu_us", "µs", False)])
    fail_over = Row("fail-over", "fresh", _fail_over,
                    [Line(f"without a leader after kill -9: median of {options.kills}", "median_s",
                          "s", False, 1),
                     Line(f"without a leader after kill -9: worst of {options.kills}", "worst_s",
                          "s", False, 1),
                     Line("of it, until somebody stands for election", "stood_s", "s", False),
                     Line("from then until one is elected", "elected_s", "s", False),
                     Line("from then until a put is answered", "answered_s", "s", False)],
                    ("--log-level=info",))
    rolling = Row("rolling", "fresh", _rolling,
                  [Line("all three replaced, and back, under 40 puts/s each: puts", "puts", ""),
                   Line("of these failed", "failed", "", False),
                   Line("of the failed: sent while an etcd handed the leadership over",
                        "failed_by_etcd", "", False),
                   Line("of the acknowledged ones lost", "lost", "", False),
                   Line("slowest put", "slowest_us", "µs", False),
                   Line("the replacement of all, and back", "seconds", "s", False)],
                  founder="etcd")
    size = f"{options.megabytes} MB"
    wiped = Row("wiped", "fresh", _wiped,
                [Line(f"a wiped member back, {size}: until it serves", "seconds", "s", False, 1),
                 Line(f"{size}: memory of the sender above before", "sender_mb", "MB", False),
                 Line(f"{size}: memory of the receiver above another follower's", "receiver_mb",
                      "MB", False),
                 Line("p99 of 200 puts/s to the leader meanwhile", "p99_us", "µs", False),
                 Line("p99 of 200 puts/s, quiet", "quiet_p99_us", "µs", False),
                 Line("p99 meanwhile over quiet", "p99_times", "×", False)],
                SNAPSHOT_COUNT)
    return [*throughput, one, fail_over, wiped, rolling]
