package main

import (
	"fmt"
	"math"
	"path/filepath"
	"runtime/debug"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"raftsdk/bench/peers/order"
)

// What was tried is given as the ratio of committed writes a second to those with 1,024 entries and the other settings
// as they are here, in interleaved rounds on a busy machine: a tenth either way is noise.
const (
	// 1.05 to 1.15 in memory; in Bolt 1.3, 1.0, 1.2 and 0.85 with 64, 256, 1,024 and 4,096 writers. The default, 64: 0.7
	// in memory and 0.5 in Bolt with 1,024 writers, in memory no difference up to 256. 256: 0.9.
	maxAppendEntries = 512
	// Go's default, 100: 0.85 to 0.95. 800: 1.3 with 1,024 writers, but a heap of nine times what is live.
	garbagePercent = 400
	// Entries in memory in front of Bolt. None: 0.6 to 0.9. 512, as in Consul: 0.8 with 1,024 writers. 16,384: the same.
	cachedEntries = 4096
)

// settings leaves all timeouts at their defaults, so a failover is what users get, and also the two requests that may
// be on their way to a follower: 1 is the same, 8 give 0.8 to 1, 130 (once the default) 0.45 to 0.8.
func settings() *raft.Config {
	debug.SetGCPercent(garbagePercent)
	config := raft.DefaultConfig()
	config.MaxAppendEntries = maxAppendEntries
	config.BatchApplyCh = true                // the same without
	config.SnapshotThreshold = math.MaxUint64 // no contestant compacts while the clock runs
	return config
}

// storage is where a node keeps its log, and its term and vote.
type storage struct {
	log    raft.LogStore
	stable raft.StableStore
	close  func() error
}

func openStorage(spec order.Spec) (storage, error) {
	switch spec.Variant {
	case "memory":
		store := raft.NewInmemStore()
		return storage{store, store, func() error { return nil }}, nil
	case "bolt":
		store, err := openBolt(filepath.Join(spec.Directory, "raft.db"))
		if err != nil {
			return storage{}, err
		}
		cache, err := raft.NewLogCache(cachedEntries, store)
		return storage{cache, store, store.Close}, err
	default:
		return storage{}, fmt.Errorf("no variant %q", spec.Variant)
	}
}

// openBolt has every transaction synced, as is Bolt's default.
func openBolt(path string) (*raftboltdb.BoltStore, error) {
	options := *bbolt.DefaultOptions
	options.NoFreelistSync = true                // as in Vault; 0.75 to 1 without
	options.FreelistType = bbolt.FreelistMapType // likewise; 0.75 to 1.15 without
	return raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: &options})
}
