#!/usr/bin/env python3
"""index.py LAYOUT NAME TAG...

Puts the images TAG... of an OCI layout into an image index NAME, each with its platform, which neither umoci
nor skopeo can, and names the index instead of them.
"""

import hashlib
import json
import os
import sys

REFERENCE = "org.opencontainers.image.ref.name"


def blob(layout, digest):
    return os.path.join(layout, "blobs", *digest.split(":"))


def main(layout, name, *tags):
    path = os.path.join(layout, "index.json")
    with open(path, encoding="utf-8") as file:
        top = json.load(file)
    named = {entry["annotations"][REFERENCE]: entry for entry in top["manifests"]}
    manifests = []
    for tag in tags:
        entry = named.pop(tag)
        with open(blob(layout, entry["digest"]), encoding="utf-8") as file:
            manifest = json.load(file)
        with open(blob(layout, manifest["config"]["digest"]), encoding="utf-8") as file:
            config = json.load(file)
        platform = {key: config[key] for key in ("architecture", "os")}
        manifests.append({key: entry[key] for key in ("mediaType", "digest", "size")} | {"platform": platform})
    kind = "application/vnd.oci.image.index.v1+json"
    index = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).encode()
    digest = "sha256:" + hashlib.sha256(index).hexdigest()
    with open(blob(layout, digest), "wb") as file:
        file.write(index)
    entry = {"mediaType": kind, "digest": digest, "size": len(index), "annotations": {REFERENCE: name}}
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"schemaVersion": 2, "manifests": list(named.values()) + [entry]}, file)


main(*sys.argv[1:])
