"""What a scenario is: sides that take turns, one measurement of one side, a table, and the aims it is held to."""


class Aim:
    """One demand: `holds` is None where a side that it speaks of was not measured."""

    def __init__(self, point, text, measured, holds):
        self.point, self.text, self.measured, self.holds = point, text, measured, holds


class Scenario:
    name = title = unit = ""
    cpu_unit = "us"
    warm = True                 # a short round that is not counted comes first
    rounds_min, rounds_max = 1, 99      # rounds_min: more than asked for where three differ by more than an aim leaves
    extra = ()                  # further columns: (key, heading, format)

    def prepare(self, bench):
        raise NotImplementedError

    def measure(self, bench, side, number):
        raise NotImplementedError

    def aims(self, by):
        """by: results by name of their side. Yields Aim."""
        return ()

    def short(self, value):
        return format(round(value), ",") if abs(value) >= 100 else "%.3g" % value

    def table(self, results):
        base = next((r for r in results if r.name == "squid"), None)
        heads = ["side", "%s (median; min to max)" % self.unit] + (["against squid"] if base else []) + ["CPU"] + [h for _, h, _ in self.extra] + ["errors"]
        lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        for r in results:
            cells = [r.name, "%s (%s to %s)" % tuple(self.short(v) for v in (r.value, min(r.values), max(r.values)))]
            cells += ["%.2f" % (r.value / base.value)] if base and base.value else ["-"] if base else []
            cells += ["-" if r.cpu is None else "%s %s" % ("%.2f" % r.cpu if r.cpu < 10 else "%.1f" % r.cpu, self.cpu_unit)]
            cells += ["-" if r.median(key) is None else form % r.median(key) for key, _, form in self.extra]
            lines.append("| " + " | ".join(cells + [str(r.errors)]) + " |")
        return "\n".join(lines)


def at_least(point, text, by, mine, times, other, value=lambda r: r.value):
    """mine >= times x other, in the values of two sides."""
    if mine not in by or other not in by or not value(by[other]):
        return Aim(point, text, "not compared", None)
    ratio = value(by[mine]) / value(by[other])
    return Aim(point, text, "%.2f times" % ratio, ratio >= times)


def at_most(point, text, by, mine, times, other, value=lambda r: r.cpu):
    if mine not in by or other not in by or not value(by[other]) or value(by[mine]) is None:
        return Aim(point, text, "not compared", None)
    a, b = value(by[mine]), value(by[other])
    return Aim(point, text, "%.3g against %.3g" % (a, b), a <= times * b)
