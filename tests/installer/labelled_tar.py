#!/usr/bin/env python3
"""labelled_tar.py FOLDER >TAR

A tar of a folder in which every path carries an SELinux label, as Talos' root file system does: all of
root, times 0, sorted. Needs no privilege, since the labels exist in the tar only (PAX records
`SCHILY.xattr.security.selinux`, the value with its trailing NUL byte).
"""

import os
import re
import sys
import tarfile

# The first expression that matches a path from its beginning gives the type.
TYPES = [
    (r"/usr/lib/modules(/|$)", "module_t"),
    (r"/usr/lib/firmware(/|$)", "lib_t"),
    (r"/usr/bin/(init|modprobe)$", "init_exec_t"),
    (r"/usr/(bin|libexec)(/|$)", "bin_exec_t"),
    (r"/usr/lib(/|$)", "lib_t"),
    (r"/usr(/|$)", "usr_t"),
    (r"/etc(/|$)", "etc_t"),
    (r"/(dev|proc|run|sys|tmp|var)(/|$)", "mountpoint_t"),
]


def label(path):
    kind = next((kind for expression, kind in TYPES if re.match(expression, path)), "rootfs_t")
    return f"system_u:object_r:{kind}:s0\0"


def paths(folder):
    yield "."
    for current, folders, files in os.walk(folder):
        folders.sort()
        for name in folders + files:
            yield os.path.relpath(os.path.join(current, name), folder)


def main(folder):
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(paths(folder)):
            full = os.path.join(folder, path)
            entry = archive.gettarinfo(full, "./" if path == "." else f"./{path}")
            if entry.islnk():
                # Two names of one file on this disk are two files here.
                entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", os.path.getsize(full)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.pax_headers = {"SCHILY.xattr.security.selinux": label("/" if path == "." else f"/{path}")}
            if entry.isreg():
                with open(full, "rb") as contents:
                    archive.addfile(entry, contents)
            else:
                archive.addfile(entry)


main(*sys.argv[1:])
