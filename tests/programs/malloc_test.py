#!/usr/bin/env python3
"""malloc_test.py: programs that nobody here wrote do their work with libweir-malloc.so preloaded, and it must come out
as it does with the C library's malloc: python3, sqlite3, gcc, redis-server. Time and memory are printed beside those of
glibc, and of mimalloc, jemalloc and tcmalloc where they are installed, all in this one run.

What Weir's library did is read from its own counts: they show that it was in use, refused nothing and was given no
wrong address. Times are noise on a busy machine and decide nothing here.
"""
import argparse
import glob
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SECONDS = 400  # the most that one run of a program may take, times not counted in which it waited for a processor
REDIS_KEYS = 60000
PEERS = {"mimalloc": "libmimalloc.so.2", "jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4"}
LIBRARY_FOLDERS = ("/usr/lib/*-linux-gnu", "/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")

PYTHON_WORK = r"""
import compileall, hashlib, json, os, random, sys
root = sys.argv[1]
rng = random.Random(7)
for folder in range(8):
    os.makedirs(os.path.join(root, "m%d" % folder), exist_ok=True)
    for i in range(6):
        with open(os.path.join(root, "m%d" % folder, "f%d.py" % i), "w") as f:
            for j in range(60):
                names = ["v%d" % rng.randrange(50) for _ in range(6)]
                f.write("def f%d(%s):\n    return [%s for x in range(%d) if x %% %d]\n" %
                        (j, ", ".join(dict.fromkeys(names)), " + ".join(names), rng.randrange(99), j + 2))
assert compileall.compile_dir(root, quiet=1, force=True)
h = hashlib.sha256()
for path, _, files in sorted(os.walk(root)):
    for name in sorted(f for f in files if f.endswith(".pyc")):
        with open(os.path.join(path, name), "rb") as f:
            h.update(f.read()[16:])
data = [{"id": i, "name": "n" * rng.randrange(300), "list": [rng.random() for _ in range(rng.randrange(30))]}
        for i in range(12000)]
for _ in range(3):
    data = json.loads(json.dumps(data))
h.update(json.dumps(data, sort_keys=True).encode())
text = ""
for i in range(20000):
    text += str(i)
h.update(text.encode())
print(h.hexdigest())
"""

SQL_WORK = """
pragma journal_mode=off; pragma cache_size=-65536;
create table t(id integer primary key, a text, b blob, c real);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
insert into t select i, 'row ' || (i * 7919 % 60000), zeroblob(i % 400), i * 1.5 from n;
create index t_a on t(a); create index t_c on t(c, a);
update t set a = a || ' changed', b = zeroblob(i % 900) from (select id as i from t where id % 7 = 0) where id = i;
delete from t where id % 11 = 0;
select count(*), sum(length(a)), sum(length(b)), sum(c) from t;
select substr(a, 1, 6), count(*), max(c) from t group by 1 order by 2 desc, 1 limit 40;
select group_concat(a) from (select a from t order by c desc limit 3000);
select x.id, y.a from t x join t y on y.id = x.id / 2 where x.a like '%99%' order by y.a, x.id limit 500;
vacuum; pragma integrity_check;
"""


class Failed(Exception):
    pass


class Report:
    def __init__(self):
        self.failed = 0

    def show(self, name, good, text):
        print("%s %s: %s" % ("ok    " if good else "FAILED", name, text), flush=True)
        self.failed += not good


class Run:
    """What one run of a program gave: its result, and what it took."""

    def __init__(self, result, usage, seconds, told):
        self.result, self.told, self.seconds = result, told, seconds
        self.cpu, self.kib = usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def library(name):
    for folder in LIBRARY_FOLDERS:
        for path in sorted(glob.glob(os.path.join(folder, name))):
            return path
    return None


