"""The rows: what is measured, and the floors that issue and README promise.

A row is measured on both servers in turns. Its `run` returns a dictionary of figures for one server;
its lines say which figure is compared how.
"""

import dataclasses
import time
from typing import Callable, Optional


@dataclasses.dataclass
class Line:
    """One line of the table: a figure of both servers and the floor for their ratio.

    The ratio is Keelson's advantage: how many times more (`higher`) or less (not `higher`).
    A line with `share_of` compares Keelson with itself: this figure over that of the named row.
    """
    title: str
    figure: str
    unit: str
    higher: bool = True
    floor: Optional[float] = None
    share_of: Optional[str] = None
    # Where the generator may be the limit, this figure's line decides instead.
    or_else: Optional[str] = None


@dataclasses.dataclass
class Row:
    name: str
    group: str
    run: Callable
    lines: list
    flags: tuple = ()     # of the servers, besides the usual ones
    founder: str = ""     # whose members there are at the beginning; else the kind's own


def _h2load(name, kind, connections, streams, lines):
    return Row(name, "single", lambda b, s: b.loads.h2load(s, kind, connections, streams), lines)


def _own(name, mode, lines, **flags):
    return Row(name, "single", lambda b, s: b.loads.timed(s, mode, **flags), lines)


def _rate(what, floor=None):
    return Line(f"{what}: throughput", "throughput", "/s", True, floor, or_else="cpu_us")


def _cpu(what, floor=None):
    return Line(f"{what}: server CPU per operation", "cpu_us", "µs", False, floor)


def _single_key_rows():
    shapes = [(16, 16), (100, 10)]
    floors = {"put": ((3, 3.5), 4), "get": ((3.5, 3.5), 6), "sget": ((4, 4), 7)}
    titles = {"put": "put", "get": "linearizable get", "sget": "serializable get"}
    rows = []
    for kind, (rates, cpu) in floors.items():
        for (c, m), floor in zip(shapes, rates):
            what = f"{titles[kind]}, {c} × {m}"
            rows.append(_h2load(f"{kind}-{c}x{m}", kind, c, m, [_rate(what, floor), _cpu(what, cpu)]))
    return rows


def _many_connections_rows():
    """By keelson_load, which connects before it counts: h2load would count 1,000 handshakes too."""
    rows = []
    for mode, title in (("put", "put"), ("get", "linearizable get")):
        few, what = f"{title}, 16 × 16, by keelson_load", f"{title}, 1,000 × 4, by keelson_load"
        share = Line(f"{title}, 1,000 × 4: share of the 16 × 16 throughput kept", "throughput", "",
                     True, 0.8, share_of=f"own-{mode}")
        rows.append(_own(f"own-{mode}", mode, [_rate(few), _cpu(few)], connections=16, streams=16))
        rows.append(_own(f"{mode}-1000x4", mode, [_rate(what), _cpu(what), share],
                         connections=1000, streams=4))
    return rows


def _own_rows():
    return _many_connections_rows() + [
        _own("put-random", "put", [_rate("put, random of 100,000 keys, 16 × 16"),
                                   _cpu("put, random of 100,000 keys, 16 × 16"),
                                   Line("put, random keys: p99 latency", "p99_us", "µs", False)],
             connections=16, streams=16, keys="random", space=100_000),
        _own("put-one", "put", [Line("put, one at a time: mean latency", "mean_us", "µs", False, 1),
                                Line("put, one at a time: median latency", "p50_us", "µs", False),
                                Line("put, one at a time: p99 latency", "p99_us", "µs", False),
                                _cpu("put, one at a time")]),
        _own("txn", "txn", [_rate("create and update as Kubernetes writes, 16 × 16"),
                            _cpu("create and update as Kubernetes writes, 16 × 16")],
             prefix="/registry/pods/", connections=16, streams=16),
    ]


def _list(bench, server):
    if bench.first_time(server, "list"):
        bench.loads.own(server, "fill", prefix="/list/", space=10_000, value_size=1024,
                        connections=2, streams=4)
    return bench.loads.timed(server, "list", prefix="/list/", connections=4, expect=10_000,
                             value_size=1024)


def _watch(rate):
    return lambda bench, server: bench.loads.own(
        server, "watch", watchers=1000, streams=100, connections=10, rate=rate,
        seconds=bench.loads.seconds, warm_up=0.5, patience=60)


def _fill(bench, server):
    """N keys, three revisions each, then what the process holds."""
    began = time.monotonic()
    bench.loads.own(server, "fill", prefix="/many/", space=bench.keys, repeat=3, connections=2,
                    streams=8)
    seconds = time.monotonic() - began
    rss, peak = server.memory_mb()
    return {"rss_mb": rss, "peak_mb": peak, "fill_per_s": 3 * bench.keys / seconds,
            "disk_mb": server.disk_mb()}


def _page(bench, server):
    return bench.loads.timed(server, "page", prefix="/many/", expect=bench.keys)


def _page_few(bench, server):
    """The same pages where there are a hundred times fewer keys."""
    few = max(bench.keys // 100, 1000)
    bench.loads.own(server, "fill", prefix="/few/", space=few, connections=2, streams=8)
    return bench.loads.timed(server, "page", prefix="/few/", expect=few)


def _restart(bench, server):
    server.kill()
    began = time.monotonic()
    server.start()
    server.wait_until(bench.loads.answers)
    seconds = time.monotonic() - began
    rss, peak = server.memory_mb()
    return {"seconds": seconds, "rss_mb": rss, "peak_mb": peak}


def all_rows(keys):
    many = f"{keys:,} keys × 256 B × 3 revisions"
    return _single_key_rows() + _own_rows() + [
        Row("list", "single", _list,
            [Line("list of 10,000 keys × 1 KB, 4 at a time", "throughput", "/s", True, 3,
                  or_else="cpu_us"),
             Line("list of 10,000 keys × 1 KB: server CPU each", "cpu_us", "µs", False, 4)]),
        # At 1,000 puts/s nobody can deliver more than a million events; what each can do shows at
        # a rate that neither keeps up with.
        Row("watch", "single", _watch(1000),
            [Line("watch, 1,000 watchers, 1,000 puts/s: p99 lag", "p99_us", "µs", False, 1),
             Line("watch, 1,000 puts/s: events delivered", "throughput", "/s", True, 3),
             Line("watch, 1,000 puts/s: server CPU per event", "cpu_us", "µs", False)]),
        Row("watch-max", "single", _watch(8000),
            [Line("watch, 1,000 watchers, 8,000 puts/s offered: events delivered", "throughput", "/s",
                  True, 3),
             Line("watch, 8,000 puts/s offered: server CPU per event", "cpu_us", "µs", False)]),
        Row("memory", "many", _fill,
            [Line(f"resident memory, {many}", "rss_mb", "MB", False, 2),
             Line(f"highest resident memory, {many}", "peak_mb", "MB", False),
             Line("filling them, 100 puts to a transaction: keys put", "fill_per_s", "/s"),
             Line("data directory then", "disk_mb", "MB", False)]),
        Row("page", "many", _page,
            [Line(f"page of 500 in {keys:,} keys: mean latency", "mean_us", "µs", False, 100),
             Line(f"page of 500 in {keys:,} keys: server CPU each", "cpu_us", "µs", False)]),
        Row("page-few", "many", _page_few,
            [Line("the same in 1/100 of the keys: mean latency", "mean_us", "µs", False)]),
        Row("restart", "many", _restart,
            [Line("restart after kill -9 to the first answered read", "seconds", "s", False, 4),
             Line("resident memory after it", "rss_mb", "MB", False, 2)]),
    ]
