// Package order is what a program is told and answers, and how it counts: the same for every contestant.
//
// A program finds its Spec in its only argument, reads an Order a line from standard input, and prints an Answer a
// line in return; it ends with its input.
package order

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Spec is one process to run: who, among whom, how.
type Spec struct {
	Node      int    `json:"node"`  // its place in Ports; 0 for a client
	Ports     []int  `json:"ports"` // on loopback, one for each node: to its Raft, or for a client, to what clients speak
	Variant   string `json:"variant"`
	Directory string `json:"directory"` // for the data of this process alone
}

// Order says: tell how you are, or, with Writers, work for so long and say how it went.
type Order struct {
	Writers    int     `json:"writers"`
	Seconds    float64 `json:"seconds"`
	ValueBytes int     `json:"value_bytes"`
	Reads      bool    `json:"reads"` // linearizable reads of the value that is kept, instead of writes
	Once       bool    `json:"once"`  // one write, without a warm-up, and no more
}

// Answer is one line in return; exactly one of these is there.
type Answer struct {
	Status *Status `json:"status,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
	Failed *Failed `json:"failed,omitempty"`
}

// Status is how a node is.
type Status struct {
	Leading bool   `json:"leading"`
	Applied uint64 `json:"applied"` // commands its state machine has been given
	Term    uint64 `json:"term"`
}

// Sample is how a load went, seen from its writers.
type Sample struct {
	Operations     int     `json:"operations"`
	OperationsPerS float64 `json:"operations_per_s"`
	P50Ms          float64 `json:"p50_ms"`
	P99Ms          float64 `json:"p99_ms"`
}

// Failed is why a load did not go.
type Failed struct {
	Error string `json:"error"`
}

// Contestant carries out orders.
type Contestant interface {
	Status() Status
	// Ready returns what can work, or why nothing can now.
	Ready() (Worker, error)
}

// Worker is asked by many goroutines at once.
type Worker interface {
	// Write returns when the value is committed and applied. Both are told which goroutine asks.
	Write(writer int, value []byte) error
	Read(reader int) error
}

// Start returns the Spec of this process.
func Start() (Spec, error) {
	var spec Spec
	if len(os.Args) != 2 {
		return spec, fmt.Errorf("usage: %s SPEC", os.Args[0])
	}
	return spec, json.Unmarshal([]byte(os.Args[1]), &spec)
}

// Serve carries out orders until standard input ends.
func Serve(contestant Contestant) error {
	answers := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		order := Order{ValueBytes: 256}
		if err := json.Unmarshal(lines.Bytes(), &order); err != nil {
			return err
		}
		if err := answers.Encode(answer(contestant, order)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func answer(contestant Contestant, order Order) Answer {
	if order.Writers == 0 {
		status := contestant.Status()
		return Answer{Status: &status}
	}
	worker, err := contestant.Ready()
	if err != nil {
		return Answer{Failed: &Failed{err.Error()}}
	}
	sample, err := work(worker, order)
	if err != nil {
		return Answer{Failed: &Failed{err.Error()}}
	}
	return Answer{Sample: &sample}
}
