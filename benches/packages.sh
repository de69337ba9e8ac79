#!/usr/bin/env bash
# Twenty packages without a compiler, for two platforms, from warm inputs to a registry on loopback: by
# `talosmith extension TREE --target …`, and by BuildKit from Dockerfiles with the same instructions, one build a
# package as `make` does it. Both in turn, N times; prints medians and their ratio. Nothing here is asserted.
#
# Warm inputs: the image that files are taken of is known to both (in talosmith's cache; as local folder and as a
# cached base stage in BuildKit). The packages themselves are new in each run: their manifests change, so that no
# result is in a cache. BuildKit's instructions run on the build's own platform, as nothing is emulated.
#
#   benches/packages.sh MODULES [N]       MODULES: /lib/modules/RELEASE of a distribution, for 1-5 MB a package
#
# Wants: cargo build --release; buildkitd and buildctl (tests/run.sh builds them), runc, a static busybox,
# docker-registry; root.
set -euo pipefail

modules=${1:?usage: benches/packages.sh MODULES [N]}
runs=${2:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
judges=${CARGO_TARGET_DIR:-$here/target}/judges
PATH=$judges/bin:$PATH:/usr/sbin:/sbin
for program in buildkitd buildctl runc busybox docker-registry; do
    command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 0; }
done
work=$(mktemp -d)
processes=()
finish() {
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null && wait "$process" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
export HOME=$work/home XDG_CACHE_HOME=$work/cache LC_ALL=C
mkdir -p "$HOME"

# --- a registry, and a daemon ------------------------------------------------------------------------------
port=$((20000 + RANDOM % 20000))
cat >"$work/registry.yml" <<Y
version: 0.1
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:$port}
Y
docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
processes+=($!)
registry=127.0.0.1:$port
cat >"$work/buildkitd.toml" <<T
root = "$work/buildkit"
[grpc]
address = ["unix://$work/socket"]
[worker.oci]
enabled = true
snapshotter = "overlayfs"
gc = false
[worker.containerd]
enabled = false
[registry."$registry"]
http = true
T
buildkitd --config "$work/buildkitd.toml" --otel-socket-path "$work/otel" >"$work/buildkitd.log" 2>&1 &
processes+=($!)
export BUILDKIT_HOST=unix://$work/socket
until buildctl debug info >/dev/null 2>&1; do kill -0 "${processes[1]}" || exit 1; sleep 0.1; done

# --- the packages ------------------------------------------------------------------------------------------
names=()
mkdir -p "$work/tree" "$work/image" "$work/docker"
printf '# syntax = example.com/bldr:v0.5.3\n\nformat: v1alpha2\n' >"$work/tree/Pkgfile"
cp "$(command -v busybox)" "$work/docker/busybox"
mapfile -t files < <(find "$modules" -name '*.ko' -size +40k -size -400k | sort | head -n 240)
for number in $(seq 20); do
    name=package$number
    names+=("$name")
    folder=$work/image/$name/usr/lib/modules/6.12.0-talos/extras
    mkdir -p "$folder" "$work/tree/$name"
    # Twelve files, one to five megabytes together.
    cp "${files[@]:$(((number - 1) * 12)):12}" "$folder"
    cat >"$work/tree/$name/pkg.yaml" <<Y
name: $name
variant: scratch
shell: /bin/bash
dependencies:
  - image: '{{ .BUILD_ARG_IMAGE }}'
    from: /$name
    to: /
steps:
  - install:
      - |
        mkdir -p /rootfs/usr/lib/modules
        cp -R /usr/lib/modules/* /rootfs/usr/lib/modules/
finalize:
  - from: /rootfs
    to: /rootfs
  - from: /pkg/manifest.yaml
    to: /
Y
    printf 'VERSION: v1\n' >"$work/tree/$name/vars.yaml"
    mkdir -p "$work/docker/$name"
    cp -r "$work/image/$name" "$work/docker/$name/image"
    cat >"$work/docker/$name/Dockerfile" <<'D'
FROM --platform=$BUILDPLATFORM scratch AS base
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
FROM base AS build
COPY image /
COPY manifest.yaml /pkg/manifest.yaml
WORKDIR /tmp/build
RUN ["/bin/sh", "-c", "set -eo pipefail; mkdir -p /rootfs/usr/lib/modules; cp -R /usr/lib/modules/* /rootfs/usr/lib/modules/"]
FROM scratch
COPY --from=build /rootfs /rootfs
COPY --from=build /pkg/manifest.yaml /
D
    cp "$work/docker/busybox" "$work/docker/$name/busybox"
done
du -sm "$work/image" | awk '{print "twenty packages, " $1 " MB of files"}'

# manifests RUN: they name the run, so that nobody has their results.
manifests() {
    for name in "${names[@]}"; do
        cat >"$work/tree/$name/manifest.yaml" <<Y
version: v1alpha1
metadata: {name: $name, version: 1.0.$1, author: Acme, description: run $1}
Y
        cp "$work/tree/$name/manifest.yaml" "$work/docker/$name/manifest.yaml"
        # A byte of the files too: layers are new as well.
        printf '%s' "$1" >"$work/docker/$name/image/usr/lib/modules/6.12.0-talos/run"
        printf '%s' "$1" >"$work/image/$name/usr/lib/modules/6.12.0-talos/run"
    done
}

ours() {
    "$talosmith" extension "$work/tree" --target "$(IFS=,; echo "${names[*]}")" --platform linux/amd64,linux/arm64 \
        --build-arg "IMAGE=dir:$work/image" --push "$registry/ours" \
        --allow module-machine,module-vermagic,module-unsigned >/dev/null 2>"$work/said" || { cat "$work/said"; exit 1; }
}

theirs() {
    for name in "${names[@]}"; do
        buildctl build --frontend dockerfile.v0 --local "context=$work/docker/$name" \
            --local "dockerfile=$work/docker/$name" --opt platform=linux/amd64,linux/arm64 \
            --opt "build-arg:SOURCE_DATE_EPOCH=0" --progress=plain \
            --output "type=image,name=$registry/theirs/$name:v1,push=true" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
    done
}

seconds() {
    local start end
    start=$(date +%s.%N)
    "$@"
    end=$(date +%s.%N)
    awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f\n", b - a }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Warm: bases, caches, the registry's folders.
manifests 0
ours
theirs
for run in $(seq "$runs"); do
    manifests "$run"
    seconds ours >>"$work/ours"
    seconds theirs >>"$work/theirs"
done
a=$(median <"$work/ours") b=$(median <"$work/theirs")
awk -v a="$a" -v b="$b" 'BEGIN { printf "talosmith %.2f s, BuildKit %.2f s: %.3f x\n", a, b, a / b }'
