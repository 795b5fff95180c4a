#!/usr/bin/env python3
"""Sealift over SFTP beside its peers on the same data in one run:  python3 bench/sftp.py path/to/sealift [--quick] [--rows put,get]

Starts an sshd of its own on loopback, with keys and a configuration in a scratch folder and the account that runs this, and a line of 20 ms and
1 Gbit/s in front of it (bench/link.py). Everybody logs in with the same key and aes128-gcm. The table is that of bench/run.py; rows are
judged with everything synced, and the figures without are beside: an sshd that offers no fsync, rsync and sftp without theirs.

Rows: put, get, put20, get20, list20, small, small20, noop. Several runs can make up one table: --add keeps the rows that the JSON file has
already, and --markdown writes all of them into a page's section. Standard library only.
"""
import argparse, datetime, getpass, json, os, shutil, signal, socket, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from run import Bench, Contender, GIB, Judgement, MIB, machine, makestore, plain, table  # noqa: E402

ROUND_TRIP, RATE = 20, 125_000_000  # milliseconds; 1 Gbit/s in bytes
ROWS = ("put", "get", "put20", "get20", "list20", "small", "small20", "noop")


PEAKS = "peak memory of all rows"
HEADING = "## SFTP"


def added(old, new):
    """Rows of an earlier run, those that were measured again replaced; the peak is that of both."""
    titles = {row["work"] for row in new}
    peaks = [row for row in old + new if row["work"] == PEAKS]
    rows = [row for row in old if row["work"] not in titles | {PEAKS}] + [row for row in new if row["work"] != PEAKS]
    return rows + [max(peaks, key=lambda row: row["contenders"][0]["peak_memory_bytes"] or 0)] if peaks else rows


def section(result):
    m = result["machine"]
    lines = list(table(result["rows"]))
    out = [HEADING, "",
           "Written by `make bench-sftp BENCH='--markdown docs/performance.md'`: an sshd of its own on loopback, and in front of it a line of"
           f" {result['link']['round_trip_ms']} ms there and back and {result['link']['bytes_per_second'] * 8 // 10**9} Gbit/s (bench/link.py, on the same two cores as everybody"
           " else). Login and all is in each figure.", "",
           f"Measured on {result['date']}, {result['rounds']} round{'s' if result['rounds'] > 1 else ''}, caches warm: {m['cpu']}, {m['cores']} cores, {m['file_system']},"
           f" Linux {m['kernel']}, {m['system']}. Peers: {', '.join(m['peers']) or 'none'}.", "",
           "| " + " | ".join(lines[0]) + " |", "|" + "---|" * len(lines[0])]
    out += ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines[1:]]
    if result["notes"]:
        out += ["", "Notes of the run:", ""] + [f"- {n}" for n in result["notes"]]
    return "\n".join(out) + "\n"


