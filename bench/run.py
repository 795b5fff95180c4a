#!/usr/bin/env python3
"""Sealift beside its peers on the same data in one run:  python3 bench/run.py path/to/sealift [--quick] [--rows large,small]

Makes stores in the real format in a scratch folder, runs every contender of a row in turn, N times, and prints medians, ratios and peak
memory in one table. Every run starts from the same state for everybody: source and target read through (--cache warm) or all caches
dropped (--cache drop, needs root), nothing unwritten left. Writes the figures as JSON; --markdown writes the page docs/performance.md.

Rows: large, small, noop, new, million, plakar. A peer that is missing, or too little room, is a line that says so, never a silent gap.
Standard library only.
"""
import argparse, contextlib, dataclasses, datetime, json, mmap, os, platform, shutil, signal, statistics, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scripts"))
sys.dont_write_bytecode = True
import makestore  # noqa: E402

GIB, MIB = 1 << 30, 1 << 20
# A run that takes longer is hung: the slowest peer seen (rclone, 100,000 files) takes half a minute.
TIMEOUT = 1800


@dataclasses.dataclass
class Contender:
    name: str
    command: list          # "{source}" and "{target}" are replaced
    env: dict = dataclasses.field(default_factory=dict)
    is_sealift: bool = False


@dataclasses.dataclass
class Judgement:
    text: str              # as the table's column "to reach" says it
    sealift: str           # contender's name
    peer: str
    limit: float           # sealift / peer at most

    def of(self, medians):
        mine, theirs = medians.get(self.sealift), medians.get(self.peer)
        if mine is None or theirs is None:
            return {"to_reach": self.text, "ratio": None, "reached": None}
        ratio = mine / theirs
        return {"to_reach": self.text, "ratio": ratio, "reached": ratio <= self.limit}


class Failed(Exception):
    pass