def environment(preload, weir, **more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("LD_", "WEIR_", "PYTHON", "MALLOC_"))}
    if preload:
        env["LD_PRELOAD"] = preload
    if weir:
        env["WEIR_MALLOC_STATS"] = "1"
    return dict(env, LC_ALL="C", PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1", **more)


def text_of(path):
    try:
        with open(path, encoding="ascii", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


class Session:
    """The processes that a program started: how long they had to wait for a processor, and what they do now. Niced, on a
    machine with much else to do, a program's second takes minutes, with every malloc alike: that is no hang."""

    def __init__(self, leader):
        self.leader, self.waited, self.lost, self.looked = leader, {}, 0.0, 0.0

    def stats(self):
        for path in glob.glob("/proc/[0-9]*/stat"):
            fields = text_of(path).rpartition(")")[2].split()
            if len(fields) > 12 and int(fields[3]) == self.leader:
                yield path[:-5], fields

    def look(self):
        """Once a second: what the thread that waited longest since then waited is no time of the program's."""
        if time.monotonic() < self.looked + 1:
            return
        self.looked, longest = time.monotonic(), 0.0
        for folder, _ in self.stats():
            for path in glob.glob(folder + "/task/*/schedstat"):
                words = text_of(path).split()
                now = int(words[1]) / 1e9 if len(words) == 3 else 0.0
                longest = max(longest, now - self.waited.get(path, 0.0))
                self.waited[path] = now
        self.lost += longest

    def told(self):
        rows = ["%s%s: state %s, %.1f s of processor, in %s" %
                (text_of(folder + "/comm").strip(), folder[5:], fields[0],
                 (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), text_of(folder + "/wchan") or "?")
                for folder, fields in self.stats()]
        return "; ".join(rows)


def wait(process, began):
    """(exit status, what it used) of a process, with its children's: the largest of them counts."""
    session = Session(process.pid)
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        session.look()
        if time.monotonic() > began + SECONDS + session.lost:
            doing = session.told()
            os.killpg(process.pid, signal.SIGKILL)
            usage = os.wait4(process.pid, 0)[2]
            process.returncode = -signal.SIGKILL
            raise Failed("it did not end within %d s, and %.0f s of waiting for a processor; its own processor time was "
                         "%.1f s: %s" % (SECONDS, session.lost, usage.ru_utime + usage.ru_stime, doing))
        time.sleep(0.002)


def once(command, folder, env, feed=""):
    """Runs a program that ends by itself. Its result: what it wrote on stdout, hashed."""
    with open(os.path.join(folder, "in"), "w+", encoding="utf-8") as stdin, \
            open(os.path.join(folder, "out"), "w+b") as out, open(os.path.join(folder, "err"), "w+b") as err:
        stdin.write(feed)
        stdin.flush()
        stdin.seek(0)
        began = time.monotonic()
        process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, env=env, cwd=folder, start_new_session=True)
        status, usage = wait(process, began)
        seconds = time.monotonic() - began
        out.seek(0)
        err.seek(0)
        told, result = err.read().decode("utf-8", "replace"), out.read()
    if status != 0:
        raise Failed("status %d: %s" % (status, told[-600:]))
    return Run(hashlib.sha256(result).hexdigest()[:16], usage, seconds, told)


def python3(folder, preload, weir):
    """Every object by malloc, and none by the interpreter's own arenas."""
    env = environment(preload, weir, PYTHONMALLOC="malloc")
    return once(["/usr/bin/python3", "-c", PYTHON_WORK, "tree"], folder, env)


def sqlite3(folder, preload, weir):
    return once(["sqlite3", "data.db"], folder, environment(preload, weir), SQL_WORK)


def gcc_source():
    """A C file that keeps an optimiser busy for a second or two."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    for i in range(250):
        lines.append("struct s%d { int a[%d]; char b[%d]; struct s%d *next; };" % (i, i % 13 + 1, i % 29 + 1, i))
        lines.append("static int f%d(struct s%d *p, int n) { int r = 0; for (int i = 0; i < n; i++) { switch (p->a[i %% %d]"
                     ") { case 1: r += i; break; case 2: r ^= p->b[i %% %d]; break; default: r = r * %d + n; } "
                     "if (r > 1000 && p->next) p = p->next; } return r; }" % (i, i, i % 13 + 1, i % 29 + 1, i + 3))
        lines.append("int g%d(struct s%d *p) { return f%d(p, 10) + f%d(p, 20); }" % (i, i, i, i))
    return "\n".join(lines)


def gcc(folder, preload, weir):
    with open(os.path.join(folder, "work.c"), "w", encoding="ascii") as f:
        f.write(gcc_source())
    run = once(["gcc", "-std=c11", "-O2", "-c", "work.c", "-o", "work.o"], folder, environment(preload, weir))
    with open(os.path.join(folder, "work.o"), "rb") as f:
        run.result = hashlib.sha256(f.read()).hexdigest()[:16]
    return run


# ---- redis ----

def resp(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Redis:
    """One connection: requests go out in batches, replies are read as lines and bulks."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def reply(self):
        line = self.file.readline()
        if line[:1] == b"-":
            raise Failed("redis: %s" % line.decode("utf-8", "replace"))
        if line[:1] == b"$" and int(line[1:]) >= 0:
            return self.file.read(int(line[1:]) + 2)
        if line[:1] == b"*":
            return b"".join(self.reply() for _ in range(int(line[1:])))
        return line

    def batch(self, requests):
        self.socket.sendall(b"".join(requests))
        return [self.reply() for _ in requests]

    def close(self):
        self.file.close()
        self.socket.close()


def redis_value(i):
    return hashlib.sha256(b"%d" % i).hexdigest().encode() * (1 + i % 9)


def redis_work(path):
    """Sets, overwrites, removes, appends; hashes and lists; then everything is read."""
    redis, h, step = Redis(path), hashlib.sha256(), 500
    for begin in range(0, REDIS_KEYS, step):
        redis.batch([resp("SET", "key:%d" % i, redis_value(i)) for i in range(begin, begin + step)])
        redis.batch([resp("HSET", "hash:%d" % (i % 97), "field%d" % i, i) for i in range(begin, begin + step)])
        redis.batch([resp("DEL", "key:%d" % i) for i in range(begin, begin + step, 3)])
        redis.batch([resp("APPEND", "key:%d" % i, redis_value(i + 1)) for i in range(begin, begin + step, 7)])
        redis.batch([resp("LPUSH", "list:%d" % (i % 13), redis_value(i)) for i in range(begin, begin + step, 11)])
    for begin in range(0, REDIS_KEYS, step):
        for reply in redis.batch([resp("GET", "key:%d" % i) for i in range(begin, begin + step)]):
            h.update(reply)
    for i in range(13):
        h.update(redis.batch([resp("LRANGE", "list:%d" % i, 0, -1)])[0])
    for reply in redis.batch([resp("HGET", "hash:%d" % (i % 97), "field%d" % i) for i in range(0, REDIS_KEYS, 5)]):
        h.update(reply)
    h.update(redis.batch([resp("DBSIZE")])[0])
    redis.close()
    return h.hexdigest()[:16]


def redis_server(folder, preload, weir):
    """glibc's row preloads libc itself, since the distribution's server is linked to jemalloc."""
    path = os.path.join(folder, "s")
    env = environment(preload or library("libc.so.6"), weir)
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no", "--daemonize",
               "no", "--dir", folder]
    with open(os.path.join(folder, "err"), "w+b") as err, open(os.path.join(folder, "out"), "wb") as out:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=env, cwd=folder, start_new_session=True)
        try:
            while not os.path.exists(path) and process.poll() is None and time.monotonic() < began + 30:
                time.sleep(0.005)
            result = redis_work(path)
        except OSError as error:
            process.kill()
            process.wait()
            raise Failed("redis-server: %s" % error) from None
        process.send_signal(signal.SIGTERM)
        status, usage = wait(process, began)
        seconds = time.monotonic() - began
        err.seek(0)
        told = err.read().decode("utf-8", "replace")
    if status != 0:
        raise Failed("redis-server ended with %d: %s" % (status, told[-600:]))
    return Run(result, usage, seconds, told)


