#!/usr/bin/python3
"""Thousands of heads and chunked bodies through three readers: ours, llhttp alone, and a strict one in Python (strict.py).

  run.py [--build DIR] [--count N] [--seed N] [--show CLASS]

Each disagreement is of a class that differences.py names and explains; one that is of none fails. What we pass on of a head is
read by the strict reader and by ours again, and says the same. The last line is `differential: N passed, N failed`: a test for
each kind of message, one for what is passed on, one for each class (that it is not empty).
"""

import argparse
import collections
import os
import random
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

import differences
import messages
import strict

KINDS = {"Q": ("requests", messages.request, 5), "R": ("answers", messages.response, 2), "H": ("answers to HEAD", messages.response, 1),
         "C": ("chunked bodies", messages.body, 3)}
WRITTEN = "what we pass on"


def read_all(build, found):
    """[(ours, llhttp's)] of [(kind, bytes)]: a verdict is a list of words, "ok", "bad" or "more" the first."""
    program = os.path.join(build, "tests", "differential", "differential_readers")
    data = b"".join(kind.encode() + struct.pack("<I", len(message)) + message for kind, message in found)
    said = subprocess.run([program], input=data, stdout=subprocess.PIPE, timeout=300, check=True).stdout.decode("ascii")
    lines = [line.split("\t") for line in said.split("\n")[:-1]]
    assert len(lines) == 2 * len(found), "%d lines for %d messages" % (len(lines), len(found))
    return list(zip(lines[0::2], lines[1::2]))


def read_strictly(kind, data):
    try:
        if kind == "Q":
            return "ok", strict.request(data)
        if kind == "C":
            return "ok", strict.chunked(data)
        return "ok", strict.response(data, kind == "H")
    except strict.Bad as error:
        return "bad", str(error)
    except strict.More:
        return "more", None


def fields_of(text):
    pairs = [pair.split("=") for pair in text.split(";") if pair]
    return [(bytes.fromhex(name), bytes.fromhex(value)) for name, value in pairs]


def facts_of(kind, ours):
    """What we understood, as strict.py says it."""
    if kind == "C":
        return {"size": int(ours[1]), "payload": bytes.fromhex(ours[2])}
    facts = {"size": int(ours[1]), "minor": int(ours[2]), "kind": ours[3], "length": int(ours[4]), "keep_alive": ours[5] == "1",
             "fields": fields_of(ours[6])}
    if kind == "Q":
        facts.update(method=bytes.fromhex(ours[7]), host=bytes.fromhex(ours[8]), port=int(ours[9]), path=bytes.fromhex(ours[10]),
                     expect=ours[11] == "1")
    else:
        facts.update(status=int(ours[7]), reason=bytes.fromhex(ours[8]))
    return facts


