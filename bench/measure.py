"""Runs one command and says how long it took and how much memory it had at most:  python3 -I -S bench/measure.py FILE COMMAND …

A process of its own because Linux lets a child start with its parent's peak memory: this one is small (about 10 MiB, which is therefore the
smallest peak that can be told), where the benchmark itself has generated gigabytes. Writes "status seconds bytes" to FILE.
"""
import os, sys, time

result, command = sys.argv[1], sys.argv[2:]
started = time.monotonic()
child = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - started
with open(result, "w") as out:
    out.write(f"{os.waitstatus_to_exitcode(status)} {seconds:.6f} {usage.ru_maxrss * 1024}\n")
