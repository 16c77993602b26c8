"""A page of docs/ whose blocks are what sallyport printed on the rig: compared with it, or written into it.

A block stands between `<!-- made: SECTION PART -->` and `<!-- made -->`. What differs from run to run (times, ids, process
numbers, milliseconds, the rig's folders) is replaced by words that stay the same.
"""

import difflib
import fcntl
import os
import re

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
IDS = ("6f2k9w0c4tqa", "6f2k9w1d7v5b", "6f2k9w2e8x6c", "6f2k9w3f9y7d", "6f2k9w4g0z8e", "6f2k9w5h1a9f", "6f2k9w6j2b0g", "6f2k9w7k3c1h")
BLOCK = re.compile(r"<!-- made: ([a-z-]+) ([a-z-]+) -->\n```\n(.*?)```\n<!-- made -->\n", re.S)
SAME = (
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)", "2026-11-23T09:00:00.000+01:00"),
    (r"\b\d{4}-\d\d-\d\d\b(?!T)", "2026-12-23"),
    (r"\b\d\d:\d\d:\d\d\b(?!\.)", "09:00:00"),
    (r"(?m)^ +\d+\.\d ms  ", "        1.0 ms  "),
    (r"(?<![\d.])\d+ ms\b", "1 ms"),
    (r"\b\d+ s old\b", "1 s old"),
    (r"\bfor \d+ s more\b", "for 300 s more"),
    (r"(?m)^Retry-After: \d{3}$", "Retry-After: 300"),
    (r"\btoken of \d+ bytes\b", "token of 700 bytes"),
)


def steady(printed, ids, folder):
    """The blocks (part -> words) without what differs from run to run. ids: those of requests; folder: the rig's."""
    instead = {}
    for words in printed.values():
        for found in re.findall(r"\b[0-9a-z]{12}\b", words):
            if found in ids:
                instead.setdefault(found, IDS[len(instead)])

    def one(words):
        for found, placeholder in instead.items():
            words = words.replace(found, placeholder)
        words = re.sub(re.escape(folder) + r"(/[\w.-]+)*/", "/etc/sallyport/", words)
        for pattern, placeholder in SAME:
            words = re.sub(pattern, placeholder, words)
        return words.rstrip("\n") + "\n"
    return {part: one(words) for part, words in printed.items()}


class Page:
    """name: the file in docs/. write: put what was printed into it, instead of comparing."""

    def __init__(self, name, write):
        self._path, self._write = os.path.normpath(os.path.join(ROOT, "docs", name)), write

    def text(self):
        with open(self._path, encoding="utf-8") as f:
            return f.read()

    def sections(self):
        """The sections that have blocks, in their order."""
        return list(dict.fromkeys(section for section, _, _ in BLOCK.findall(self.text())))

    def _put(self, section, printed):
        """Other processes put other sections."""
        with open(self._path, "r+", encoding="utf-8") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            new = BLOCK.sub(lambda m: m[0] if m[1] != section or m[2] not in printed
                            else "<!-- made: %s %s -->\n```\n%s```\n<!-- made -->\n" % (section, m[2], printed[m[2]]), f.read())
            f.seek(0)
            f.write(new)
            f.truncate()

    def holds(self, section, printed):
        """That the section's blocks are exactly these: part -> words."""
        if self._write:
            self._put(section, printed)
        there = {part: words for found, part, words in BLOCK.findall(self.text()) if found == section}
        lines = lambda blocks: [line for part in sorted(blocks) for line in ("[%s]\n" % part + blocks[part]).splitlines()]
        differ = list(difflib.unified_diff(lines(there), lines(printed), "the page", "sallyport", lineterm="", n=2))
        assert not differ, "%s, section %s, is not what sallyport prints:\n%s" % (self._path, section, "\n".join(differ))
