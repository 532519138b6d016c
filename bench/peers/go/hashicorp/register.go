package main

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

var errNoSnapshots = errors.New("this state machine has no snapshots")

// register is the state machine: it keeps the value last written and counts what it was given.
type register struct {
	value   atomic.Pointer[[]byte]
	applied atomic.Uint64
}

func (r *register) Apply(entry *raft.Log) any {
	r.value.Store(&entry.Data)
	r.applied.Add(1)
	return nil
}

// ApplyBatch is Apply of each command among the entries. No difference to Apply alone was seen: 0.97 to 1.08 without.
func (r *register) ApplyBatch(entries []*raft.Log) []any {
	for _, entry := range entries {
		if entry.Type == raft.LogCommand {
			r.Apply(entry)
		}
	}
	return make([]any, len(entries))
}

func (r *register) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errNoSnapshots
}

func (r *register) Restore(io.ReadCloser) error {
	return errNoSnapshots
}