class Comparison:
    def __init__(self):
        self.classes, self.examples = collections.Counter(), {}
        self.failures = collections.defaultdict(list)      # of each check that failed: what was seen

    def differs(self, how, kind, data, words):
        """A disagreement: of a known class, or a failure."""
        for known in differences.KNOWN:
            if known.how == how and known.covers(kind, data, words):
                self.classes[known.name] += 1
                self.examples.setdefault(known.name, (kind, data, words))
                return
        self.failures[KINDS[kind][0]].append("%s: %s\n  %r" % (how, words, data[:-50]))

    def against_strict(self, kind, data, ours, theirs):
        verdict, facts = theirs
        if ours[0] == "ok" and verdict != "ok":
            self.differs("we accept, strictly it is wrong", kind, data, facts or "not whole")
        elif ours[0] != "ok" and verdict == "ok":
            self.differs("we refuse, strictly it is right", kind, data, ours[-1])
        elif ours[0] == "ok":
            mine = facts_of(kind, ours)
            wrong = sorted(name for name in mine if not differences.same(name, mine[name], facts[name]))
            if wrong:
                self.differs("we understand it differently", kind, data, ", ".join("%s %r %r" % (n, mine[n], facts[n]) for n in wrong))

    def against_llhttp(self, kind, data, ours, llhttp):
        if ours[0] != "ok":
            return                      # llhttp's leniencies: tests/unit/http/test_llhttp.c lists them
        if llhttp[0] != "ok":
            self.differs("we accept, llhttp does not", kind, data, llhttp[-1])
            return
        mine = facts_of(kind, ours)
        theirs = {"size": int(llhttp[1])}
        if kind == "C":
            theirs["payload"] = bytes.fromhex(llhttp[2])
        elif mine["kind"] in ("length", "chunked"):
            theirs.update(kind=llhttp[2], length=int(llhttp[3]))
        wrong = sorted(name for name in theirs if mine[name] != theirs[name])
        if wrong:
            self.differs("llhttp understands it differently", kind, data, ", ".join("%s %r %r" % (n, mine[n], theirs[n]) for n in wrong))

    def passed_on(self, kind, data, ours, again):
        """What we wrote of it, by the strict reader and by ours."""
        written = bytes.fromhex(ours[-1])
        verdict, facts = read_strictly(kind, written)
        mine = facts_of(kind, ours)
        if verdict != "ok":
            self.differs("what we pass on is wrong", kind, written, facts or "not whole")
            return
        said = facts_of(kind, again) if again[0] == "ok" else None
        for reader, got in (("strictly", facts), ("by us", said)):
            if got is None:
                self.failures[WRITTEN].append("we refuse it: %s\n  %r" % (again[-1], written))
                continue
            fault = differences.changed(kind, mine, got, len(written))
            if fault:
                self.failures[WRITTEN].append("read %s, it has another %s\n  %r\n  %r" % (reader, fault, data[:-50], written))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--count", type=int, default=2000, help="a unit: requests are five of them")
    parser.add_argument("--seed", type=int, default=9112)
    parser.add_argument("--show", help="print an example of each class whose name contains this")
    chosen = parser.parse_args()
    rng, compared = random.Random(chosen.seed), Comparison()
    found = [(kind, make(rng)) for kind, (_, make, share) in KINDS.items() for _ in range(share * chosen.count)]
    verdicts = read_all(chosen.build, found)
    accepted = collections.Counter(kind for (kind, _), (ours, _) in zip(found, verdicts) if ours[0] == "ok")
    to_write = [(kind, data, ours) for (kind, data), (ours, _) in zip(found, verdicts) if ours[0] == "ok" and kind != "C" and ours[-1]]
    written = read_all(chosen.build, [(kind, bytes.fromhex(ours[-1])) for kind, _, ours in to_write])
    for (kind, data), (ours, llhttp) in zip(found, verdicts):
        compared.against_strict(kind, data, ours, read_strictly(kind, data))
        compared.against_llhttp(kind, data, ours, llhttp)
    for (kind, data, ours), (again, _) in zip(to_write, written):
        compared.passed_on(kind, data, ours, again)

    for kind, (title, _, share) in KINDS.items():
        print("%6d %s, %d accepted" % (share * chosen.count, title, accepted[kind]))
    print("%6d heads written anew and read back" % len(to_write))
    for known in differences.KNOWN:
        count = compared.classes[known.name]
        print("%6d %s: %s\n         %s" % (count, known.how, known.name, known.why))
        if chosen.show is not None and chosen.show in known.name and known.name in compared.examples:
            print("         %r" % (compared.examples[known.name],))
        if not count and chosen.count >= 2000:
            compared.failures[known.how + ": " + known.name].append("no message is of this class any more")
    for kind in KINDS:
        if accepted[kind] * 20 < KINDS[kind][2] * chosen.count:
            compared.failures[KINDS[kind][0]].append("nearly nothing is accepted, so that nothing is compared")
    for check, seen in compared.failures.items():
        print("FAILED  %s: %d times\n  %s" % (check, len(seen), "\n  ".join(seen[:5])))
    checks = len(KINDS) + 1 + len(differences.KNOWN)
    print("differential: %d passed, %d failed" % (checks - len(compared.failures), len(compared.failures)))
    return 1 if compared.failures else 0


if __name__ == "__main__":
    sys.exit(main())
