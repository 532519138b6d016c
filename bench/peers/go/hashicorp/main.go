// Command hashicorp is one node of hashicorp/raft.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"raftsdk/bench/peers/order"
)

const (
	transportPool    = 3 // connections to a follower that are kept while idle
	transportTimeout = 10 * time.Second
)

// node carries out orders: its writers are goroutines in its own process.
type node struct {
	raft     *raft.Raft
	register *register
}

func (n node) Status() order.Status {
	return order.Status{
		Leading: n.raft.State() == raft.Leader,
		Applied: n.register.applied.Load(),
		Term:    n.raft.CurrentTerm(),
	}
}

func (n node) Ready() (order.Worker, error) {
	if n.raft.State() != raft.Leader {
		return nil, errors.New("not the leader")
	}
	return n, nil
}

func (n node) Write(_ int, value []byte) error {
	return n.raft.Apply(value, 0).Error()
}

// Read is what the library has for linearizable reads: a majority confirms that this node leads still, then it reads
// what it has applied. The library counts the answer to a heartbeat that it sent just before it was asked, too; etcd
// sends one for the read.
func (n node) Read(int) error {
	if err := n.raft.VerifyLeader().Error(); err != nil {
		return err
	}
	if n.register.value.Load() == nil {
		return errors.New("there is no value")
	}
	return nil
}

// start returns the node, in a cluster with the others, and what ends it.
func start(spec order.Spec) (node, func() error, error) {
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Error, Output: os.Stderr})
	var servers []raft.Server
	for _, port := range spec.Ports {
		address := fmt.Sprintf("127.0.0.1:%d", port)
		servers = append(servers, raft.Server{ID: raft.ServerID(address), Address: raft.ServerAddress(address)})
	}
	own := servers[spec.Node]

	transport, err := raft.NewTCPTransportWithLogger(string(own.Address), nil, transportPool, transportTimeout, logger)
	if err != nil {
		return node{}, nil, err
	}
	storage, err := openStorage(spec)
	if err != nil {
		return node{}, nil, err
	}
	config := settings()
	config.LocalID = own.ID
	config.Logger = logger
	register := &register{}
	member, err := raft.NewRaft(config, register, storage.log, storage.stable, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		return node{}, nil, err
	}
	bootstrapped := member.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if bootstrapped != nil && !errors.Is(bootstrapped, raft.ErrCantBootstrap) { // it cannot when it was started again
		return node{}, nil, bootstrapped
	}
	stop := func() error {
		return errors.Join(member.Shutdown().Error(), transport.Close(), storage.close())
	}
	return node{member, register}, stop, nil
}

func run() error {
	spec, err := order.Start()
	if err != nil {
		return err
	}
	member, stop, err := start(spec)
	if err != nil {
		return err
	}
	return errors.Join(order.Serve(member), stop())
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
