package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// The three models of raftsdk/testing/checkers/models.py, written again. Values and states are JSON texts.

// request is what a client asked for.
type request struct {
	key, kind, value string
	longest          string // the longest list that was seen of this key; see isPossible
}

// reply is what it was told; unknown when it was told nothing.
type reply struct {
	value   string
	unknown bool
}

var modelOf = map[string]string{
	"read": "register", "write": "register", "cas": "register",
	"append": "list", "list": "list",
	"acquire": "mutex", "release": "mutex",
}

var models = map[string]porcupine.Model{
	"register": modelFrom("null", register),
	"list":     modelFrom("[]", appendList),
	"mutex":    modelFrom("null", mutex),
}

// modelFrom makes a model of a function from a state and a request to the next state and the reply.
func modelFrom(initial string, apply func(state string, asked request) (string, string)) porcupine.Model {
	return porcupine.Model{
		Partition: partition,
		Init:      func() any { return initial },
		Step: func(state, input, output any) (bool, any) {
			next, told := apply(state.(string), input.(request))
			got := output.(reply)
			return (got.unknown || got.value == told) && isPossible(next, input.(request)), next
		},
	}
}

func partition(history []porcupine.Operation) [][]porcupine.Operation {
	byKey := map[string][]porcupine.Operation{}
	for _, operation := range history {
		key := operation.Input.(request).key
		byKey[key] = append(byKey[key], operation)
	}
	var parts [][]porcupine.Operation
	for _, part := range byKey {
		parts = append(parts, withLongest(part))
	}
	return parts
}

// withLongest tells every operation of a key the longest list that was seen.
func withLongest(part []porcupine.Operation) []porcupine.Operation {
	longest := ""
	for _, operation := range part {
		if told := operation.Output.(reply); operation.Input.(request).kind == "list" && len(told.value) > len(longest) {
			longest = told.value
		}
	}
	for number := range part {
		asked := part[number].Input.(request)
		asked.longest = longest
		part[number].Input = asked
	}
	return part
}

// isPossible says whether a state can lead to the longest list that was seen, or come of it: a list only grows. Without
// this a few appends of unknown outcome, which can be put anywhere, keep porcupine busy for minutes.
func isPossible(state string, asked request) bool {
	if modelOf[asked.kind] != "list" || asked.longest == "" {
		return true
	}
	one, other := beginning(state), beginning(asked.longest)
	return strings.HasPrefix(one, other) || strings.HasPrefix(other, one)
}

// beginning is the text with which every longer list of the same first values begins.
func beginning(list string) string {
	if list == "[]" {
		return "["
	}
	return strings.TrimSuffix(list, "]") + ","
}

func register(state string, asked request) (string, string) {
	switch asked.kind {
	case "read":
		return state, state
	case "write":
		return asked.value, "null"
	default:
		expected, next := pair(asked.value)
		if state != expected {
			return state, "false"
		}
		return next, "true"
	}
}

func appendList(state string, asked request) (string, string) {
	if asked.kind == "list" {
		return state, state
	}
	if state == "[]" {
		return "[" + asked.value + "]", "null"
	}
	return strings.TrimSuffix(state, "]") + "," + asked.value + "]", "null"
}

func mutex(state string, asked request) (string, string) {
	switch {
	case asked.kind == "acquire" && state == "null":
		return asked.value, "true"
	case asked.kind == "release" && state == asked.value:
		return "null", "true"
	default:
		return state, "false"
	}
}

// pair takes the input of a cas apart. operationOf has made its two values canonical already.
func pair(value string) (string, string) {
	var both []json.RawMessage
	if err := json.Unmarshal([]byte(value), &both); err != nil || len(both) != 2 {
		panic(fmt.Sprintf("the input of a cas is a pair, not %s", value))
	}
	return string(both[0]), string(both[1])
}
