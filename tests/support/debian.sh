# Getting packages of Debian's without changing the system; sourced by tests/run.sh and
# tests/installer_fixture.sh. Wants $judges (a folder) and $log (a file).

# Runs a command that uses the network up to four times.
retry() {
    for pause in 2 5 10 0; do
        echo "+ $*" >>"$log"
        if "$@" >>"$log" 2>&1 </dev/null; then return 0; fi
        sleep "$pause"
    done
    return 1
}

# private_apt ARCH PROGRAM ARGUMENT...: apt with lists and an architecture of its own: needs no root and
# changes nothing of the system's. $apt_options are more options.
apt_options=
private_apt() {
    state="$judges/apt/$1"
    program="$2"
    arch="$1"
    shift 2
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >>"$state/status"
    "$program" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$state" \
        -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status" \
        -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none $apt_options "$@"
}

# unpack_into FOLDER ARCH: unpacks what private_apt got into a folder, which comes to be when all of it is
# there, and forgets it.
unpack_into() {
    rm -rf "$1.new"
    mkdir -p "$1.new"
    find "$judges/apt/$2" -name '*.deb' >"$judges/apt/$2/debs"
    while read -r archive; do
        dpkg-deb -x "$archive" "$1.new" || return 1
    done <"$judges/apt/$2/debs"
    rm -rf "$judges/apt/$2"
}

# unpacked ARCH FOLDER PACKAGE...: packages and everything that they depend on, unpacked into one folder.
unpacked() {
    [ ! -d "$2" ] || return 0
    unpacked_arch="$1"
    unpacked_folder="$2"
    shift 2
    rm -rf "$judges/apt/$unpacked_arch"
    retry private_apt "$unpacked_arch" apt-get update || return 1
    retry private_apt "$unpacked_arch" apt-get install --download-only -y --no-install-recommends "$@" || return 1
    unpack_into "$unpacked_folder" "$unpacked_arch" || return 1
    mv "$unpacked_folder.new" "$unpacked_folder"
}

# kernel_of ARCH FLAVOUR FOLDER: the current kernel of Debian's and its modules, not compressed: boot/vmlinuz-RELEASE
# and lib/modules/RELEASE or usr/lib/modules/RELEASE.
kernel_of() {
    [ -z "$(find "$3/boot" -name 'vmlinuz-*' 2>/dev/null)" ] || return 0
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then return 1; fi
    kernel_arch="$1"
    kernel_folder="$3"
    rm -rf "$judges/apt/$1"
    retry private_apt "$1" apt-get update || return 1
    package=$(private_apt "$1" apt-cache depends "linux-image-$2" 2>>"$log" |
        sed -n 's/^ *Depends: *\(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || return 1
    echo "downloading $package" >&2
    (cd "$judges/apt/$kernel_arch" && retry private_apt "$kernel_arch" apt-get download "$package") || return 1
    unpack_into "$kernel_folder" "$kernel_arch" || return 1
    find "$kernel_folder.new/boot" -type f ! -name 'vmlinuz-*' -exec rm {} +
    # Newer Debians compress them.
    find "$kernel_folder.new" -name '*.ko.xz' -exec xz -d {} +
    rm -rf "$kernel_folder"
    mv "$kernel_folder.new" "$kernel_folder"
}

# release_of FOLDER: the release of the kernel that kernel_of got.
release_of() {
    find "$1/boot" -name 'vmlinuz-*' 2>>"$log" | sed -n 's/.*vmlinuz-//p' | head -n 1
}

# headers_of ARCH RELEASE FOLDER: the list of symbols that a kernel of Debian's exports:
# usr/src/linux-headers-RELEASE/Module.symvers.
headers_of() {
    [ ! -f "$3/usr/src/linux-headers-$2/Module.symvers" ] || return 0
    if [ -z "$2" ] || ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then return 1; fi
    rm -rf "$judges/apt/$1"
    retry private_apt "$1" apt-get update || return 1
    echo "downloading linux-headers-$2" >&2
    (cd "$judges/apt/$1" && retry private_apt "$1" apt-get download "linux-headers-$2") || return 1
    unpack_into "$3" "$1" || return 1
    rm -rf "$3"
    mv "$3.new" "$3"
}