def replace_section(path, text):
    """Puts the table in place of the page's old one; what is written behind `### ` in that section stays."""
    with open(path) as page:
        old = page.read()
    begin = old.find(HEADING + "\n")
    if begin < 0:
        before, behind = old.rstrip("\n") + "\n\n", ""
    else:
        ends = [at for at in (old.find("\n## ", begin + 1), old.find("\n### ", begin + 1)) if at >= 0]
        before, behind = old[:begin], old[min(ends):] if ends else ""
    with open(path, "w") as page:
        page.write(before + text + behind)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """An sshd for this account, the same without fsync, and long links to both."""

    def __init__(self, folder):
        os.makedirs(folder, 0o700)
        self.folder, self.children = folder, []
        for name in ("host", "client"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)], check=True)
        shutil.copy(self.path("client.pub"), self.path("authorized"))
        self.user = getpass.getuser()
        sshd = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if sshd is None:
            sys.exit("no sshd on this machine (apt-get install openssh-server)")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.ports = {}
        for name, subsystem in (("synced", "internal-sftp"), ("unsynced", "internal-sftp -P fsync")):
            port = self.ports[name] = free_port()
            with open(self.path(f"sshd_{name}"), "w") as out:
                out.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.path('host')}\nPidFile none\nStrictModes no\nUsePAM no\n"
                          f"AuthorizedKeysFile {self.path('authorized')}\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
                          f"KbdInteractiveAuthentication no\nMaxStartups 100\nUseDNS no\nLogLevel ERROR\nSubsystem sftp {subsystem}\n")
            self.start(sshd, "-D", "-e", "-f", self.path(f"sshd_{name}"))
            far = self.ports[name + "20"] = free_port()
            self.start(sys.executable, os.path.join(HERE, "link.py"), str(far), str(port), "--delay", str(ROUND_TRIP / 2), "--rate", str(RATE))
        with open(self.path("host.pub")) as key, open(self.path("known_hosts"), "w") as known:
            words = " ".join(key.read().split()[:2])
            known.writelines(f"[127.0.0.1]:{port} {words}\n" for port in self.ports.values())
        for port in self.ports.values():
            self.await_port(port)
        # One configuration for everybody who uses ssh.
        with open(self.path("ssh_config"), "w") as out:
            out.write(f"IdentityFile {self.path('client')}\nIdentitiesOnly yes\nUserKnownHostsFile {self.path('known_hosts')}\n"
                      f"User {self.user}\nCiphers aes128-gcm@openssh.com\nBatchMode yes\nCompression no\n")
        with open(self.path("ssh"), "w") as out:
            out.write(f'#!/bin/sh\nexec ssh -F {self.path("ssh_config")} "$@"\n')
        os.chmod(self.path("ssh"), 0o700)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *command):
        with open(self.path("log"), "ab") as log:
            self.children.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def await_port(self, port):
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        sys.exit("the server did not start: " + open(self.path("log")).read()[-500:])

    def stop(self):
        for child in self.children:
            child.terminate()
            child.wait()


