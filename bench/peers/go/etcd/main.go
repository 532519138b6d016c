// Command etcd is a client of an etcd cluster: it writes to the leader and reads from it, over gRPC.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"raftsdk/bench/peers/order"
)

const (
	// With 256 requests in flight, as ratios to 4, medians of eight interleaved rounds on a busy machine: writes 1.0
	// (1 connection), 0.85 (16), 0.75 (64); reads 0.95, 0.9, 0.9.
	connections = 4
	// One key in all, as etcd's own benchmark has it by default. A key for each writer: the same.
	key           = "value"
	statusTimeout = time.Second
)

// server is the connections to one server; the writers take turns at them.
type server []*clientv3.Client

func connect(port int) (server, error) {
	config := clientv3.Config{
		Endpoints: []string{fmt.Sprintf("127.0.0.1:%d", port)},
		Logger:    zap.NewNop(), // errors are returned as well
	}
	var found server
	for range connections {
		client, err := clientv3.New(config)
		if err != nil {
			return nil, err
		}
		found = append(found, client)
	}
	return found, nil
}

func (s server) leads() bool {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	status, err := s[0].Status(ctx, s[0].Endpoints()[0])
	return err == nil && status.Leader == status.Header.MemberId
}

func (s server) Write(writer int, value []byte) error {
	_, err := s[writer%len(s)].Put(context.Background(), key, string(value))
	return err
}

// Read is linearizable, as it is by default.
func (s server) Read(reader int) error {
	got, err := s[reader%len(s)].Get(context.Background(), key)
	if err == nil && got.Count == 0 {
		return errors.New("there is no value")
	}
	return err
}

// cluster carries out orders by whichever server leads.
type cluster []server

// Status is that of no node.
func (cluster) Status() order.Status { return order.Status{} }

func (c cluster) Ready() (order.Worker, error) {
	for _, each := range c {
		if each.leads() {
			return each, nil
		}
	}
	return nil, errors.New("no server leads")
}

func run() error {
	spec, err := order.Start()
	if err != nil {
		return err
	}
	var servers cluster
	for _, port := range spec.Ports {
		found, err := connect(port)
		if err != nil {
			return err
		}
		servers = append(servers, found)
	}
	return order.Serve(servers)
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
