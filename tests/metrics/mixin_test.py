#!/usr/bin/env python3
"""The alerts and dashboards of etcd's mixin, on what Keelson's /metrics says.

usage: mixin_test.py series <keelson>    each series of mixin/rules_test.yaml is on the page of a member
                                         of two, with the same labels, once the other has gone
       mixin_test.py rules               Prometheus makes of them what it should (promtool test rules);
                                         exit status 77 (skipped) without promtool
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mixin")
PATIENCE = 60  # seconds, for anything that must come
OF_PROMETHEUS = {"job", "instance"}  # labels that a scrape adds
OF_THE_CLUSTER = {"To", "From"}      # labels whose values are members


def series_of(text):
    """The name and the labels of each `name{label="value",…}`."""
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? ", text, re.MULTILINE):
        yield name, dict(re.findall(r'(\w+)="([^"]*)"', labels))


def wanted():
    with open(os.path.join(HERE, "rules_test.yaml")) as file:
        lines = re.findall(r"- series: '(.*)'", file.read())
    found = [(name, {key: value for key, value in labels.items() if key not in OF_PROMETHEUS})
             for name, labels in series_of("".join(line + " \n" for line in lines))]
    assert len(found) == len(lines) and len(lines) > 30, lines
    # `up` is Prometheus's own.
    return [(name, labels) for name, labels in found if name != "up"]


def matches(row, series):
    name, labels = series
    return row[0] == name and row[1].keys() == labels.keys() and all(
        row[1][key] == value for key, value in labels.items() if key not in OF_THE_CLUSTER)


class Member:
    def __init__(self, keelson, work, name):
        self.name, self.log = name, os.path.join(work, name + ".log")
        self.client, self.peer = os.path.join(work, name + "c:0"), os.path.join(work, name + "p:0")
        self.keelson = keelson

    def start(self, members):
        cluster = ",".join(f"{member.name}=unix://{member.peer}" for member in members)
        command = [self.keelson, "--name", self.name, "--data-dir", self.log + ".data",
                   "--listen-client-urls", "unix://" + self.client,
                   "--advertise-client-urls", "unix://" + self.client,
                   "--listen-peer-urls", "unix://" + self.peer,
                   "--initial-advertise-peer-urls", "unix://" + self.peer,
                   "--initial-cluster", cluster, "--listen-metrics-urls", "http://127.0.0.1:0",
                   "--metrics", "extensive"]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def text(self):
        with open(self.log) as log:
            return log.read()

    def page(self):
        address = re.search(r'"traffic":"metrics","address":"(127.0.0.1:[0-9]+)"', self.text())
        if not address:
            return ""
        with urllib.request.urlopen(f"http://{address.group(1)}/metrics", timeout=PATIENCE) as answer:
            return answer.read().decode()

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


def missing(member):
    rows = list(series_of(member.page()))
    return [series for series in wanted() if not any(matches(row, series) for row in rows)]


def wait_until(member, lacks):
    """Until lacks() returns nothing."""
    until = time.monotonic() + PATIENCE
    while lack := lacks():
        assert member.process.poll() is None, member.text()
        assert time.monotonic() < until, (lack, member.text()[-2000:])
        time.sleep(0.05)


def series(keelson):
    with tempfile.TemporaryDirectory(prefix="keelson-mixin-") as work:
        members = [Member(keelson, work, name) for name in ("a", "b")]
        try:
            for member in members:
                member.start(members)
            first, second = members
            ready = "ready to serve client requests"
            wait_until(first, lambda: "" if ready in first.text() else ready)
            # Failures to reach a member are counted when there are some.
            failures = "etcd_network_peer_sent_failures_total"
            wait_until(first, lambda: [lack for lack in missing(first) if lack[0] != failures])
            second.end()
            wait_until(first, lambda: missing(first))
        finally:
            for member in members:
                member.end()
    print(f"{len(wanted())} series are there")


def rules():
    promtool = shutil.which("promtool")
    if not promtool:
        print("skipped: no promtool (Debian's prometheus)")
        sys.exit(77)
    subprocess.run([promtool, "check", "rules", "alerts.yaml"], cwd=HERE, check=True)
    subprocess.run([promtool, "test", "rules", "rules_test.yaml"], cwd=HERE, check=True)


def main():
    if sys.argv[1] == "series":
        series(os.path.abspath(sys.argv[2]))
    else:
        rules()


if __name__ == "__main__":
    main()
