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
programs="skopeo umoci docker-registry modinfo mksquashfs sqfs2tar getfattr zstd xz lzma bzip2 lz4 lzop gzip"
programs="$programs tar cpio objdump objcopy readelf file python3 git qemu-system-x86_64 qemu-system-aarch64"
programs="$programs runc openssl"
# The firmware that QEMU boots, by the package that has it.
firmware="ovmf:/usr/share/OVMF qemu-efi-aarch64:/usr/share/AAVMF"
package_of() {
    case "$1" in
    readelf) echo binutils ;;
    qemu-system-x86_64) echo qemu-system-x86 ;;
    qemu-system-aarch64) echo qemu-system-arm ;;
    modinfo) echo kmod ;;
    mksquashfs) echo squashfs-tools ;;
    sqfs2tar) echo squashfs-tools-ng ;;
    getfattr) echo attr ;;
    xz | lzma) echo xz-utils ;;
    objdump | objcopy) echo binutils ;;
    *) echo "$1" ;;
    esac
}

can_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

install_packages() {
    packages=
    for program in $programs; do
        has "$program" || packages="$packages $(package_of "$program")"
    done
    for pair in $firmware; do
        [ -d "${pair#*:}" ] || packages="$packages ${pair%%:*}"
    done
    [ -x "$judges/venv/bin/python" ] || can_venv || packages="$packages python3-venv"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
    has go || { has crane && has buildkitd && [ -d "$judges/image-spec" ]; } || packages="$packages golang-go"
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

# go_program NAME: a program of ours around a library of Go's, tests/support/NAME.
go_program() {
    if has "$1"; then return 0; fi
    if ! has go; then return 1; fi
    (cd "tests/support/$1" && go_judge go build -o "$judges/bin/$1" .) || return 1
    rm -rf "$judges/go-cache" # needed no more
    has "$1"
}

# BuildKit's client and daemon, of the version that go.mod names.
get_buildkit() {
    if has buildkitd && has buildctl; then return 0; fi
    if ! has go; then return 1; fi
    version=$(sed -n 's,^.*github.com/moby/buildkit \(v[0-9.]*\).*$,\1,p' tests/support/buildkit/go.mod)
    echo "building buildkitd $version" >&2
    for program in buildctl buildkitd; do
        (cd tests/support/buildkit && CGO_ENABLED=0 go_judge go build -trimpath \
            -ldflags "-s -w -X github.com/moby/buildkit/version.Version=$version" \
            -o "$judges/bin/$program" "github.com/moby/buildkit/cmd/$program") || return 1
    done
    rm -rf "$judges/go-cache" # needed no more
}

get_python() {
    if "$judges/venv/bin/python" -c 'import jsonschema, pefile' >/dev/null 2>&1; then return 0; fi
    if ! can_venv; then return 1; fi
    rm -rf "$judges/venv"
    python3 -m venv "$judges/venv" >>"$log" 2>&1 || return 1
    retry "$judges/venv/bin/python" -m pip install --disable-pip-version-check --quiet jsonschema pefile
}

# --- what signs modules within a build -------------------------------------------------------------
is_static() { has "$1" && ! ldd "$(command -v "$1")" >/dev/null 2>&1; }

# A static busybox, and the program that signs the kernel's modules: of the release that the system is of, but
# unpacked beside it.
get_signing() {
    if is_static busybox && has sign-file; then return 0; fi
    if ! has apt-get || ! has dpkg-deb; then return 1; fi
    host=$(dpkg --print-architecture)
    rm -rf "$judges/apt/$host"
    retry private_apt "$host" apt-get update || return 1
    kbuild=$(private_apt "$host" apt-cache pkgnames linux-kbuild- 2>>"$log" | sort -V | tail -n 1)
    [ -n "$kbuild" ] || return 1
    (cd "$judges/apt/$host" && retry private_apt "$host" apt-get download busybox-static "$kbuild") || return 1
    unpack_into "$judges/signing" "$host" || return 1
    rm -rf "$judges/signing"
    mv "$judges/signing.new" "$judges/signing"
    for program in busybox sign-file; do
        file=$(find "$judges/signing" -name "$program" -type f -perm -1 | head -n 1)
        [ -n "$file" ] || return 1
        ln -sf "$file" "$judges/bin/$program"
    done
    has sign-file
}

# --- systemd's stub for unified kernel images -------------------------------------------------------
# get_stub ARCH: of Debian 13 on every host, out of the archive that the system itself uses: its systemd, 257,
# is the first whose stub knows profiles.
get_stub() {
    [ ! -d "$judges/stubs/$1" ] || return 0
    if ! has apt-get || ! has dpkg-deb; then return 1; fi
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>>"$log" | head -n 1)
    [ -n "$uri" ] || return 1
    stub_arch="$1"
    folder="$judges/apt/$stub_arch"
    rm -rf "$folder"
    mkdir -p "$folder" "$judges/stubs"
    echo "deb $uri trixie main" >"$folder/sources.list"
    apt_options="-o Dir::Etc::sourcelist=$folder/sources.list -o Dir::Etc::sourceparts=-"
    echo "downloading systemd-boot-efi for $stub_arch" >&2
    retry private_apt "$stub_arch" apt-get update &&
        (cd "$folder" && retry private_apt "$stub_arch" apt-get download systemd-boot-efi systemd-ukify) &&
        unpack_into "$judges/stubs/$stub_arch" "$stub_arch" || { apt_options= && return 1; }
    apt_options=
    mv "$judges/stubs/$stub_arch.new" "$judges/stubs/$stub_arch"
}

