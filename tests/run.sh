#!/bin/sh
# Runs all tests: `tests/run.sh [arguments of cargo test]`.
#
# Some tests ask judges: programs and data that others wrote. This gets those that it may get (Debian's
# packages as root, everything else into target/judges) and says of each other one that it is skipped.
# With TALOSMITH_JUDGES=required a missing judge is an error. Nothing is fetched twice; with
# TALOSMITH_JUDGES=none nothing is fetched at all.
set -eu

cd "$(dirname "$0")/.."
judges="${CARGO_TARGET_DIR:-$PWD/target}/judges"
mode="${TALOSMITH_JUDGES:-optional}"
crane_version=v0.22.1
image_spec=github.com/opencontainers/image-spec@v1.1.1
mkdir -p "$judges/bin"
judges=$(cd "$judges" && pwd)
log="$judges/log.txt"
: >"$log"
PATH="$judges/bin:$PATH:/usr/sbin:/sbin"
[ ! -x /usr/local/go/bin/go ] || PATH="$PATH:/usr/local/go/bin"
export PATH

has() { command -v "$1" >/dev/null 2>&1; }

# Says that a judge is missing and why, or fails if judges are required.
skip() {
    if [ "$mode" = required ]; then
        echo "error: $* (TALOSMITH_JUDGES=required; what was tried: $log)" >&2
        exit 1
    fi
    echo "skipped: $*" >&2
}

. tests/support/debian.sh

# --- programs of Debian's packages ---------------------------------------------------------------
programs="skopeo umoci docker-registry modinfo mksquashfs sqfs2tar getfattr zstd xz tar gzip bzip2 lz4 lzop cpio python3 git"
package_of() {
    case "$1" in
    modinfo) echo kmod ;;
    mksquashfs) echo squashfs-tools ;;
    sqfs2tar) echo squashfs-tools-ng ;;
    getfattr) echo attr ;;
    xz) echo xz-utils ;;
    *) echo "$1" ;;
    esac
}

can_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

install_packages() {
    packages=
    for program in $programs; do
        has "$program" || packages="$packages $(package_of "$program")"
    done
    [ -x "$judges/venv/bin/python" ] || can_venv || packages="$packages python3-venv"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
    has go || { [ -x "$judges/bin/crane" ] && [ -d "$judges/image-spec" ]; } || packages="$packages golang-go"
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        echo "note: not root, or no apt-get: these packages are not installed:$packages" >&2
        return 0
    fi
    echo "installing:$packages" >&2
    retry apt-get update || true
    # One by one: a package that a release lacks must not stop the others. RUNLEVEL keeps the
    # registry's service from being started.
    for package in $packages; do
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            retry apt-get install -y --no-install-recommends "$package" || true
    done
}

# --- crane and the image specification's schemas, by go ------------------------------------------
go_judge() {
    GOBIN="$judges/bin" GOMODCACHE="$judges/go" GOCACHE="$judges/go-cache" \
        GOFLAGS=-modcacherw GOWORK=off retry "$@"
}

get_crane() {
    if has crane; then return 0; fi
    if ! has go; then return 1; fi
    echo "building crane $crane_version" >&2
    go_judge go install "github.com/google/go-containerregistry/cmd/crane@$crane_version"
    rm -rf "$judges/go-cache" # needed no more
    has crane
}

get_schemas() {
    if [ -f "$judges/image-spec/image-manifest-schema.json" ]; then return 0; fi
    if ! has go; then return 1; fi
    go_judge go mod download "$image_spec" || return 1
    rm -rf "$judges/image-spec.new"
    cp -R "$judges/go/$image_spec/schema" "$judges/image-spec.new"
    mv "$judges/image-spec.new" "$judges/image-spec"
}

get_python() {
    if "$judges/venv/bin/python" -c 'import jsonschema' >/dev/null 2>&1; then return 0; fi
    if ! can_venv; then return 1; fi
    rm -rf "$judges/venv"
    python3 -m venv "$judges/venv" >>"$log" 2>&1 || return 1
    retry "$judges/venv/bin/python" -m pip install --disable-pip-version-check --quiet jsonschema
}

# --- kernel modules of Debian's current kernel -----------------------------------------------------
download_kernel() {
    retry private_apt "$1" apt-get update || return 1
    package=$(private_apt "$1" apt-cache depends "linux-image-$1" 2>>"$log" |
        sed -n 's/^ *Depends: *\(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || return 1
    echo "downloading $package" >&2
    folder="$judges/apt/$1"
    (cd "$folder" && retry private_apt "$1" apt-get download "$package") || return 1
    rm -rf "$judges/modules/$1.new"
    dpkg-deb -x "$folder"/linux-image-*.deb "$judges/modules/$1.new" || return 1
    rm -rf "$folder" "$judges/modules/$1.new/boot"
    # Newer Debians compress them.
    find "$judges/modules/$1.new" -name '*.ko.xz' -exec xz -d {} +
    rm -rf "$judges/modules/$1"
    mv "$judges/modules/$1.new" "$judges/modules/$1"
}

get_modules() {
    if [ -d "$judges/modules/$1" ]; then return 0; fi
    if ! has apt-get || ! has dpkg-deb; then return 1; fi
    mkdir -p "$judges/modules"
    download_kernel "$1"
}

# --- all of it -------------------------------------------------------------------------------------
[ "$mode" = none ] || install_packages
for program in $programs; do
    has "$program" || skip "there is no program \`$program\` (package $(package_of "$program"))"
done

if [ "$mode" != none ]; then
    get_crane || skip "there is no program \`crane\`, and no \`go\` that builds it"
    get_schemas || skip "the OCI schemas: there is no \`go\` that downloads them"
    get_python || skip "the OCI schemas: there is no python3 with venv and jsonschema"
    for arch in amd64 arm64; do
        get_modules "$arch" || skip "Debian's kernel modules for $arch: no apt-get that finds linux-image-$arch"
    done
fi

# What the user has set already stays.
[ ! -d "$judges/image-spec" ] || export TALOSMITH_IMAGE_SPEC="${TALOSMITH_IMAGE_SPEC:-$judges/image-spec}"
[ ! -x "$judges/venv/bin/python" ] || export TALOSMITH_PYTHON="${TALOSMITH_PYTHON:-$judges/venv/bin/python}"
[ ! -d "$judges/modules/amd64" ] || export TALOSMITH_MODULES="${TALOSMITH_MODULES:-$judges/modules/amd64}"
[ ! -d "$judges/modules/arm64" ] ||
    export TALOSMITH_MODULES_ARM64="${TALOSMITH_MODULES_ARM64:-$judges/modules/arm64}"

exec cargo test --locked "$@"
