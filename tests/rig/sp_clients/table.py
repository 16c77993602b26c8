"""The table of docs/clients.md: what a run counted, compared with it or written into it."""

import os
import re

PATH = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "docs", "clients.md"))
BLOCK = re.compile(r"(<!-- made by tests/clients --write -->\n)(.*?)(<!-- made -->\n)", re.S)
HEAD = ("| client | login | proxy | http:// page | https:// page | setting |\n"
        "| --- | --- | --- | --- | --- | --- |\n")


class Cost:
    """What one page cost: how many 407s, requests and connections. most: the bound where the number differs from run to run."""

    def __init__(self, refusals, requests, connections, most=None):
        self.refusals, self.requests, self.connections, self.most = refusals, requests, connections, most

    def words(self):
        if self.most is not None:
            return "at most **%d**" % self.most
        plural = lambda n, word: "%d %s%s" % (n, word, "" if n == 1 else "s")
        return "**%d** (%s, %s)" % (self.refusals, plural(self.requests, "request"), plural(self.connections, "connection"))


def refusals_of(words):
    """(the number of 407s that a cell of the table names, whether it is a bound)"""
    found = re.search(r"\*\*(\d+)\*\*", words)
    return (int(found[1]), words.startswith("at most")) if found else None


class Table:
    """Cells by (client, login, proxy, target); a tunnel stands in the column of https:// pages."""

    def __init__(self):
        self.cells, self.versions = {}, {}
        if not os.path.exists(PATH):
            return
        with open(PATH, encoding="utf-8") as f:
            block = BLOCK.search(f.read())
        for line in block[2].splitlines()[2:] if block else []:
            client, login, proxy, http, https = [part.strip() for part in line.split(" | ")][:5]
            name, _, version = client.lstrip("| ").rpartition(" ")
            self.versions[name] = version
            self.cells.update({(name, login, proxy, "http"): http, (name, login, proxy, "https"): https})

    @staticmethod
    def key(way, target):
        return way.client.name, way.login, way.proxy, "http" if target == "http" else "https"

    def expected(self, way, target):
        return refusals_of(self.cells.get(self.key(way, target), ""))

    def put(self, way, target, version, cost):
        self.versions[way.client.name] = version
        marks = (("; no page", way.cannot), (", a tunnel", target == "tunnel"), ("; **the origin sees the password**", way.shows))
        self.cells[self.key(way, target)] = cost.words() + "".join(words for words, true in marks if true)

    def write(self, ways):
        groups = {}
        for way in ways:
            groups.setdefault((way.client.name, way.login, way.proxy), []).append(way)
        with open(PATH, encoding="utf-8") as f:
            text = f.read()
        assert BLOCK.search(text), "%s has no place for the table" % PATH
        with open(PATH, "w", encoding="utf-8") as f:
            f.write(BLOCK.sub(lambda m: m[1] + HEAD + "".join(map(self._row, groups.values())) + m[3], text))

    def _row(self, ways):
        """One row: a login and a proxy, for pages of both kinds. Where the kinds need different settings, both stand there."""
        client, login, proxy = ways[0].client.name, ways[0].login, ways[0].proxy
        tried = {"http" if target == "http" else "https" for way in ways for target in way.targets}
        cells = [self.cells.get((client, login, proxy, column), "not tried yet") if column in tried else "—" for column in ("http", "https")]
        settings = ways[0].setting if len(ways) == 1 else "; ".join("%s:// pages: %s" % (way.targets[0], way.setting) for way in ways)
        return "| %s %s | %s | %s | %s | %s |\n" % (client, self.versions.get(client, "?"), login, proxy, " | ".join(cells), settings.replace("|", "\\|"))
