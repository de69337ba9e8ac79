"""Validates JSON files by the schemas of the OCI image specification, without a network.

Arguments: the folder of schemas, then pairs of a schema's name and a file. Says what is wrong on
standard error, one line for each finding, and ends with 1 if there is any.
"""

import json
import os
import sys

from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

folder = sys.argv[1]


def load(name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


def retrieve(uri):
    # The schemas name each other by URLs whose last part is the file's name.
    return Resource(contents=load(uri.rsplit("/", 1)[-1]), specification=DRAFT4)


registry = Registry(retrieve=retrieve)
found = 0
for name, path in zip(sys.argv[2::2], sys.argv[3::2]):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    for error in Draft4Validator(load(name), registry=registry).iter_errors(document):
        print(f"{path}: {error.json_path}: {error.message}", file=sys.stderr)
        found += 1
sys.exit(1 if found else 0)
