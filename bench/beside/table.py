"""Medians and the markdown table."""

import statistics

GENERATOR_AT_ITS_LIMIT = 0.85  # of one core


def median(samples, row, kind, figure):
    values = [s[figure] for s in samples.get(row, {}).get(kind, []) if figure in s]
    return statistics.median(values) if values else None


def show(value, unit):
    if value is None:
        return "–"
    if unit == "/s" and value >= 10_000:
        return f"{value / 1000:,.1f} k/s"
    if unit == "µs" and value >= 10_000:
        return f"{value / 1000:,.1f} ms"
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()


class Verdict:
    """What one line came to."""

    def __init__(self, samples, row, line):
        self.row, self.line = row.name, line
        self.etcd = median(samples, row.name, "etcd", line.figure)
        self.keelson = median(samples, row.name, "keelson", line.figure)
        self.ratio = self._share(samples) if line.share_of else self._ratio()
        self.met = None
        if line.floor is not None and self.ratio is not None:
            self.met = self.ratio >= line.floor
        self.by_cpu = self.met is False and self._cpu_decides(samples, row)

    def _ratio(self):
        if not self.etcd or not self.keelson:
            return None
        higher = self.line.higher
        return self.keelson / self.etcd if higher else self.etcd / self.keelson

    def _share(self, samples):
        def share(kind, value):
            whole = median(samples, self.line.share_of, kind, self.line.figure)
            return value / whole if value and whole else None
        self.etcd, self.keelson = share("etcd", self.etcd), share("keelson", self.keelson)
        return self.keelson

    # A generator that has used up its core measures itself; then CPU per operation is what counts.
    def _cpu_decides(self, samples, row):
        if not self.line.or_else:
            return False
        busy = median(samples, row.name, "keelson", "busy") or 0
        decider = next((l for l in row.lines if l.figure == self.line.or_else), None)
        if busy < GENERATOR_AT_ITS_LIMIT or decider is None or decider.floor is None:
            return False
        return bool(Verdict(samples, row, decider).met)

    def word(self):
        if self.met is None:
            return ""
        if self.by_cpu:
            return "by CPU †"
        return "yes" if self.met else "**no**"

    def cells(self):
        line = self.line
        unit = line.unit
        if line.share_of:
            percent = [f"{100 * v:.0f} %" if v is not None else "–"
                       for v in (self.etcd, self.keelson)]
            return [line.title, *percent, "", f"{100 * line.floor:.0f} %", self.word()]
        ratio = f"{self.ratio:.1f}×" if self.ratio is not None else "–"
        floor = "" if line.floor is None else f"{line.floor:g}×"
        return [line.title, show(self.etcd, unit), show(self.keelson, unit), ratio, floor, self.word()]


def verdicts(samples, rows):
    return [Verdict(samples, row, line) for row in rows if row.name in samples
            for line in row.lines]


def markdown(samples, rows):
    lines = ["| work | etcd | Keelson | Keelson's advantage | floor | met |",
             "|---|---:|---:|---:|---:|---|"]
    all_of_them = verdicts(samples, rows)
    lines += ["| " + " | ".join(v.cells()) + " |" for v in all_of_them]
    if any(v.by_cpu for v in all_of_them):
        lines += ["", "† The load generator had used up its core; the server's CPU per operation "
                      "decides, and meets its floor."]
    return "\n".join(lines)


def cross_check(samples):
    """Own generator over h2load, for the two loads that both can do."""
    out = []
    for own, other in (("own-put", "put-16x16"), ("own-get", "get-16x16")):
        for kind in ("etcd", "keelson"):
            for figure in ("throughput", "cpu_us"):
                a, b = (median(samples, row, kind, figure) for row in (own, other))
                if a and b:
                    out.append(f"{kind} {other} {figure}: {a / b:.2f}")
    return out
