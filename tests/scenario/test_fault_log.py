"""Logs that cannot be written: a full disk, a folder that is gone. Requests go on, every lost line is counted, and it is told once."""

import contextlib
import json
import os
import re
import signal
import subprocess

from before import as_before, brief
from common import ALICE, ECHO, ask, passed
from sp_rig.held import total
from sp_rig.procs import wait_until


@contextlib.contextmanager
def small_disk(w, size="256k"):
    folder = os.path.join(w.folder, "small-disk")
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "small-disk", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Until not a byte more goes in. The file that has to go to make room again."""
    path = os.path.join(folder, "filling")
    with open(path, "ab", buffering=0) as f:
        with contextlib.suppress(OSError):
            while f.write(bytes(4096)):
                pass
    return path


def dropped(p):
    return int(total(p, "sallyport_log_dropped_total"))


def whole_lines(path):
    """How many there are. A line that the full disk broke off is one of its own, and counts as lost; the next begins anew."""
    with open(path, "rb") as f:
        lines = f.read().split(b"\n")
    assert lines[-1] == b"", "the last line is not ended"
    broken = 0
    for line in lines[:-1]:
        try:
            json.loads(line)
        except ValueError:
            broken += 1
    assert broken <= 2, "%d lines are broken, and the disk was full twice" % broken
    return len(lines) - 1 - broken


def test_a_full_disk_costs_lines_and_nothing_else(w):
    """Twice full, twice free again: lines written and lines counted as lost are as many as there were requests."""
    config = brief(w)
    with small_disk(w) as disk:
        path = config.log["access"] = os.path.join(disk, "access.log")
        p = w.start(config)
        with as_before(w, p):
            asked = 3                      # by as_before itself
            for times in (1, 2):
                filling = fill(disk)
                before = dropped(p)
                with w.wire() as c:
                    for n in range(1500):
                        passed(c.ask("GET", ECHO, auth=ALICE))
                asked += 1500
                wait_until("lines are lost, and counted", lambda: dropped(p) > before, 10 * w.patience)
                p.log_says("event=log_write_failed log=access")
                wait_until("it was told once", lambda: p.errors().count("event=log_write_failed") == times, 5 * w.patience)
                os.unlink(filling)
                passed(ask(w, ECHO + "?room-again-%d" % times, auth=ALICE))
                asked += 1
                wait_until("it is written again", lambda: b"room-again-%d" % times in open(path, "rb").read(), 10 * w.patience)
            p.log_says("event=log_lines_lost log=access")
            wait_until("nothing is in between", lambda: whole_lines(path) + dropped(p) == asked, 10 * w.patience)
        assert p.stop() == 0
        assert p.errors().count("event=log_write_failed") == 2


def test_an_error_log_on_a_full_disk_holds_up_nobody(w):
    config = brief(w)
    with small_disk(w) as disk:
        path = config.log["error"] = os.path.join(disk, "error.log")
        config.log["level"] = "debug"
        p = w.start(config)
        with as_before(w, p):
            filling = fill(disk)
            for _ in range(20):
                with w.wire() as c:
                    for n in range(20):
                        passed(c.ask("GET", ECHO, auth=ALICE))
            wait_until("lines are lost, and counted", lambda: dropped(p) > 100, 10 * w.patience)
            told = 'event=log_write_failed log=error file="%s" detail="No space left on device' % path
            assert p.proc.words(10 ** 9).count(told) == 1, "standard error, and so the journal, has it once:\n" + p.proc.words()
            os.unlink(filling)
            passed(ask(w, auth=ALICE))
            p.log_says("event=log_lines_lost log=error")
        for line in open(path, errors="replace").read().splitlines():
            cut = re.fullmatch(r"\d{1,4}|\d{4}-\d{0,2}|\d{4}-\d\d-\d{0,2}", line)     # where the disk was full: ended, and no more
            assert cut or re.match(r"\d{4}-\d\d-\d\dT", line), "a line that is none: %r" % line


def test_a_reader_that_fails_every_write_is_told_of_once(w):
    """/dev/full: each write is ENOSPC."""
    config = brief(w)
    config.log["access"] = "/dev/full"
    p = w.start(config)
    p._read = lambda name: "" if name == "access" else type(p)._read(p, name)      # /dev/full reads as zeros without end
    with as_before(w, p):
        for _ in range(10):
            for _ in range(10):
                passed(ask(w, auth=ALICE))
        wait_until("all are counted", lambda: dropped(p) >= 103, 10 * w.patience)
    assert p.stop() == 0
    assert p.errors().count("event=log_write_failed") == 1 and dropped_lines(p) == 0


def dropped_lines(p):
    """What was told of as lost; while the log still fails, nothing is: the one error stands."""
    return sum(int(n) for n in re.findall(r"event=log_lines_lost log=access lines=(\d+)", p.errors()))


def test_a_log_folder_that_is_gone_leaves_the_old_file_in_use(w):
    config = brief(w)
    folder = os.path.join(config.folder, "logs")
    os.makedirs(folder)
    path = config.log["access"] = os.path.join(folder, "access.log")
    p = w.start(config)
    with as_before(w, p):
        passed(ask(w, ECHO + "?one", auth=ALICE))
        os.rename(folder, folder + ".gone")
        p.proc.send(signal.SIGUSR1)
        p.log_says("event=log_reopen_failed log=access")
        passed(ask(w, ECHO + "?two", auth=ALICE))
        wait_until("the old file has it", lambda: b"?two" in open(os.path.join(folder + ".gone", "access.log"), "rb").read(), 5 * w.patience)
        os.makedirs(folder)
        p.proc.send(signal.SIGUSR1)
        wait_until("the new file is there", lambda: os.path.exists(path), 5 * w.patience)
        passed(ask(w, ECHO + "?three", auth=ALICE))
        wait_until("the new file has it", lambda: b"?three" in open(path, "rb").read(), 5 * w.patience)
