package order

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"time"
)

const (
	warmUp = 400 * time.Millisecond
	onceS  = 5
)

func work(worker Worker, order Order) (Sample, error) {
	values := make([][]byte, order.Writers)
	for writer := range values {
		values[writer] = make([]byte, order.ValueBytes)
		rand.Read(values[writer]) // random, so that no contestant gains by compressing
	}
	write := func(writer int) error { return worker.Write(writer, values[writer]) }
	if order.Once {
		return once(write)
	}
	if order.Reads {
		if err := write(0); err != nil {
			return Sample{}, err
		}
		return load(order, worker.Read)
	}
	return load(order, write)
}

func once(write func(writer int) error) (Sample, error) {
	started := time.Now()
	done := make(chan error, 1)
	go func() { done <- write(0) }()
	select {
	case err := <-done:
		took := milliseconds(time.Since(started))
		return Sample{Operations: 1, P50Ms: took, P99Ms: took}, err
	case <-time.After(onceS * time.Second):
		return Sample{}, fmt.Errorf("no outcome within %d s", onceS)
	}
}

// load has every writer repeat its operation until the window closes that opens after the warm-up.
func load(order Order, operation func(writer int) error) (Sample, error) {
	opens := time.Now().Add(warmUp)
	closes := opens.Add(time.Duration(order.Seconds * float64(time.Second)))
	type outcome struct {
		latencies []time.Duration
		err       error
	}
	outcomes := make(chan outcome)
	for writer := range order.Writers {
		go func() {
			var latencies []time.Duration
			started := time.Now()
			for {
				err := operation(writer)
				ended := time.Now()
				if err != nil || !ended.Before(closes) {
					outcomes <- outcome{latencies, err}
					return
				}
				if !ended.Before(opens) {
					latencies = append(latencies, ended.Sub(started))
				}
				started = ended
			}
		}()
	}
	var all []time.Duration
	var failure error
	for range order.Writers {
		one := <-outcomes
		all = append(all, one.latencies...)
		failure = cmp.Or(failure, one.err)
	}
	return sample(all, order.Seconds), failure
}

// sample is what was seen. The latencies are 0 when nothing was.
func sample(latencies []time.Duration, seconds float64) Sample {
	operations := len(latencies)
	if operations == 0 {
		return Sample{}
	}
	slices.Sort(latencies)
	return Sample{
		Operations:     operations,
		OperationsPerS: float64(operations) / seconds,
		P50Ms:          milliseconds(percentile(latencies, 50)),
		P99Ms:          milliseconds(percentile(latencies, 99)),
	}
}

// percentile is by nearest rank, of figures in ascending order.
func percentile(ordered []time.Duration, percent int) time.Duration {
	return ordered[(len(ordered)*percent+99)/100-1]
}

func milliseconds(took time.Duration) float64 {
	return float64(took) / float64(time.Millisecond)
}
