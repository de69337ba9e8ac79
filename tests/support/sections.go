// Prints what Go's debug/pe makes of a PE file, section by section: index, name, virtual address,
// virtual size, SHA-256 of as many of its bytes. Talos takes unified kernel images apart this way.
package main

import (
	"crypto/sha256"
	"debug/pe"
	"fmt"
	"io"
	"os"
)

func main() {
	file, err := pe.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	defer file.Close()
	if len(file.COFFSymbols) != 0 {
		fmt.Fprintln(os.Stderr, "there are COFF symbols")
		os.Exit(1)
	}
	for index, section := range file.Sections {
		// Data fails where a section's raw bytes reach outside of the file.
		data, err := section.Data()
		if err != nil || uint32(len(data)) != section.Size {
			fmt.Fprintln(os.Stderr, section.Name, "cannot be read:", len(data), err)
			os.Exit(1)
		}
		hash := sha256.New()
		count, err := io.Copy(hash, io.LimitReader(section.Open(), int64(section.VirtualSize)))
		if err != nil || count > int64(section.VirtualSize) {
			fmt.Fprintln(os.Stderr, section.Name, "cannot be read:", err)
			os.Exit(1)
		}
		fmt.Printf("%d %s %#x %d %x\n", index, section.Name, section.VirtualAddress, section.VirtualSize, hash.Sum(nil))
	}
}
