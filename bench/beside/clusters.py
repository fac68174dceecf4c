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
        self.members = [self._member(f"m{i}") for i in range(size)]
        founders = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        for member in self.members:
            member.founders = [f"--initial-cluster={founders}"]

    def _member(self, name):
        return Server(self.kind, self.binary, self.directory / name, self.flags, name)

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

    def others(self, but):
        return [member for member in self.members if member is not but]

    def target(self, *members):
        """What a load speaks to; the CPU time is that of the whole cluster all the same."""
        return Target(self, members)

    def control(self, *arguments):
        """etcdctl, by way of every member that runs."""
        endpoints = ",".join(m.endpoint for m in self.members if m.process and m.process.poll() is None)
        done = subprocess.run([self.etcdctl, f"--endpoints={endpoints}", "--command-timeout=60s",
                               *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            self.check_alive()
            raise Failed(f"{self.kind}: etcdctl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def id_of(self, member):
        for line in self.control("member", "list").splitlines():
            fields = [field.strip() for field in line.split(",")]
            if fields[2] == member.name:
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
