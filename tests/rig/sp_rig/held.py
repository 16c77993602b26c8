"""What a running sallyport holds: descriptors by kind, threads, sessions, and the objects that its metrics count.

What is stock with a bound, and not use, is taken apart: pipes kept for the next tunnel (`pipes`), and idle connections to a
directory. These are told by a gauge: a socket that is no longer counted there counts here.
"""

import os
import re
import socket

GAUGES = ("sallyport_connections", "sallyport_tunnels", "sallyport_handshakes_in_progress", "sallyport_cache_entries",
          "sallyport_blocked", "sallyport_ldap_connections")
DIRECTORY = "sallyport_ldap_connections"
PIPES_PER_WORKER = 32                      # the stock of src/net/pipe.c


def control(p, line, seconds=10.0):
    """What the control socket answers to one line."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds * p.patience)
        sock.connect(p.config.admin["socket"])
        sock.sendall(line.encode() + b"\n")
        sock.shutdown(socket.SHUT_WR)
        parts = []
        while data := sock.recv(65536):
            parts.append(data)
    text = b"".join(parts).decode("utf-8", "replace")
    assert text.startswith("ok\n"), "%s: %s" % (line, text)
    return text[3:]


def samples(p):
    """Every series of `ctl stats`: "name labels" -> number."""
    found = {}
    for line in control(p, "stats").splitlines():
        match = re.match(r"(\S+) +(\S+)  ?(.*)$", line)
        if match:
            found[(match[1] + " " + match[3]).strip()] = float(match[2])
    return found


def total(p, name, **labels):
    """The sum of a metric's series that have these labels."""
    want = ['%s="%s"' % pair for pair in labels.items()]
    return sum(n for series, n in samples(p).items() if series.split(" ")[0] == name and all(x in series for x in want))


def descriptors(pid):
    """How many of each kind: sockets, pipes, and everything else by its name."""
    folder, kinds = "/proc/%d/fd" % pid, {}
    for fd in os.listdir(folder):
        try:
            name = os.readlink(os.path.join(folder, fd))
        except OSError:
            continue                       # closed meanwhile
        kind = name.split(":")[0] if name.startswith(("socket:", "pipe:")) else name
        kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


def threads(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def processor_seconds(pid):
    with open("/proc/%d/stat" % pid) as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def user_memory(pid):
    """Bytes of memory of its own: the heap and the stacks, not the code and not the kernel's."""
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return 1024 * int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M)[1])


def held(p):
    """Descriptors, threads and gauges, but for what is stock."""
    kinds, known = descriptors(p.proc.pid), samples(p)
    kinds.pop("pipe", None)
    kinds["socket"] -= int(sum(n for series, n in known.items() if series.startswith(DIRECTORY) and 'state="idle"' in series))
    out = {"threads": threads(p.proc.pid), "descriptors": kinds}
    for series, number in known.items():
        stock = series.startswith(DIRECTORY) and ('state="limit"' in series or 'state="idle"' in series)
        if series.split(" ")[0] in GAUGES and not stock and number != 0:
            out[series] = number           # a series that came up meanwhile and is 0 is no difference
    return out


def pipes(pid):
    return descriptors(pid).get("pipe", 0) // 2


def difference(before, after):
    """One line for each thing of which there is another number; "" when all is as it was."""
    lines = []
    for name in sorted(set(before) | set(after)):
        one, two = before.get(name), after.get(name)
        if one == two:
            continue
        if isinstance(one, dict) and isinstance(two, dict):
            lines += ["%s: %r before, %r now" % (kind, one.get(kind, 0), two.get(kind, 0))
                      for kind in sorted(set(one) | set(two)) if one.get(kind) != two.get(kind)]
        else:
            lines.append("%s: %r before, %r now" % (name, one or 0, two or 0))
    return "\n".join(lines)
