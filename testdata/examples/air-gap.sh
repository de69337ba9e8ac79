#!/bin/sh
# An installer for a site without a network. The first half runs where there is one, the second half there.
set -eu

outside() {
    talosmith bundle --list
    talosmith bundle -o bundle.tar
}

inside() {
    talosmith build --bundle bundle.tar --locked --out out
}

"$1"
