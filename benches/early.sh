#!/usr/bin/env bash
# A layer that goes to its registry while it is compressed, beside the same that waits until it is whole: an extension
# of all modules of a kernel, an empty cache, behind a link of so many megabytes a second. The repository is empty, or
# holds another image, which is what decides. Each line runs both in turn, N times, and prints medians and their ratio.
# The third column is the second run with an empty cache: the image is there, and nothing may be sent.
# Nothing here is asserted.
#
#   benches/early.sh [N] [MODULES]     MODULES: a folder like /lib/modules/RELEASE; else that of tests/run.sh
#
# Wants: cargo build --release; docker-registry, python3.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
export TALOSMITH=${TALOSMITH:-$here/target/release/talosmith}
runs=${1:-5}
judges=${CARGO_TARGET_DIR:-$here/target}/judges
modules=${2:-$(echo "$judges"/modules/amd64/lib/modules/*)}
[ -d "$modules" ] || { echo "skipped: there are no modules in $modules"; exit 0; }
PATH=$judges/bin:$PATH
for program in docker-registry python3; do
    command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 0; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache
unset SOURCE_DATE_EPOCH
mkdir -p "$HOME"
"$TALOSMITH" new my-module >/dev/null 2>&1
python3 - "$runs" "$modules" <<'P'
"""A registry behind a link that is slow in one direction."""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time

runs, modules = int(sys.argv[1]), sys.argv[2]
ours = os.environ["TALOSMITH"]
rate = None  # bytes a second
lock, due = threading.Lock(), 0.0


def wait(count):
    """As long as a link takes for so many bytes, whoever else sends."""
    global due
    if rate is None:
        return
    with lock:
        due = max(due, time.monotonic()) + count / rate
        left = due - time.monotonic()
    if left > 0:
        time.sleep(left)


def passed(source, sink, slow):
    while got := source.recv(16 << 10):
        if slow:
            wait(len(got))
        try:
            sink.sendall(got)
        except OSError:
            break
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def relay(listener, port):
    while True:
        client = listener.accept()[0]
        # What the kernel holds for a slow reader is not the link's.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        server = socket.create_connection(("127.0.0.1", port))
        for ends in ((client, server, True), (server, client, False)):
            threading.Thread(target=passed, args=ends, daemon=True).start()


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with open("registry.yml", "w", encoding="utf-8") as file:
    file.write("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n")
    file.write(f"storage: {{filesystem: {{rootdirectory: {os.getcwd()}/data}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
registry = subprocess.Popen(["docker-registry", "serve", "registry.yml"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
while True:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        if registry.poll() is not None:
            sys.exit("the registry ended")
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=relay, args=(listener, port), daemon=True).start()
place = f"127.0.0.1:{listener.getsockname()[1]}/bench/x:1"
other = f"127.0.0.1:{port}/bench/x:other"


def run(*words):
    ended = subprocess.run([ours, *words, "-q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if ended.returncode:
        sys.exit(f"{words}: {ended.stderr.decode()}")
    return ended.stdout.decode().split("@")[-1].strip()


def timed(way):
    shutil.rmtree("cache", ignore_errors=True)
    if way != "there":
        shutil.rmtree("data/docker", ignore_errors=True)
    if way == "whole":
        run("extension", "my-module", "-o", f"docker://{other}", "--cache", "other")
    os.sync()
    start = time.monotonic()
    digest = run(*make, "-o", f"docker://{place}")
    return time.monotonic() - start, digest


make = ["extension", "--manifest", "my-module/manifest.yaml", "--tree", f"{modules}:usr/lib/modules/{os.path.basename(modules)}"]
try:
    for name, megabytes in (("loopback", None), ("50 MB a second", 50), ("10 MB a second", 10)):
        rate = megabytes and megabytes * 1e6
        took, digests = {"early": [], "whole": [], "there": []}, set()
        for turn in range(runs):
            for way in [*(["early", "whole"] if turn % 2 else ["whole", "early"]), "there"]:
                seconds, digest = timed(way)
                took[way].append(seconds)
                digests.add(digest)
        if len(digests) != 1:
            sys.exit(f"other bytes: {digests}")
        median = {way: statistics.median(times) for way, times in took.items()}
        says = "  ".join(f"{way} {median[way]:.2f} s ({min(took[way]):.2f}-{max(took[way]):.2f})" for way in took)
        print(f"{name:16} {says}  ratio {median['early'] / median['whole']:.2f}", flush=True)
finally:
    registry.kill()
P
