#!/usr/bin/env python3
"""Sealift over S3 beside its peers on the same data in one run:  python3 bench/s3.py path/to/sealift [--quick] [--rows put,get]

Starts a radosgw of its own on loopback, its store in memory, anew before each first copy, and a line of 20 ms and 1 Gbit/s in front of it
(bench/link.py). The table is that of bench/run.py.

Rows: put, get, small, list, list20, noop20, large20. Standard library only.
"""
import argparse, datetime, json, os, shutil, signal, socket, subprocess, sys, tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from run import Bench, Contender, Failed, GIB, Judgement, MIB, machine, makestore, plain  # noqa: E402

PROJECT = os.path.dirname(HERE)
ROUND_TRIP, RATE = 20, 125_000_000  # milliseconds; 1 Gbit/s in bytes
ROWS = ("put", "get", "small", "list", "list20", "noop20", "large20")
BUCKET, KEY, SECRET = "bench", "testkey", "testsecret1"
# A memory store that is full hangs: one contender's objects, the row's largest, twice over.
STORE_BYTES = 6 * GIB


def free_block():
    """The first of a hundred ports that nobody uses: the server takes some above its own."""
    for port in range(21_000, 30_000, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0 and probe.connect_ex(("127.0.0.1", port + 1)) != 0:
                return port
    sys.exit("no free ports between 21,000 and 30,000")


class Server:
    """A radosgw with one bucket, and a long link to it."""

    def __init__(self, folder, env):
        os.makedirs(folder, 0o700)
        self.folder, self.env, self.child = folder, env, None
        self.port = free_block()
        self.far = self.port + 95
        self.link = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "link.py"), str(self.far), str(self.port), "--delay", str(ROUND_TRIP / 2), "--rate", str(RATE)],
            stdin=subprocess.DEVNULL)
        try:
            self.renew()
        except BaseException:
            self.stop()
            raise

    def renew(self):
        """An empty server."""
        self.end()
        script = os.path.join(PROJECT, "Tests", "Support", "servers", "radosgw")
        self.child = subprocess.Popen(
            [os.path.join(PROJECT, "scripts", "in-toolchain"), "env", f"BYTES={STORE_BYTES}", script, os.path.join(self.folder, "ceph"), str(self.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if not any(line == "ready\n" for line in iter(self.child.stdout.readline, "")):
            sys.exit("radosgw did not start")
        # The first object of a server makes its pools.
        for words in (["mkdir", f":s3:{BUCKET}"], ["rcat", f":s3:{BUCKET}/first"]):
            made = subprocess.run(["rclone", *words], env=self.env(self.port), input="1", capture_output=True, text=True)
            if made.returncode:
                sys.exit("radosgw does not answer: " + made.stderr[-300:])

    def end(self):
        if self.child:
            self.child.stdin.close()
            self.child.wait()

    def stop(self):
        self.end()
        self.link.terminate()
        self.link.wait()


class S3Bench(Bench):
    def __init__(self, args, scratch):
        super().__init__(args, scratch)
        # What somebody has set for a cloud of their own.
        self.base_env = {k: v for k, v in self.base_env.items() if not k.startswith("AWS_")}
        self.peaks, self.rivals = [], []
        self.server = Server(self.path("server"), self.peer_env)

    # ---- contenders: {source} and {target} are folders of this machine, {remote} is a place in the bucket ---------------------

    def peer_env(self, port):
        return dict(self.base_env, RCLONE_CONFIG="/dev/null", RCLONE_S3_PROVIDER="Ceph", RCLONE_S3_ENDPOINT=f"http://127.0.0.1:{port}",
                    RCLONE_S3_ACCESS_KEY_ID=KEY, RCLONE_S3_SECRET_ACCESS_KEY=SECRET, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET,
                    AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null")

    def port(self, far):
        return self.server.far if far else self.server.port

    def ours(self, words, far=False, name="sealift"):
        place = f"s3://127.0.0.1:{self.port(far)}/{BUCKET}/{{remote}}"
        command = [self.binary, *[w.replace("{place}", place) for w in words], "--option", "use_tls=false"]
        return Contender(name, command, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}, is_sealift=True)

    def rclone(self, *words, far=False):
        return self.theirs("rclone", ["rclone", *[w.replace("{place}", f":s3:{BUCKET}/{{remote}}") for w in words]], far)

    def aws(self, *words, far=False):
        words = [w.replace("{place}", f"s3://{BUCKET}/{{remote}}") for w in words]
        return self.theirs("aws", ["aws", "--endpoint-url", f"http://127.0.0.1:{self.port(far)}", *words], far)

    def theirs(self, name, command, far):
        contender = self.peer(name, command)
        if contender:
            contender.env = {k: v for k, v in self.peer_env(self.port(far)).items() if k not in self.base_env}
        return contender

    def once(self, row, contender, source):
        remote = getattr(self, "shared", None) or f"{row}/{contender.name}"
        contender = Contender(contender.name, [w.replace("{remote}", remote) for w in contender.command], contender.env, contender.is_sealift)
        return super().once(row, contender, source)

    def measure(self, title, row, contenders, source, judgements, *, empty, contents, shared=None):
        """`empty`: a server without objects for each run. `shared`: everybody works on that place in the bucket."""
        self.shared, forget = shared, self.forget

        def anew(row, contender):
            forget(row, contender)
            if empty:
                self.server.renew()
        self.forget = anew
        try:
            measured = self.rounds(row, contenders, source, fresh=empty or contents, contents=contents)
        finally:
            self.forget, self.shared = forget, None
        medians = self.record(title, measured, judgements)
        self.peaks.append(max((p for n, p in measured[1].items() if n.startswith("sealift")), default=None))
        self.rivals.append(measured[1].get("rclone"))
        return medians

    def filled(self, source, place, *, far=False):
        """A server that holds one replica, made by Sealift."""
        self.server.renew()
        self.shared = place
        try:
            maker = self.ours(["sync", "{source}", "{place}", "--quiet", "--verify", "none"])
            shutil.rmtree(self.target("filled", maker) + ".state", ignore_errors=True)
            self.once("filled", maker, source)
        finally:
            self.shared = None

    # ---- rows ----------------------------------------------------------------------------------------------------------------

    def both_ways(self, wanted):
        count = 12 if self.args.quick else 50
        source = makestore.add(self.path("large", "source"), count, 16 * MIB, 1, seed=1)
        os.makedirs(self.path("filled"), exist_ok=True)
        if "put" in wanted:
            up = [self.rclone("copy", "--transfers", "4", "{source}", "{place}"), self.aws("s3", "cp", "--recursive", "--only-show-errors", "{source}", "{place}"),
                  self.ours(["sync", "{source}", "{place}", "--quiet", "--verify", "none"], name="sealift none"), self.ours(["sync", "{source}", "{place}", "--quiet"])]
            self.measure(f"put {count} × 16 MiB", "large", up, source, [
                Judgement("≥ 1.3 × rclone", "sealift none", "rclone", 1 / 1.3), Judgement("beside it: aws s3 cp", "sealift none", "aws", 1)],
                empty=True, contents=True)
        if "get" in wanted:
            self.filled(source, "whole")
            down = [self.rclone("copy", "--transfers", "4", "{place}", "{target}"),
                    self.ours(["sync", "{place}", "{target}", "--quiet", "--verify", "all"])]
            self.measure(f"get {count} × 16 MiB, all of it read back", "large", down, source,
                         [Judgement("≥ 1.3 × rclone", "sealift", "rclone", 1 / 1.3)], empty=False, contents=True, shared="whole")

    def small(self, wanted):
        count = 1000 if self.args.quick else 10_000
        source = makestore.add(self.path("small", "source"), count, 4096, 4, seed=2)
        up = [self.rclone("copy", "--transfers", "4", "{source}", "{place}"), self.ours(["sync", "{source}", "{place}", "--quiet"])]
        self.measure(f"put {count} × 4 KiB", "small", up, source, [Judgement("≥ 1.5 × rclone", "sealift", "rclone", 1 / 1.5)],
                     empty=True, contents=True)

    def many(self, wanted):
        """One replica of many small resources: listed, and synced again with nothing to do."""
        os.makedirs(self.path("filled"), exist_ok=True)
        count, again = (5000, 5000) if self.args.quick else (200_000, 100_000)
        for resources, rows in ((count, {"list", "list20"}), (again, {"noop20"})):
            if not wanted & rows:
                continue
            source = makestore.add(self.path("many", f"source-{resources}"), resources, 64, 16, seed=3)
            self.filled(source, "many")
            for row, far, factor in (("list", False, 4), ("list20", True, 8)):
                if row in wanted & rows:
                    serial = self.aws("s3api", "list-objects-v2", "--bucket", BUCKET, "--prefix", "many/", "--query", "length(Contents)", far=far)
                    self.measure(f"list {resources} keys" + (f" at {ROUND_TRIP} ms" if far else ""), "many",
                                 [serial, self.ours(["inspect", "{place}"], far=far)], source,
                                 [Judgement(f"≥ {factor} × aws s3api", "sealift", "aws", 1 / factor)], empty=False, contents=False, shared="many")
            if "noop20" in wanted & rows:
                # What the peer needs to find nothing to do without asking for each object: sizes alone.
                peer = self.rclone("copy", "--size-only", "--fast-list", "{source}", "{place}", far=True)
                mine = self.ours(["sync", "{source}", "{place}", "--quiet"], far=True)
                near = self.ours(["sync", "{source}", "{place}", "--quiet"])
                self.shared = "many"
                self.once("many", near, source)
                self.shared = None
                self.measure(f"nothing new of {resources} at {ROUND_TRIP} ms", "many", [peer, mine], source,
                             [Judgement("≥ 3 × rclone", "sealift", "rclone", 1 / 3)], empty=False, contents=False, shared="many")

    def far_away(self, wanted):
        size = (256 if self.args.quick else 2048) * MIB
        source = makestore.add(self.path("far", "source"), 1, size, 1, seed=4)
        up = [self.rclone("copy", "{source}", "{place}", far=True), self.ours(["sync", "{source}", "{place}", "--quiet", "--verify", "none"], far=True)]
        medians = self.measure(f"put {size // MIB} MiB in one resource at {ROUND_TRIP} ms", "far", up, source, [], empty=True, contents=True)
        medians["0.9 of the link"] = size / RATE / 0.9
        self.rows[-1]["judgements"] = [Judgement("≥ 0.9 of the link", "sealift", "0.9 of the link", 1).of(medians)]

    def all(self, wanted):
        groups = (("large", self.both_ways, {"put", "get"}), ("small", self.small, {"small"}), ("many", self.many, {"list", "list20", "noop20"}),
                  ("far", self.far_away, {"large20"}))
        for name, group, rows in groups:
            if wanted & rows:
                try:
                    if self.has_room(12 * GIB, name):
                        group(wanted & rows)
                except Failed as problem:
                    self.note(f"row {name} ended: {problem}")
                finally:
                    shutil.rmtree(self.path(name), ignore_errors=True)
                    shutil.rmtree(self.path("filled"), ignore_errors=True)
        rivals = [peak for peak in self.rivals if peak]
        self.memory("peak memory of all rows", self.peaks, min(64, max(rivals) // (2 * MIB)) if rivals else 64)


def main():
    parser = argparse.ArgumentParser(description="Sealift over S3 beside its peers")
    parser.add_argument("binary", help="a built sealift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of smaller rows")
    parser.add_argument("--rows", default="", help="of " + ",".join(ROWS))
    parser.add_argument("--scratch", help="a folder on the disk to measure (default: the temporary directory)")
    parser.add_argument("--json", default="bench/results-s3.json", help="where the figures go")
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
    if shutil.which("rclone") is None:
        parser.error("no rclone on this machine (apt-get install rclone)")
    scratch = tempfile.mkdtemp(prefix="sealift-bench-", dir=args.scratch)
    bench = None
    try:
        bench = S3Bench(args, scratch)
        bench.all(wanted)
        result = {"date": datetime.date.today().isoformat(), "rounds": args.rounds, "cache": "warm", "machine": machine(scratch),
                  "link": {"round_trip_ms": ROUND_TRIP, "bytes_per_second": RATE}, "rows": bench.rows, "notes": bench.notes}
    finally:
        if bench:
            bench.server.stop()
        shutil.rmtree(scratch, ignore_errors=True)
    with open(args.json, "w") as out:
        json.dump(result, out, indent=2, ensure_ascii=False)
        out.write("\n")
    print(plain(result["rows"]))
    for text in result["notes"]:
        print("note: " + text)
    return 0 if all(j["reached"] for row in bench.rows for j in row["judgements"]) else 1


if __name__ == "__main__":
    sys.exit(main())