# ---- all of them ----

PROGRAMS = {"python3": python3, "sqlite3": sqlite3, "gcc": gcc, "redis-server": redis_server}


def measured(work, name, preload, weir, runs):
    """The run with the least processor time of so many, all with the same result."""
    best = None
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="m") as folder: # short: a socket's path lies in it
            run = work(folder, preload, weir)
        if best and run.result != best.result:
            raise Failed("%s: two runs with one library differ" % name)
        best = run if best is None or run.cpu < best.cpu else best
    return best


def counts(told):
    """The library's own lines: (processes, their smallest count of requests, refusals, wrong addresses)."""
    rows = [dict(word.split("=") for word in line.split()[1:]) for line in told.splitlines()
            if line.startswith("libweir-malloc: allocs=")]
    allocs = [int(row["allocs"]) for row in rows]
    return len(rows), max(allocs or [0]), sum(int(r["failures"]) for r in rows), sum(int(r["bad_frees"]) for r in rows)


def compare(report, name, libraries, runs):
    work, base, weir = PROGRAMS[name], None, None
    for peer, path in libraries.items():
        try:
            run = measured(work, name, path, peer == "weir", runs)
        except Failed as error:
            if peer in ("glibc", "weir"):
                report.show("%s with %s" % (name, peer), False, str(error))
                return
            print("      %s with %s: %s" % (name, peer, error))
            continue
        base, weir = (run, weir) if peer == "glibc" else (base, run if peer == "weir" else weir)
        print("      %-12s %-9s %7.3f s of processor %7.3f s %9d KiB   x%.2f time x%.2f memory of glibc's" %
              (name, peer, run.cpu, run.seconds, run.kib, run.cpu / max(base.cpu, 1e-9), run.kib / base.kib), flush=True)
    report.show(name, weir.result == base.result, "%s, and %s with glibc" % (weir.result, base.result))
    processes, allocs, failures, wrong = counts(weir.told)
    report.show(name + "'s requests", processes > 0 and allocs > 1000 and failures == 0 and wrong == 0,
                "%d processes, at most %d requests in one, %d refused, %d wrong addresses" %
                (processes, allocs, failures, wrong))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", required=True, help="libweir-malloc.so")
    parser.add_argument("--runs", type=int, default=1, help="of each program with each library")
    parser.add_argument("--peers", type=int, default=1, help="0: glibc and Weir only")
    parser.add_argument("name", nargs="*", help="programs: all of them")
    options = parser.parse_args()
    libraries = {"glibc": None, "weir": os.path.abspath(options.library)}
    for peer, name in PEERS.items() if options.peers else ():
        if library(name):
            libraries[peer] = library(name)
        else:
            print("      %s: skipped, %s is not installed" % (peer, name))
    report, ran = Report(), 0
    for name in options.name or PROGRAMS:
        if not shutil.which("/usr/bin/python3" if name == "python3" else name):
            print("skipped: %s is not installed" % name)
            continue
        compare(report, name, libraries, options.runs)
        ran += 1
    if ran == 0:
        print("skipped: none of the programs is installed")
        return 77
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
