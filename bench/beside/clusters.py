"""Three members of one kind on the loopback, and what is done to them: killed, wiped, replaced."""

import subprocess
import time
import urllib.request

from .servers import Failed, Server


class Cluster:
    """Its members' endpoints, processes and CPU time together are what a load is run against."""

    def __init__(self, kind, binary, etcdctl, directory, flags=(), size=3):
        self.kind, self.binary, self.etcdctl = kind, binary, etcdctl
        self.directory, self.flags = directory, list(flags)
        self.notes = []
        self.hand_overs = []  # who did, and from when to when (time of day)
        self.members = [self._member(f"m{i}") for i in range(size)]
        founders = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        for member in self.members:
            member.founders = [f"--initial-cluster={founders}"]

    def _member(self, name, binary=None, flags=None):
        return Server(self.kind, binary or self.binary, self.directory / name,
                      self.flags if flags is None else flags, name)

    def start(self, answers):
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait_until(answers)

    def stop(self):
        for member in self.members:
            member.stop()

    def check_alive(self):
        for member in self.members:
            member.check_alive()

    def leader(self, patience=30):
        """The member that says it leads."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            for member in self.members:
                if leads(member):
                    return member
            time.sleep(0.02)
        raise Failed(f"{self.kind}: nobody leads")

    def note(self, what):
        """What happened when (time of day), to be held against what clients saw."""
        self.notes.append(f"{time.time():.3f}: {what}")

    def others(self, but):
        return [member for member in self.members if member is not but]

    def target(self, *members):
        """What a load speaks to; the CPU time is that of the whole cluster all the same."""
        return Target(self, members)

    def control(self, *arguments, by=None):
        """etcdctl, by way of every member that runs, or of `by`."""
        running = [m for m in self.members if m.process and m.process.poll() is None]
        endpoints = ",".join(m.endpoint for m in by or running)
        done = subprocess.run([self.etcdctl, f"--endpoints={endpoints}", "--command-timeout=60s",
                               *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            self.check_alive()
            raise Failed(f"{self.kind}: etcdctl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def id_of(self, member, by=None):
        for line in self.control("member", "list", by=by).splitlines():
            fields = [field.strip() for field in line.split(",")]
            if fields[3] == member.peer_url:  # a name it has once it has announced itself
                return fields[0]
        raise Failed(f"{self.kind}: {member.name} is no member")

    def replace(self, member):
        """A dead member, its disk gone, makes room for a fresh one, which does not run yet."""
        self.control("member", "remove", self.id_of(member))
        member.stop()  # and what it wrote
        fresh = self._member(member.name + "x")
        self.members[self.members.index(member)] = fresh
        # Whoever was removed or added a moment ago may not count as healthy yet.
        until = time.monotonic() + 30
        while True:
            try:
                running = [m for m in self.members if m is not fresh]
                self.control("member", "add", fresh.name, f"--peer-urls={fresh.peer_url}")
                break
            except Failed:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        cluster = ",".join(f"{m.name}={m.peer_url}" for m in running + [fresh])
        fresh.founders = [f"--initial-cluster={cluster}", "--initial-cluster-state=existing"]
        return fresh


    # A learner takes neither these commands nor puts, so the voters are named.

    def add_learner(self, name, voters, binary, flags):
        """A fresh member, which runs when this returns."""
        fresh = self._member(name, binary, flags)
        told = self.patiently("member", "add", name, "--learner", f"--peer-urls={fresh.peer_url}",
                              by=voters)
        founders = next(line for line in told.splitlines()
                        if line.startswith("ETCD_INITIAL_CLUSTER=")).split("=", 1)[1].strip('"')
        fresh.founders = [f"--initial-cluster={founders}", "--initial-cluster-state=existing"]
        self.members.append(fresh)
        fresh.start()
        return fresh

    def promote(self, member, voters):
        """As soon as the leader finds that it has caught up."""
        self.patiently("member", "promote", self.id_of(member, by=voters), by=voters)

    def move_leader(self, to, voters):
        leader = self.leader()
        if leader is not to:
            self.note(f"move-leader from {leader.name} to {to.name}")
            began = time.time()
            self.patiently("move-leader", self.id_of(to, by=voters), by=[leader])
            self.hand_overs.append((leader, began, time.time()))
            self.note(f"{to.name} leads")

    def remove(self, member, voters):
        """It ends by itself when it hears of it."""
        self.note(f"remove {member.name}, while {self.leader().name} leads")
        self.patiently("member", "remove", self.id_of(member, by=voters), by=voters)
        try:
            member.process.wait(30)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.kind}: {member.name} was removed and goes on") from None
        self.members.remove(member)
        member.stop()  # and what it wrote

    def patiently(self, *arguments, by):
        """etcdctl again and again: a member may not count as healthy, or in sync, yet."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.control(*arguments, by=by)
            except Failed:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


class Target:
    """Looks like one server to loads.Loads."""

    def __init__(self, cluster, members):
        self.cluster, self.members = cluster, members or cluster.members

    @property
    def kind(self):
        return self.cluster.kind

    @property
    def endpoint(self):
        return ",".join(member.endpoint for member in self.members)

    @property
    def pid(self):
        return ",".join(str(member.pid) for member in self.cluster.members)

    def check_alive(self):
        self.cluster.check_alive()


def counter(member, name):
    """The sum of a metric over its labels; 0 if the member does not answer."""
    if member.process is None or member.process.poll() is not None:
        return 0
    try:
        with urllib.request.urlopen(f"http://{member.endpoint}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
    except OSError:
        return 0
    return sum(float(line.split()[-1]) for line in lines
               if line.startswith((name + " ", name + "{")))


def leads(member):
    return counter(member, "etcd_server_is_leader") == 1
