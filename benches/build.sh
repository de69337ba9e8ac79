#!/usr/bin/env bash
# `talosmith build` where nothing has changed: five extensions of all modules of a kernel, as local files; and a lock
# of a hundred images, held against its file without a network. Prints medians of N runs. Nothing here is asserted.
#
#   benches/build.sh MODULES [N]       MODULES: a folder such as /lib/modules/RELEASE
#
# Wants: cargo build --release; python3.
set -euo pipefail

modules=${1:?usage: benches/build.sh MODULES [N]}
modules=$(cd "$modules" && pwd)
runs=${2:-25}
here=$(cd "$(dirname "$0")/.." && pwd)
export TALOSMITH=${TALOSMITH:-$here/target/release/talosmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache
unset SOURCE_DATE_EPOCH
release=$(basename "$modules")

manifest() {
    printf 'version: v1alpha1\nmetadata: {name: %s, version: 1.0.0, author: bench, description: bench, compatibility: {talos: {version: ">= v1.0.0"}}}\n' "$1"
}

# --- five extensions ---------------------------------------------------------------------------------------
printf 'version: v1\ntalos: v1.11.3\nextensions:\n' >talosmith.yaml
number=0
for part in 1 2 3 4 5; do
    mkdir -p "e$part/rootfs/usr/lib/modules/$release"
    manifest "e$part" >"e$part/manifest.yaml"
    printf '  - path: e%s\n    outputs: [{oci: out/e%s}]\n' $part $part >>talosmith.yaml
done
(cd "$modules" && find kernel -name '*.ko' | sort) | while read -r path; do
    to=e$((number % 5 + 1))/rootfs/usr/lib/modules/$release/$path
    mkdir -p "$(dirname "$to")"
    cp "$modules/$path" "$to"
    number=$((number + 1))
done
echo "five extensions: $(find e? -name '*.ko' | wc -l) modules"

# --- a lock of a hundred images ----------------------------------------------------------------------------
mkdir -p hundred/own/rootfs/usr/local
manifest own >hundred/own/manifest.yaml
echo text >hundred/own/rootfs/usr/local/text
printf 'version: v1\ntalos: v1.11.3\nextensions:\n  - path: own\n    outputs: [{oci: out/own}]\n' >hundred/talosmith.yaml
(cd hundred && "$TALOSMITH" build -q >/dev/null)
python3 - "$runs" <<'P'
"""Runs them."""

import json
import os
import statistics
import subprocess
import sys
import time

runs, ours = int(sys.argv[1]), os.environ["TALOSMITH"]
with open("hundred/talosmith.lock", encoding="utf-8") as file:
    lock = json.load(file)
lock["images"] = [
    {
        "reference": f"registry.example.com/acme/image-{number}:1",
        "digest": f"sha256:{number:064x}",
        "size": 1000,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "platforms": ["linux/amd64"],
    }
    for number in range(100)
]
with open("hundred/talosmith.lock", "w", encoding="utf-8") as file:
    json.dump(lock, file)


def median(name, words, folder):
    took = []
    for turn in range(runs + 1):
        start = time.monotonic()
        subprocess.run([ours, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        if turn:  # the first one makes what the others find
            took.append(1000 * (time.monotonic() - start))
    print(f"{name:40} {statistics.median(took):6.1f} ms ({min(took):.1f}-{max(took):.1f})", flush=True)


median("nothing changed, five extensions", ["build", "-q"], ".")
median("a lock of a hundred images, offline", ["build", "-q", "--locked", "--offline"], "hundred")
P