class SFTPBench(Bench):
    def __init__(self, args, scratch):
        super().__init__(args, scratch)
        self.server = Server(self.path("server"))
        self.base_env["SEALIFT_SSH"] = self.server.path("ssh")

    def target(self, row, contender):
        return self.path(row, "target-" + "".join(c if c.isalnum() else "-" for c in contender.name))

    # ---- contenders: {source} and {target} are paths of this machine, which the server shares ----------------------------------

    def far(self, word, kind):
        return f"sftp://127.0.0.1:{self.server.ports[kind]}" + word

    def ours(self, name, upward, link, *options, synced=True):
        kind = ("synced" if synced else "unsynced") + link
        words = ("{source}", self.far("{target}", kind)) if upward else (self.far("{source}", kind), "{target}")
        return Contender(name, [self.binary, "sync", *words, "--quiet", *options], is_sealift=True)

    def sftp(self, upward, link, synced):
        """`-f` syncs each file, uploads only where the server can."""
        # Over a long line the large file alone: it makes folders one by one, and a store has 512.
        source = "{source}/packfiles/*/*" if link else "{source}"
        verb = f"{'put' if upward else 'get'} -{'' if link else 'R'}p{'f' if synced else ''} {source} {{target}}"
        port = self.server.ports["synced" + link]
        script = ("mkdir -p {target} && " if link else "") + f'printf "%s\\n" "{verb}" | sftp -q -B 261120 -R 64 -S {self.server.path("ssh")} -P {port} -b - 127.0.0.1'
        return self.peer("sftp -f" if synced else "sftp", ["sh", "-c", script], tool="sftp")

    def rsync(self, upward, link, synced):
        shell = f"{self.server.path('ssh')} -p {self.server.ports['synced' + link]}"
        ends = ["{source}/", "127.0.0.1:{target}/"] if upward else ["127.0.0.1:{source}/", "{target}/"]
        return self.peer("rsync --fsync" if synced else "rsync", ["rsync", "-a", *(["--fsync"] if synced else []), "-e", shell, *ends], tool="rsync")

    def rclone(self, upward, link, synced, verb="copy"):
        """Has no fsync: with everything synced, a sync of the whole machine stands behind it."""
        far = (f":sftp,host=127.0.0.1,port={self.server.ports['synced' + link]},user={self.server.user},key_file={self.server.path('client')},"
               f"known_hosts_file={self.server.path('known_hosts')},shell_type=none:")
        ends = f"'{{source}}' '{far}{{target}}'" if upward else f"'{far}{{source}}' '{{target}}'"
        if verb == "lsf":
            return self.peer("rclone lsf -R", ["sh", "-c", f"rclone lsf -R --config /dev/null '{far}{{source}}' >/dev/null"], tool="rclone")
        tail = " && sync" if synced else ""
        return self.peer("rclone + sync" if synced else "rclone", ["sh", "-c", f"rclone copy --config /dev/null {ends}{tail}"], tool="rclone")

    # ---- rows ----------------------------------------------------------------------------------------------------------------

    def transfer(self, row, title, source, upward, link, judge, contents=True, tools=None):
        """First copies: peers with and without syncing, Sealift likewise."""
        tools = tools or (self.sftp, self.rsync, self.rclone)
        contenders = [tool(upward, link, synced) for synced in (True, False) for tool in tools if not (link and tool != self.rsync and not synced)]
        contenders += [self.ours("sealift none", upward, link, "--verify", "none"), self.ours("sealift", upward, link)]
        if upward:
            contenders.append(self.ours("sealift none, unsynced", upward, link, "--verify", "none", synced=False))
        measured = self.rounds(row, contenders, source, fresh=True, contents=contents)
        medians = self.record(title, measured, [])
        self.rows[-1]["judgements"] = [j.of(medians) for j in judge(medians)]
        self.peaks.append(max((p for n, p in measured[1].items() if n.startswith("sealift")), default=None))

    @staticmethod
    def best(medians, synced):
        """The name of the fastest peer; None without any."""
        names = [n for n in medians if n in ("sftp -f", "rsync --fsync", "rclone + sync", "sftp", "rsync", "rclone") and (" " in n) == synced]
        return min(names, key=medians.get, default="")

    def against_best(self, factor):
        def judge(medians):
            best, bare = self.best(medians, True), self.best(medians, False)
            yield Judgement(f"≥ {factor} × the best peer, synced ({best})", "sealift none", best, 1 / factor)
            if "sealift none, unsynced" in medians:
                yield Judgement(f"beside it, nothing synced ({bare})", "sealift none, unsynced", bare, 1 / factor)
        return judge

    def against_link(self, byte_count):
        def judge(medians):
            for peer in ("rclone + sync", "sftp -f"):
                yield Judgement(f"≥ 1.2 × {peer}", "sealift none", peer, 1 / 1.2)
            medians["0.9 of the link"] = byte_count / RATE / 0.9
            yield Judgement("≥ 0.9 of the link", "sealift none", "0.9 of the link", 1)
        return judge

    def large(self, wanted):
        count = 12 if self.args.quick else 50
        source = makestore.add(self.path("large", "source"), count, 16 * MIB, 1, seed=1)
        for row in ("put", "get"):
            if row in wanted:
                self.transfer("large", f"{row} {count} × 16 MiB, loopback", source, row == "put", "", self.against_best(1.0))

    def far_away(self, wanted):
        big = 256 if self.args.quick else 1024
        for size in (16, big):
            source = makestore.add(self.path("far", f"source-{size}"), 1, size * MIB, 1, seed=size)
            for row in ("put", "get"):
                if row + "20" in wanted:
                    self.transfer("far", f"{row} {size} MiB at {ROUND_TRIP} ms", source, row == "put", "20", self.against_link(size * MIB))

    def small(self, wanted):
        count = 1000 if self.args.quick else 10_000
        source = makestore.add(self.path("small", "source"), count, 4096, 4, seed=2)
        for row, link in (("small", ""), ("small20", "20")):
            if row not in wanted:
                continue

            def judge(medians, link=link):
                for synced, mine in ((True, "sealift none"), (False, "sealift none, unsynced")):
                    suffix = "synced" if synced else "nothing synced"
                    if synced or not link:
                        yield Judgement(f"≥ 1.5 × rclone, {suffix}", mine, "rclone + sync" if synced else "rclone", 1 / 1.5)
                    yield Judgement(f"≥ 1.0 × rsync, {suffix}", mine, "rsync --fsync" if synced else "rsync", 1.0)
            self.transfer("small", f"put {count} × 4 KiB, {'20 ms' if link else 'loopback'}", source, True, link, judge, tools=(self.rsync, self.rclone))

    def many(self, wanted):
        """A listing and a run with nothing to do, of one store."""
        count = 10_000 if self.args.quick else 100_000
        source = makestore.add(self.path("many", "source"), count, 64, 16, seed=3)
        if "list20" in wanted:
            inspect = Contender("sealift inspect", [self.binary, "inspect", self.far("{source}", "synced20")], is_sealift=True)
            measured = self.rounds("many", [inspect, self.rclone(True, "20", True, verb="lsf")], source)
            title = f"inspect, which lists 512 buckets of {count} at {ROUND_TRIP} ms"
            medians = self.record(title, measured, [Judgement("faster than rclone lsf -R", "sealift inspect", "rclone lsf -R", 1)])
            if "sealift inspect" in medians:
                medians["1 s"] = 1.0
                self.rows[-1]["judgements"].append(Judgement("≤ 1 s, login and all", "sealift inspect", "1 s", 1).of(medians))
        if "noop" in wanted:
            for link in ("", "20"):
                ours, rsync = self.ours("sealift", True, link), self.rsync(True, link, False)
                for contender in filter(None, (ours, rsync)):
                    self.forget("many", contender)
                    self.once("many", Contender(contender.name, ["cp", "-a", "{source}", "{target}"]) if contender is rsync else
                              self.ours("sealift", True, "", synced=False), source)
                measured = self.rounds("many", [rsync, ours], source)
                self.record(f"nothing new of {count}, {'20 ms' if link else 'loopback'}", measured,
                            [Judgement("≤ 0.7 × rsync over ssh", "sealift", "rsync", 0.7)])
                self.peaks.append(measured[1].get("sealift"))

    def all(self, wanted):
        self.peaks = []
        groups = (("large", self.large, {"put", "get"}), ("far", self.far_away, {"put20", "get20"}),
                  ("small", self.small, {"small", "small20"}), ("many", self.many, {"list20", "noop"}))
        for name, group, rows in groups:
            if wanted & rows:
                try:
                    if self.has_room(20 * GIB, name):
                        group(wanted)
                finally:
                    shutil.rmtree(self.path(name), ignore_errors=True)
        self.memory(PEAKS, self.peaks, 64)


