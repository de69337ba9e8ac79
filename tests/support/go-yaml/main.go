// Command go-yaml says how Go's yaml writes values: it reads documents with the key `v`, each a JSON
// string in a line, and prints for each the document that yaml.Marshal makes of the value, or null where
// the document cannot be read.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"

	"go.yaml.in/yaml/v4"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var document string
		if err := json.Unmarshal(lines.Bytes(), &document); err != nil {
			log.Fatal(err)
		}
		var read struct {
			V any `yaml:"v"`
		}
		var written *string
		if err := yaml.Unmarshal([]byte(document), &read); err == nil {
			bytes, err := yaml.Marshal(read.V)
			if err != nil {
				log.Fatal(err)
			}
			text := string(bytes)
			written = &text
		}
		if err := out.Encode(written); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}