# --- all of it -------------------------------------------------------------------------------------
[ "$mode" = none ] || install_packages
for program in $programs; do
    has "$program" || skip "there is no program \`$program\` (package $(package_of "$program"))"
done
for pair in $firmware; do
    [ -d "${pair#*:}" ] || skip "there is no firmware in \`${pair#*:}\` (package ${pair%%:*})"
done

if [ "$mode" != none ]; then
    get_crane || skip "there is no program \`crane\`, and no \`go\` that builds it"
    get_schemas || skip "the OCI schemas: there is no \`go\` that downloads them"
    # How Go's yaml writes values, and how its text/template renders, with the functions that bldr gives it.
    go_program go-yaml || skip "there is no program \`go-yaml\`, and no \`go\` that builds it"
    go_program go-template || skip "there is no program \`go-template\`, and no \`go\` that builds it"
    get_buildkit || skip "there is no program \`buildkitd\`, and no \`go\` that builds it"
    get_signing || skip "a static busybox and \`sign-file\`: no apt-get that finds busybox-static and linux-kbuild-*"
    get_python || skip "the OCI schemas and pefile: there is no python3 with venv, jsonschema and pefile"
    for arch in amd64 arm64; do
        kernel_of "$arch" "$arch" "$judges/modules/$arch" ||
            skip "Debian's kernel for $arch: no apt-get that finds linux-image-$arch"
        release=$(release_of "$judges/modules/$arch")
        headers_of "$arch" "$release" "$judges/headers/$arch" ||
            skip "the list of symbols of Debian's kernel for $arch: no apt-get that finds linux-headers-$release"
        get_stub "$arch" || skip "systemd's stub for $arch: no apt-get that finds systemd-boot-efi"
    done
    tests/installer_fixture.sh boot debian || skip "what installer images are made of: tests/installer_fixture.sh failed"
fi

# What the user has set already stays.
[ ! -d "$judges/image-spec" ] || export TALOSMITH_IMAGE_SPEC="${TALOSMITH_IMAGE_SPEC:-$judges/image-spec}"
[ ! -x "$judges/venv/bin/python" ] || export TALOSMITH_PYTHON="${TALOSMITH_PYTHON:-$judges/venv/bin/python}"
[ ! -d "$judges/modules/amd64" ] || export TALOSMITH_MODULES="${TALOSMITH_MODULES:-$judges/modules/amd64}"
[ ! -d "$judges/modules/arm64" ] ||
    export TALOSMITH_MODULES_ARM64="${TALOSMITH_MODULES_ARM64:-$judges/modules/arm64}"
[ ! -d "$judges/headers/amd64" ] || export TALOSMITH_HEADERS="${TALOSMITH_HEADERS:-$judges/headers/amd64}"
[ ! -d "$judges/headers/arm64" ] ||
    export TALOSMITH_HEADERS_ARM64="${TALOSMITH_HEADERS_ARM64:-$judges/headers/arm64}"
stubs="usr/lib/systemd/boot/efi"
[ ! -d "$judges/stubs/amd64" ] ||
    export TALOSMITH_STUB="${TALOSMITH_STUB:-$judges/stubs/amd64/$stubs/linuxx64.efi.stub}"
[ ! -d "$judges/stubs/arm64" ] ||
    export TALOSMITH_STUB_ARM64="${TALOSMITH_STUB_ARM64:-$judges/stubs/arm64/$stubs/linuxaa64.efi.stub}"
ukify="$judges/stubs/amd64/usr/lib/systemd/ukify"
[ ! -f "$ukify" ] || export TALOSMITH_UKIFY="${TALOSMITH_UKIFY:-$ukify}"

[ ! -d "$judges/installer/debian" ] || export TALOSMITH_INSTALLER="${TALOSMITH_INSTALLER:-$judges/installer}"

exec cargo test --locked "$@"
