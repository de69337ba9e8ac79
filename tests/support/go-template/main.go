// Command go-template renders templates as bldr does: with Go's text/template and sprig's hermetic functions.
//
// Its argument is a file of values in JSON: whole numbers become int, others float64, and a mapping below the
// key `texts` becomes map[string]string. Its input has a template in each line, as a JSON string; for each it
// prints a line, {"text": …} or {"error": …}. A text that is no UTF-8 is said to be so as an error.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log"
	"os"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/Masterminds/sprig/v3"
)

type answer struct {
	Text  *string `json:"text,omitempty"`
	Error string  `json:"error,omitempty"`
}

func main() {
	file, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		var text string
		if err := json.Unmarshal(lines.Bytes(), &text); err != nil {
			log.Fatal(err)
		}
		// Read anew each time: templates can change their values.
		decoder := json.NewDecoder(bytes.NewReader(file))
		decoder.UseNumber()
		var values any
		if err := decoder.Decode(&values); err != nil {
			log.Fatal(err)
		}
		if err := out.Encode(patiently(text, typed("", values))); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

// patiently gives up on a template that takes too long: Go has no limits.
func patiently(text string, values any) answer {
	result := make(chan answer, 1)
	go func() { result <- render(text, values) }()
	select {
	case given := <-result:
		return given
	case <-time.After(10 * time.Second):
		return answer{Error: "it takes too long"}
	}
}

func render(text string, values any) answer {
	parsed, err := template.New("main").Funcs(sprig.HermeticTxtFuncMap()).Parse(text)
	if err != nil {
		return answer{Error: err.Error()}
	}
	var buffer bytes.Buffer
	if err := parsed.Execute(&buffer, values); err != nil {
		return answer{Error: err.Error()}
	}
	rendered := buffer.String()
	if !utf8.ValidString(rendered) {
		return answer{Error: "not UTF-8"}
	}
	return answer{Text: &rendered}
}

// typed gives values the types that they have in a template's data.
func typed(name string, value any) any {
	switch value := value.(type) {
	case json.Number:
		if strings.ContainsAny(value.String(), ".eE") {
			float, _ := value.Float64()
			return float
		}
		whole, _ := value.Int64()
		return int(whole)
	case []any:
		for i := range value {
			value[i] = typed("", value[i])
		}
		return value
	case map[string]any:
		if name == "texts" {
			texts := map[string]string{}
			for key, text := range value {
				texts[key] = text.(string)
			}
			return texts
		}
		for key := range value {
			value[key] = typed(key, value[key])
		}
		return value
	}
	return value
}