def run(command, env, log):
    """Seconds and peak memory in bytes, children included. Raises Failed."""
    measured = log + ".measured"
    with contextlib.suppress(FileNotFoundError):
        os.remove(measured)
    launcher = [sys.executable, "-I", "-S", os.path.join(HERE, "measure.py"), measured, *command]
    with open(log, "wb") as out:
        group = subprocess.Popen(launcher, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            group.wait(timeout=TIMEOUT)
        except BaseException as reason:
            os.killpg(group.pid, signal.SIGKILL)
            group.wait()
            if isinstance(reason, subprocess.TimeoutExpired):
                raise Failed(f"no end after {TIMEOUT} s") from None
            raise
    status, seconds, peak = "no result", "0", "0"
    with contextlib.suppress(OSError), open(measured) as result:
        status, seconds, peak = result.read().split()
    if status != "0":
        with open(log, "rb") as text:
            tail = text.read()[-300:].decode(errors="replace").strip().replace("\n", " | ")
        raise Failed(f"exit {status}: {tail}")
    return float(seconds), int(peak)


def read_through(folder, contents):
    """Names, sizes and, when asked, bytes of everything below into the cache. Not what Sealift keeps for itself."""
    if not os.path.isdir(folder):
        return
    for base, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            os.stat(path)
            if contents:
                with open(path, "rb", buffering=0) as file:
                    while file.read(4 * MIB):
                        pass


# The most that a row writes, twice: the contender's page cache and what the kernel hands out beside it.
BACKED = 4 * GIB


def back_memory(byte_count):
    """Touches free memory just before a run. A virtual machine gives unused pages back to its host within seconds, and whoever touches them
    next pays for it (2 s a GiB were seen, six times the cost of the copy itself): without this the order of the contenders decides."""
    available = 0
    with open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) << 10
    # Cached files give way to it, the oldest first: what the row works on was read just now.
    size = min(byte_count, available // 4)
    if size > 0:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


class Bench:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.binary = os.path.abspath(args.binary)
        self.rows, self.notes, self.aside = [], [], 0
        self.base_env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "SEALIFT_", "PLAKAR_", "RCLONE_"))}
        self.base_env["HOME"] = self.path("home")
        os.makedirs(self.base_env["HOME"])

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def note(self, text):
        self.notes.append(text)
        print(f"note: {text}", file=sys.stderr, flush=True)

    def has_room(self, byte_count, row):
        free = shutil.disk_usage(self.scratch).free
        inodes = os.statvfs(self.scratch).f_favail
        if free > byte_count and (inodes == 0 or inodes > 4_000_000 or row != "million"):
            return True
        self.note(f"row {row} skipped: it needs {byte_count / GIB:.0f} GiB and the scratch folder has {free / GIB:.0f}; see --scratch")
        return False

    def settle(self, source, target, contents):
        os.sync()
        if self.args.cache == "drop":
            with open("/proc/sys/vm/drop_caches", "w") as file:
                file.write("3\n")
        else:
            read_through(source, contents)
            read_through(target, False)
        if contents:
            back_memory(BACKED)

    def sealift(self, *options, name="sealift"):
        words = [self.binary, "sync", "{source}", "{target}", "--quiet", *options]
        return Contender(name, words, is_sealift=True)

    def peer(self, name, command, tool=None):
        tool = tool or command[0]
        if shutil.which(tool) is None:
            self.note(f"{name}: no {tool} on this machine (apt-get install {tool})")
            return None
        return Contender(name, command)

    def target(self, row, contender):
        return self.path(row, "target-" + contender.name.replace(" ", "-").replace("+", "and"))

    def once(self, row, contender, source):
        target = self.target(row, contender)
        env = dict(self.base_env, SEALIFT_STATE=target + ".state", **contender.env)
        words = [w.replace("{source}", source).replace("{target}", target) for w in contender.command]
        return run(words, env, self.path("output.log"))

    def rounds(self, row, contenders, source, before_round=None, fresh=False, contents=False):
        """Measures each contender N times, in another order each round. `fresh`: with no target there."""
        contenders = [c for c in contenders if c]
        times, peaks, failed = {c.name: [] for c in contenders}, {}, {}
        for n in range(self.args.rounds):
            if before_round:
                before_round(n)
            shift = n % len(contenders)
            for contender in contenders[shift:] + contenders[:shift]:
                if contender.name in failed:
                    continue
                if fresh:
                    self.forget(row, contender)
                self.settle(source, self.target(row, contender), contents)
                try:
                    seconds, peak = self.once(row, contender, source)
                except (Failed, OSError) as problem:
                    failed[contender.name] = str(problem)
                    self.note(f"{row}: {contender.name} failed: {problem}")
                    continue
                times[contender.name].append(seconds)
                peaks[contender.name] = max(peak, peaks.get(contender.name, 0))
                print(f"  {row:8} {contender.name:18} round {n + 1}: {seconds:9.3f} s {peak / MIB:7.0f} MiB", file=sys.stderr, flush=True)
        return times, peaks, failed

    def forget(self, row, contender):
        """Many small files are moved aside until the row is done, not deleted: ext4 passes over inodes that were freed in the last
        minutes, and whoever creates files next would pay for it, up to ten times (seen with every contender)."""
        for path in (self.target(row, contender), self.target(row, contender) + ".state"):
            if row == "small" and os.path.exists(path):
                self.aside += 1
                os.rename(path, f"{path}.old-{self.aside}")
            else:
                shutil.rmtree(path, ignore_errors=True)

    def record(self, title, measured, judgements):
        times, peaks, failed = measured
        medians = {name: statistics.median(t) for name, t in times.items() if t and name not in failed}
        self.rows.append({
            "work": title,
            "contenders": [{"name": name, "seconds": t, "median": medians.get(name), "peak_memory_bytes": peaks.get(name),
                            "failed": failed.get(name)} for name, t in times.items()],
            "judgements": [j.of(medians) for j in judgements]})
        return medians

    # ---- rows ----------------------------------------------------------------------------------------------------------------

    def large(self):
        if not self.has_room(12 * GIB, "large"):
            return
        source = makestore.add(self.path("large", "source"), 64, 32 * MIB, 4, seed=1)
        contenders = [
            self.peer("cp + sync", ["sh", "-c", 'cp -a "$1" "$2" && sync', "cp", "{source}", "{target}"], tool="cp"),
            self.peer("rclone copy", ["rclone", "copy", "--config", "/dev/null", "{source}", "{target}"]),
            self.sealift("--verify", "none", name="sealift none"),
            self.sealift(name="sealift"),
        ]
        measured = self.rounds("large", contenders, source, fresh=True, contents=True)
        self.record("first copy of 64 × 32 MiB, durable", measured, [
            Judgement("--verify none ≤ 1.6 × cp + sync", "sealift none", "cp + sync", 1.6),
            Judgement("--verify none ≥ 2.5 × faster than rclone", "sealift none", "rclone copy", 1 / 2.5)])

    def hundred_thousand(self, wanted):
        """small, noop and new share one store of 100,000 packfiles of 4 KiB."""
        if not self.has_room(4 * GIB, "small"):
            return
        source = makestore.add(self.path("small", "source"), 100_000, 4096, 16, seed=2)
        rsync = self.peer("rsync -a", ["rsync", "-a", "{source}/", "{target}/"])
        sealift = self.sealift()
        peaks = []
        if "small" in wanted:
            measured = self.rounds("small", [rsync, sealift], source, fresh=True, contents=True)
            self.record("first copy of 100,000 × 4 KiB, durable (rsync syncs nothing)", measured,
                        [Judgement("≤ 1.0 × rsync -a", "sealift", "rsync -a", 1.0)])
            peaks.append(measured[1].get("sealift"))
        else:
            for contender in filter(None, (rsync, sealift)):
                with contextlib.suppress(Failed, OSError):
                    self.once("small", contender, source)
        if "noop" in wanted:
            measured = self.rounds("small", [rsync, sealift], source)
            self.noop = self.record("nothing new of 100,000", measured, [Judgement("≤ 0.5 × rsync -a", "sealift", "rsync -a", 0.5)])
            peaks.append(measured[1].get("sealift"))
        if "new" in wanted:
            grow = lambda n: makestore.add(source, 1000, 4096, 1, seed=100 + n)
            measured = self.rounds("small", [rsync, sealift], source, before_round=grow, contents=True)
            self.record("1 % new of 100,000", measured, [Judgement("≤ 0.5 × rsync -a", "sealift", "rsync -a", 0.5)])
        self.memory("peak memory at 100,000 resources", peaks, 64)

    def million(self):
        # 1 KiB each: what is measured here is names, and a file takes one block of 4 KiB anyway.
        if not self.has_room(16 * GIB, "million"):
            return
        source = makestore.add(self.path("million", "source"), 1_000_000, 1024, 16, seed=3)
        rsync = self.peer("rsync -a", ["rsync", "-a", "{source}/", "{target}/"])
        sealift = self.sealift()
        peaks = []
        for contender in filter(None, (rsync, sealift)):
            try:
                seconds, peak = self.once("million", contender, source)
            except (Failed, OSError) as problem:
                self.note(f"million: {contender.name} failed: {problem}")
                continue
            print(f"  million  {contender.name:18} first copy: {seconds:7.1f} s {peak / MIB:7.0f} MiB", file=sys.stderr, flush=True)
            if contender.is_sealift:
                peaks.append(peak)
        measured = self.rounds("million", [rsync, sealift], source)
        medians = self.record("nothing new of 1,000,000", measured, [Judgement("≤ 0.5 × rsync -a", "sealift", "rsync -a", 0.5)])
        few, many = getattr(self, "noop", {}).get("sealift"), medians.get("sealift")
        if few and many:
            self.rows[-1]["judgements"].append(
                {"to_reach": "≤ 10 × the time at 100,000", "ratio": many / few, "reached": many / few <= 10})
        peaks.append(measured[1].get("sealift"))
        self.memory("peak memory at 1,000,000 resources", peaks, 96)

    def memory(self, title, peaks, limit):
        peaks = [p for p in peaks if p]
        peak = max(peaks) if peaks else None
        self.rows.append({
            "work": title, "contenders": [{"name": "sealift", "seconds": [], "median": None, "peak_memory_bytes": peak, "failed": None}],
            "judgements": [{"to_reach": f"≤ {limit} MiB", "ratio": None, "reached": peak is not None and peak <= limit * MIB if peak else None}]})

    def plakar(self):
        if not self.has_room(6 * GIB, "plakar"):
            return
        tool = find_plakar()
        if tool is None:
            self.note("row plakar skipped: no plakar in $PLAKAR, PATH or ../shared/tools/plakar")
            return
        # The test wrapper unpacks the program and starts it twice per call: measure the program itself.
        env = {"PLAKAR_TOOL": self.path("plakar-tool"), "PLAKAR_HOME": self.path("plakar-tool", "home"), "PLAKAR_LOCKLESS": "1",
               "PLAKAR_PASSPHRASE": "a scratch store of the benchmark 1", "XDG_CACHE_HOME": self.path("plakar-cache")}
        full = dict(self.base_env, **env)
        subprocess.run([tool, "version"], env=full, stdin=subprocess.DEVNULL, capture_output=True)
        unpacked = self.path("plakar-tool", "plakar")
        if os.access(unpacked, os.X_OK):
            tool, full["HOME"], env["HOME"] = unpacked, env["PLAKAR_HOME"], env["PLAKAR_HOME"]
        source, data = self.path("plakar", "source"), self.path("plakar", "data")

        def plakar(*words):
            done = subprocess.run([tool, *words], env=full, stdin=subprocess.DEVNULL, capture_output=True, text=True)
            if done.returncode != 0:
                raise Failed(f"plakar {words}: exit {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
        try:
            os.makedirs(data)
            for i in range(16):
                with open(os.path.join(data, f"{i:02d}"), "wb") as file:
                    file.write(os.urandom(64 * MIB - 64 * 1024))
            plakar("at", source, "create")
            plakar("at", source, "backup", data)
            shutil.rmtree(data)
            peer = Contender("plakar sync", [tool, "at", "{source}", "sync", "to", "@target"], env)
            target = self.target("plakar", peer)
            plakar("store", "add", "target", f"location={target}", f"passphrase={env['PLAKAR_PASSPHRASE']}")
        except (Failed, OSError) as problem:
            self.note(f"row plakar skipped: {problem}")
            return
        forget = self.forget

        def anew(row, contender):
            forget(row, contender)
            if contender is peer:
                plakar("at", target, "create")
        self.forget = anew
        found = sum(len(names) for _, _, names in os.walk(os.path.join(source, "packfiles")))
        sealift = self.sealift()
        for title, fresh, factor in ((f"1 GiB in {found} packfiles of plakar: first copy", True, 10), ("the same: nothing new", False, 50)):
            measured = self.rounds("plakar", [peer, sealift], source, fresh=fresh, contents=fresh)
            self.record(title, measured, [Judgement(f"≥ {factor} × faster than plakar sync", "sealift", "plakar sync", 1 / factor)])
        self.forget = forget

    def all(self, wanted):
        for name, row in (("large", self.large), ("plakar", self.plakar), ("small", None), ("million", self.million)):
            chosen = {"small", "noop", "new"} & wanted if row is None else {name} & wanted
            if not chosen:
                continue
            try:
                self.hundred_thousand(chosen) if row is None else row()
            finally:
                shutil.rmtree(self.path(name), ignore_errors=True)


def find_plakar():
    shared = os.path.join(HERE, "..", "..", "shared", "tools", "plakar", "plakar")
    for tool in (os.environ.get("PLAKAR"), shutil.which("plakar"), os.path.abspath(shared)):
        if tool and os.access(tool, os.X_OK):
            return tool
    return None


def machine(scratch):
    """What a reader needs to compare with another machine."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal")) / (1 << 20)
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()["PRETTY_NAME"]
    kind = subprocess.run(["stat", "-f", "-c", "%T", scratch], capture_output=True, text=True).stdout.strip()
    versions = []
    for tool in ("rsync", "rclone"):
        if shutil.which(tool):
            first = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout.split("\n")[0]
            versions.append(" ".join(first.split("  protocol")[0].split()))
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "sha_extensions": " sha_ni " in open("/proc/cpuinfo").read(),
            "memory_gib": round(memory, 1), "kernel": platform.release(), "system": release, "file_system": kind, "peers": versions}


def seconds(value):
    return "–" if value is None else f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def table(rows):
    yield ("work", "seconds (median)", "peak memory", "to reach", "ratio", "reached")
    for row in rows:
        times = ", ".join(f"{c['name']} {'failed' if c['failed'] else seconds(c['median'])}" for c in row["contenders"] if c["seconds"] or c["failed"])
        peak = next((c["peak_memory_bytes"] for c in row["contenders"] if c["name"].startswith("sealift") and c["peak_memory_bytes"]), None)
        for i, j in enumerate(row["judgements"]):
            yield (row["work"] if i == 0 else "", (times or "–") if i == 0 else "", (f"{peak / MIB:.0f} MiB" if peak else "–") if i == 0 else "",
                   j["to_reach"], f"{j['ratio']:.2f}" if j["ratio"] is not None else "–",
                   "not measured" if j["reached"] is None else "yes" if j["reached"] else "NO")


def plain(rows):
    lines = list(table(rows))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)


def markdown(result):
    m = result["machine"]
    out = ["# Performance", "",
           "Written by `make bench BENCH='--markdown docs/performance.md'`. Every line compares contenders on the same data in one run; a ratio is",
           "Sealift's median divided by the peer's, so smaller is better. Peak memory is the process's highest resident size.", "",
           f"Measured on {result['date']}, {result['rounds']} rounds, caches {'warm' if result['cache'] == 'warm' else 'dropped'}: {m['cpu']}, {m['cores']} cores"
           f"{' with SHA extensions' if m['sha_extensions'] else ''}, {m['memory_gib']} GiB of memory (touched before each copy, so that a virtual machine's"
           f" host has it at hand for everybody), {m['file_system']}, Linux {m['kernel']}, {m['system']}."
           f" Peers: {', '.join(m['peers']) or 'none'}.", ""]
    lines = list(table(result["rows"]))
    out += ["| " + " | ".join(lines[0]) + " |", "|" + "---|" * len(lines[0])]
    out += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines[1:]]
    if result["notes"]:
        out += ["", "Notes of the run:", ""] + [f"- {n}" for n in result["notes"]]
    return "\n".join(out) + "\n"


ROWS = ("large", "small", "noop", "new", "million", "plakar")


def main():
    parser = argparse.ArgumentParser(description="Sealift beside its peers")
    parser.add_argument("binary", help="a built sealift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round, and no million")
    parser.add_argument("--rows", default="", help="of " + ",".join(ROWS))
    parser.add_argument("--cache", choices=("warm", "drop"), default="warm")
    parser.add_argument("--scratch", help="a folder on the disk to measure (default: the temporary directory)")
    parser.add_argument("--json", default="bench/results.json", help="where the figures go")
    parser.add_argument("--markdown", help="also write the page")
    args = parser.parse_args()
    if args.quick:
        args.rounds = 1
    wanted = set(filter(None, args.rows.split(","))) or set(ROWS) - ({"million"} if args.quick else set())
    if wanted - set(ROWS):
        parser.error(f"no row {', '.join(sorted(wanted - set(ROWS)))}; there are {', '.join(ROWS)}")
    if args.cache == "drop" and not os.access("/proc/sys/vm/drop_caches", os.W_OK):
        parser.error("--cache drop needs root")
    if not os.access(args.binary, os.X_OK):
        parser.error(f"{args.binary} is no program; make release builds it")
    scratch = tempfile.mkdtemp(prefix="sealift-bench-", dir=args.scratch)
    try:
        bench = Bench(args, scratch)
        bench.all(wanted)
        result = {"date": datetime.date.today().isoformat(), "rounds": args.rounds, "cache": args.cache, "machine": machine(scratch),
                  "rows": bench.rows, "notes": bench.notes}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with open(args.json, "w") as out:
        json.dump(result, out, indent=2, ensure_ascii=False)
        out.write("\n")
    if args.markdown:
        behind = ""
        with contextlib.suppress(FileNotFoundError), open(args.markdown) as page:
            old = page.read()
            at = old.find("\n## ")  # sections of the other benchmarks
            behind = old[at:] if at >= 0 else ""
        with open(args.markdown, "w") as out:
            out.write(markdown(result) + behind)
    print(plain(result["rows"]))
    for text in result["notes"]:
        print("note: " + text)
    return 0 if all(j["reached"] for row in bench.rows for j in row["judgements"]) else 1


if __name__ == "__main__":
    sys.exit(main())
