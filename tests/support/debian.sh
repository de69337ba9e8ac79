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
# changes nothing of the system's.
private_apt() {
    state="$judges/apt/$1"
    program="$2"
    arch="$1"
    shift 2
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >>"$state/status"
    "$program" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "Dir::State=$state" \
        -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status" \
        -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# unpacked ARCH FOLDER PACKAGE...: packages and everything that they depend on, unpacked into one folder,
# which comes to be when all of it is there.
unpacked() {
    [ ! -d "$2" ] || return 0
    folder="$2"
    rm -rf "$judges/apt/$1"
    retry private_apt "$1" apt-get update || return 1
    unpacked_arch="$1"
    shift 2
    retry private_apt "$unpacked_arch" apt-get install --download-only -y --no-install-recommends "$@" || return 1
    rm -rf "$folder.new"
    mkdir -p "$folder.new"
    for archive in "$judges/apt/$unpacked_arch"/cache/archives/*.deb; do
        dpkg-deb -x "$archive" "$folder.new" || return 1
    done
    rm -rf "$judges/apt/$unpacked_arch"
    mv "$folder.new" "$folder"
}
