#!/usr/bin/env python3
"""Makes a store in the real format with random bodies, or adds a backup to one.

    python3 scripts/makestore.py STORE --packfiles 24 --size 1M --states 3     a new store
    python3 scripts/makestore.py STORE --packfiles 8 --size 1M --states 1      the same again: a backup more, with newer states

Layout, wrapping and CONFIG are those of an encrypted store; bodies and trailers are random, as ciphertext and keyed MACs look to anyone
without the key. plakar itself cannot open such a store. Standard library only; the demo and the benchmark call it.
"""
import argparse, os, random, struct, sys, time

PACKFILE, STATE, CONFIG = 4, 3, 1
BUCKETS = [f"{i:02x}" for i in range(256)]


def header(kind, version=0x10000):
    return b"_KLOSET_" + struct.pack("<II", kind, version)


def msgpack(value):
    """The part of msgpack that a CONFIG uses, in the widths that plakar writes."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else struct.pack("b", value)
    if isinstance(value, str):
        raw = value.encode()
        return bytes([0xA0 | len(raw)]) + raw
    if isinstance(value, bytes):
        return b"\xc4" + bytes([len(value)]) + value
    if isinstance(value, float):  # a moment: timestamp 64
        return b"\xd7\xff" + struct.pack(">Q", int(value))
    return bytes([0x80 | len(value)]) + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())


def config(rnd, now):
    body = msgpack({
        "Timestamp": float(now), "RepositoryID": rnd.randbytes(16),
        "Packfile": {"MinSize": 0, "AvgSize": 0, "MaxSize": 64 << 20},
        "Chunking": {"Algorithm": "fastcdc-v1.0.0", "MinSize": 1 << 19, "NormalSize": 1 << 20, "MaxSize": 1 << 23},
        "Hashing": {"Algorithm": "BLAKE3", "Bits": 256},
        "Compression": {"Algorithm": "LZ4", "Level": 1 << 17, "WindowSize": -1, "ChunkSize": -1, "BlockSize": -1, "EnableCRC": False},
        "Encryption": {
            "SubKeyAlgorithm": "AES256-KW", "DataAlgorithm": "AES256-GCM-SIV", "ChunkSize": 1 << 16,
            "KDFParams": {"KDF": "ARGON2ID", "Salt": rnd.randbytes(16),
                          "argon2id": {"SaltSize": 16, "Time": 4, "Memory": 1 << 18, "Threads": 1, "KeyLen": 32}},
            "Canary": rnd.randbytes(100)},
    })
    return header(CONFIG) + body + rnd.randbytes(32)


def write(store, folder, rnd, kind, size, mtime=None):
    """One resource of `size` bytes in all; never a half one under its final name, as a client would."""
    name = rnd.randbytes(32).hex()
    path = os.path.join(store, folder, name[:2], name)
    with open(path, "wb") as out:
        out.write(header(kind, 0x10100 if kind == STATE else 0x10000))
        left = size - 16
        while left:
            out.write(rnd.randbytes(min(left, 1 << 20)))
            left -= min(left, 1 << 20)
    if mtime is not None:
        os.utime(path, (mtime, mtime))
    return path


def add(store, packfiles, size, states, seed=None, state_size=3000):
    """Creates `store` when it is not there. New states are a second apart and newer than all that are there."""
    rnd = random.Random(seed)
    newest = 0.0
    if not os.path.exists(os.path.join(store, "CONFIG")):
        for folder in ("packfiles", "states"):
            for bucket in BUCKETS:
                os.makedirs(os.path.join(store, folder, bucket), 0o700, exist_ok=True)
        os.makedirs(os.path.join(store, "locks"), 0o700, exist_ok=True)
        with open(os.path.join(store, "CONFIG"), "wb") as out:
            out.write(config(rnd, int(time.time())))
    else:
        for bucket in BUCKETS:
            for entry in os.scandir(os.path.join(store, "states", bucket)):
                newest = max(newest, entry.stat().st_mtime)
    for _ in range(packfiles):
        write(store, "packfiles", rnd, PACKFILE, size)
    start = max(newest + 1, time.time() - states)
    for i in range(states):
        write(store, "states", rnd, STATE, state_size, start + i)
    return store


def byte_count(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)


def main():
    parser = argparse.ArgumentParser(description="makes a store in the real format, or adds a backup to one")
    parser.add_argument("store")
    parser.add_argument("--packfiles", type=int, default=16)
    parser.add_argument("--size", type=byte_count, default=1 << 20, help="bytes of each packfile; K, M, G")
    parser.add_argument("--states", type=int, default=1)
    parser.add_argument("--seed", type=int, help="for the same bytes again")
    args = parser.parse_args()
    if args.size < 48:
        parser.error("a resource has at least 48 bytes")
    add(args.store, args.packfiles, args.size, args.states, args.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
