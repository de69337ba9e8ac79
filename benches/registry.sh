#!/usr/bin/env bash
# The registry client beside crane and skopeo, with a registry on loopback: each line runs all in turn, N times, and
# prints medians, the ratio to crane's and our peak. Nothing here is asserted.
#
#   benches/registry.sh [N]            MORE='--jobs 8': further options for ours
#
# Processor time is the program's and, behind the plus, the registry's meanwhile.
#
# Wants: cargo build --release; crane (tests/run.sh builds it), skopeo, docker-registry, python3, GNU time.
set -euo pipefail

runs=${1:-7}
here=$(cd "$(dirname "$0")/.." && pwd)
export TALOSMITH=${TALOSMITH:-$here/target/release/talosmith}
PATH=${CARGO_TARGET_DIR:-$here/target}/judges/bin:$PATH
for program in crane skopeo docker-registry python3; do
    command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 0; }
done
work=$(mktemp -d)
registry=
finish() {
    [ -z "$registry" ] || { kill "$registry" && wait "$registry"; } 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache
unset SOURCE_DATE_EPOCH
mkdir -p "$HOME"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:%s"}\n' \
    "$work" "$port" >registry.yml
docker-registry serve registry.yml >/dev/null 2>&1 &
registry=$!
export REGISTRY_PID=$registry
until crane catalog "127.0.0.1:$port" >/dev/null 2>&1; do kill -0 "$registry"; done
exec python3 - "$runs" "127.0.0.1:$port" <<'P'
"""Makes layouts of random bytes, and measures."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

runs, host = int(sys.argv[1]), sys.argv[2]
ours = os.environ["TALOSMITH"]


def layout(folder, layers, size):
    blobs = os.path.join(folder, "blobs", "sha256")
    os.makedirs(blobs)

    def put(media_type, chunks):
        digest, length = hashlib.sha256(), 0
        with open(os.path.join(blobs, "draft"), "wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                length += file.write(chunk)
        os.rename(os.path.join(blobs, "draft"), os.path.join(blobs, digest.hexdigest()))
        return {"mediaType": media_type, "digest": "sha256:" + digest.hexdigest(), "size": length}

    oci = "application/vnd.oci.image."
    made = [put(oci + "layer.v1.tar+gzip", (os.urandom(1 << 20) for _ in range(size))) for _ in range(layers)]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [l["digest"] for l in made]}}
    config = put(oci + "config.v1+json", [json.dumps(config).encode()])
    manifest = {"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": config, "layers": made}
    manifest = put(oci + "manifest.v1+json", [json.dumps(manifest).encode()])
    with open(os.path.join(folder, "oci-layout"), "w", encoding="utf-8") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "x"}
    with open(os.path.join(folder, "index.json"), "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, file)


def timed(words):
    # By GNU time, since a child of this process would count its memory until it is another program.
    words = ["/usr/bin/time", "-o", "timed", "-f", "%M %U %S", *words]
    start = time.monotonic()
    ended = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    taken = time.monotonic() - start
    if ended.returncode:
        sys.exit(f"{words}: {ended.stderr.decode()}")
    with open("timed", encoding="utf-8") as file:
        memory, user, system = map(float, file.read().split())
    return taken, memory / 1024, user + system


def registry_cpu():
    """Seconds of processor time of the registry up to now."""
    with open(f"/proc/{os.environ['REGISTRY_PID']}/stat", encoding="utf-8") as file:
        user, system = map(int, file.read().rsplit(")", 1)[1].split()[11:13])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def beside(name, fresh, commands):
    took = {tool: [] for tool in commands}
    peak = {tool: 0 for tool in commands}
    cpu = {tool: [] for tool in commands}
    served = {tool: [] for tool in commands}
    tools = list(commands)
    for turn in range(runs):
        for tool in tools[turn % len(tools) :] + tools[: turn % len(tools)]:
            fresh()
            before = registry_cpu()
            seconds, memory, processor = timed(commands[tool])
            served[tool].append(registry_cpu() - before)
            took[tool].append(seconds)
            cpu[tool].append(processor)
            peak[tool] = max(peak[tool], memory)
    median = {tool: statistics.median(times) for tool, times in took.items()}
    line = f"{name:32}"
    for tool in tools:
        line += f" {tool} {median[tool]:6.3f} s ({min(took[tool]):.3f}-{max(took[tool]):.3f}, cpu {statistics.median(cpu[tool]):.2f}+{statistics.median(served[tool]):.2f}, {peak[tool]:.1f} MB)"
    print(f"{line}  ratio {median['ours'] / median['crane']:.2f}", flush=True)


def empty():
    shutil.rmtree("data/docker", ignore_errors=True)
    shutil.rmtree("cache", ignore_errors=True)
    shutil.rmtree("out", ignore_errors=True)
    # What was dirty is not written back while the next is measured.
    os.sync()


def pushes(folder, to):
    return {
        "ours": [ours, "copy", f"oci:{folder}:x", f"docker://{to}", "-q", *more],
        "crane": ["crane", "push", folder, to, "--insecure"],
        "skopeo": ["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{folder}:x", f"docker://{to}"],
    }


layout("one", 1, 300)
layout("many", 60, 5)
more = os.environ.get("MORE", "").split()
to = f"{host}/bench/x:1"
beside("push 300 MB in one layer", empty, pushes("one", to))
beside("push again", lambda: None, pushes("one", to))


def no_output():
    shutil.rmtree("out", ignore_errors=True)
    shutil.rmtree("cache", ignore_errors=True)
    os.sync()


beside("pull 300 MB", no_output, {
    "ours": [ours, "copy", f"docker://{to}", "oci:out:x", "-q"],
    "crane": ["crane", "pull", "--format=oci", "--insecure", to, "out"],
    "skopeo": ["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{to}", "oci:out:x"],
})


def elsewhere():
    shutil.rmtree("data/docker/registry/v2/repositories/bench/y", ignore_errors=True)


beside("copy to another repository", elsewhere, {
    "ours": [ours, "copy", f"docker://{to}", f"docker://{host}/bench/y:1", "-q"],
    "crane": ["crane", "copy", "--insecure", to, f"{host}/bench/y:1"],
    "skopeo": ["skopeo", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{to}", f"docker://{host}/bench/y:1"],
})
beside("push 60 layers of 5 MB", empty, pushes("many", to))
P
