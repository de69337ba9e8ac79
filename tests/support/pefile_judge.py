"""Prints what pefile makes of a PE file, in the form of sections.go; a warning is an error, as for ukify."""

import hashlib
import sys

import pefile

pe = pefile.PE(sys.argv[1], fast_load=True)
if pe.get_warnings():
    sys.exit("\n".join(pe.get_warnings()))
end = 0
for index, section in enumerate(pe.sections):
    data = section.get_data(length=section.Misc_VirtualSize)
    name = section.Name.rstrip(b"\0").decode()
    digest = hashlib.sha256(data).hexdigest()
    print(index, name, hex(section.VirtualAddress), section.Misc_VirtualSize, digest)
    if section.PointerToRawData % pe.OPTIONAL_HEADER.FileAlignment:
        sys.exit(f"{name} is not aligned in the file")
    end = max(end, section.PointerToRawData + section.SizeOfRawData)
if end != len(pe.__data__):
    sys.exit(f"{len(pe.__data__) - end} bytes behind the last section")
