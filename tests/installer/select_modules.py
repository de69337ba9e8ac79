#!/usr/bin/env python3
"""select_modules.py MODULES.DEP EXPRESSION: paths that match from their beginning, and all that they need."""

import re
import sys


def main(dep, expression):
    needs = {}
    with open(dep, encoding="utf-8") as file:
        for line in file:
            path, _, others = line.partition(":")
            needs[path] = others.split()
    chosen = set()
    for path in needs:
        if re.match(expression, path):
            chosen.update([path], needs[path])
    print("\n".join(sorted(chosen)))


main(*sys.argv[1:])
