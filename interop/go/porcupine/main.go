// Command porcupine-check gives histories to porcupine, a linearizability checker that shares nothing with ours but
// the file format (see raftsdk/testing/history.py), and prints one line a file: its verdict, a tab, the file.
//
//	go run . history.jsonl ...
//
// It exits with 0 when every file was read, whatever the verdicts, and with 2 and a message when one was not.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// maxLineBytes bounds one operation: the output of a list is the longest there is.
const maxLineBytes = 16 << 20

// line is one operation, as the file has it.
type line struct {
	Key      string          `json:"key"`
	Kind     string          `json:"kind"`
	Input    json.RawMessage `json:"input"`
	Output   json.RawMessage `json:"output"`
	Invoked  int64           `json:"invoked"`
	Returned *int64          `json:"returned"`
	Outcome  string          `json:"outcome"`
}

func main() {
	timeout := flag.Duration("timeout", 30*time.Second, "for one model of one file; then it is undecided")
	flag.Parse()
	for _, path := range flag.Args() {
		verdict, err := check(path, *timeout)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(2)
		}
		fmt.Printf("%s\t%s\n", verdict, path)
	}
}

// check decides one file. Each model gets the operations it knows; keys are split by porcupine.
func check(path string, timeout time.Duration) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	byModel, err := read(file)
	if err != nil {
		return "", err
	}
	undecided := false
	for name, operations := range byModel {
		switch porcupine.CheckOperationsTimeout(models[name], operations, timeout) {
		case porcupine.Illegal:
			return "not linearizable", nil
		case porcupine.Unknown:
			undecided = true
		}
	}
	if undecided {
		return "undecided", nil
	}
	return "linearizable", nil
}

// read parses a history and sorts its operations by model. Those that failed never happened and are left out.
func read(from io.Reader) (map[string][]porcupine.Operation, error) {
	byModel := map[string][]porcupine.Operation{}
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, maxLineBytes)
	for number := 1; scanner.Scan(); number++ {
		var parsed line
		if err := json.Unmarshal(scanner.Bytes(), &parsed); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		model, known := modelOf[parsed.Kind]
		if !known {
			return nil, fmt.Errorf("line %d: no model knows %q", number, parsed.Kind)
		}
		operation, err := operationOf(parsed)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if parsed.Outcome != "failed" {
			byModel[model] = append(byModel[model], operation)
		}
	}
	return byModel, scanner.Err()
}

// operationOf translates one operation. One of unknown outcome returns at the end of time and may return anything: put
// after all the others it changes nothing, which is the same as if it had never happened.
func operationOf(parsed line) (porcupine.Operation, error) {
	input, err := valueOf(parsed.Input)
	if err != nil {
		return porcupine.Operation{}, err
	}
	asked := request{key: parsed.Key, kind: parsed.Kind, value: input}
	switch {
	case parsed.Outcome == "unknown" || parsed.Outcome == "failed":
		return porcupine.Operation{Input: asked, Call: parsed.Invoked, Output: reply{unknown: true}, Return: math.MaxInt64}, nil
	case parsed.Outcome != "ok" || parsed.Returned == nil:
		return porcupine.Operation{}, fmt.Errorf("outcome %q without a return", parsed.Outcome)
	}
	output, err := valueOf(parsed.Output)
	return porcupine.Operation{Input: asked, Call: parsed.Invoked, Output: reply{value: output}, Return: *parsed.Returned}, err
}

// valueOf gives equal texts for equal JSON values: numbers stay as they are written, texts are escaped one way.
func valueOf(raw json.RawMessage) (string, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	text, err := json.Marshal(value)
	return string(text), err
}
