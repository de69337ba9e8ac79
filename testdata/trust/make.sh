#!/bin/sh
# Makes the certificates and messages here anew: `testdata/trust/make.sh`. Wants openssl 3. The keys are
# thrown away, so every run gives other bytes; no test depends on which.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'what was signed\n' >content

# certificate NAME ALGORITHM [OPTION...]
certificate() {
    name=$1 algorithm=$2
    shift 2
    openssl req -x509 -newkey "$algorithm" "$@" -nodes -keyout "$work/$name.key" -out "$work/$name.pem" \
        -days 36500 -subj "/O=Talosmith/CN=$name" -addext basicConstraints=critical,CA:FALSE \
        -addext keyUsage=digitalSignature 2>/dev/null
    openssl x509 -in "$work/$name.pem" -outform DER -out "$name.x509"
}

# message FILE NAME HASH OPTION...
message() {
    file=$1 name=$2 hash=$3
    shift 3
    openssl cms -sign -binary -in content -signer "$work/$name.pem" -inkey "$work/$name.key" -md "$hash" \
        -outform DER -out "$file.p7s" "$@"
}

certificate rsa2048 rsa:2048
certificate rsa3072 rsa:3072
certificate p256 ec -pkeyopt ec_paramgen_curve:P-256
certificate p384 ec -pkeyopt ec_paramgen_curve:P-384
certificate p521 ec -pkeyopt ec_paramgen_curve:P-521
certificate ed25519 ed25519
message rsa2048.sha256 rsa2048 sha256 -noattr -nocerts
message rsa3072.sha512.keyid rsa3072 sha512 -noattr -nocerts -keyid
message p256.sha384 p256 sha384 -noattr -nocerts
message p384.sha512.keyid p384 sha512 -noattr -nocerts -keyid
message two-signers rsa2048 sha512 -noattr -nocerts -signer "$work/p256.pem" -inkey "$work/p256.key"
message attributes rsa2048 sha256 -nocerts
message certificates p384 sha256 -noattr
message content p256 sha256 -noattr -nocerts -nodetach