def main():
    parser = argparse.ArgumentParser(description="Sealift over SFTP beside its peers")
    parser.add_argument("binary", help="a built sealift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of smaller rows")
    parser.add_argument("--rows", default="", help="of " + ",".join(ROWS))
    parser.add_argument("--scratch", help="a folder on the disk to measure (default: the temporary directory)")
    parser.add_argument("--json", default="bench/results-sftp.json", help="where the figures go")
    parser.add_argument("--add", action="store_true", help="keep the other rows that are in that file")
    parser.add_argument("--markdown", help="also write the section of this page")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    args.cache = "warm"
    if args.quick:
        args.rounds = 1
    wanted = set(filter(None, args.rows.split(","))) or set(ROWS)
    if wanted - set(ROWS):
        parser.error(f"no row {', '.join(sorted(wanted - set(ROWS)))}; there are {', '.join(ROWS)}")
    if not os.access(args.binary, os.X_OK):
        parser.error(f"{args.binary} is no program; make release builds it")
    scratch = tempfile.mkdtemp(prefix="sealift-bench-", dir=args.scratch)
    bench = None
    try:
        bench = SFTPBench(args, scratch)
        bench.all(wanted)
        result = {"date": datetime.date.today().isoformat(), "rounds": args.rounds, "cache": "warm", "machine": machine(scratch),
                  "link": {"round_trip_ms": ROUND_TRIP, "bytes_per_second": RATE}, "rows": bench.rows, "notes": bench.notes}
    finally:
        if bench:
            bench.server.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    if args.add and os.path.exists(args.json):
        with open(args.json) as earlier:
            before = json.load(earlier)
        result["rows"], result["notes"] = added(before["rows"], result["rows"]), before["notes"] + result["notes"]
        result["rounds"] = min(result["rounds"], before["rounds"])
    if args.markdown:
        replace_section(args.markdown, section(result))
    with open(args.json, "w") as out:
        json.dump(result, out, indent=2, ensure_ascii=False)
        out.write("\n")
    print(plain(result["rows"]))
    for text in result["notes"]:
        print("note: " + text)
    return 0 if all(j["reached"] for row in bench.rows for j in row["judgements"]) else 1


if __name__ == "__main__":
    sys.exit(main())
