package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// gate stands before the library's handler, because the library's own end leaves
// jobs in hand without acknowledgement and may send on a channel that it has
// closed: with nothing in hand when the library ends, neither can happen. It opens
// when all subscriptions are there, for one that fails ends the others.
type gate struct {
	decided  chan struct{} // closed when the gate has been opened or closed
	mu       sync.Mutex
	closed   bool
	busy     sync.WaitGroup
	consumes []jetstream.ConsumeContext
}

// gated is a consumer behind a gate.
type gated struct {
	jetstream.Consumer
	gate *gate
}

// Consume passes messages on until the gate closes; later ones are given back.
func (g gated) Consume(handler jetstream.MessageHandler, opts ...jetstream.PullConsumeOpt) (jetstream.ConsumeContext, error) {
	consume, err := g.Consumer.Consume(func(m jetstream.Msg) {
		if !g.gate.enter() {
			_ = m.Nak() // else it comes again when its time is over
			return
		}
		defer g.gate.busy.Done()
		handler(m)
	}, opts...)
	if err == nil {
		g.gate.mu.Lock()
		defer g.gate.mu.Unlock()
		g.gate.consumes = append(g.gate.consumes, consume)
	}
	return consume, err
}

func newGate() *gate { return &gate{decided: make(chan struct{})} }

// open lets jobs through, those too that wait by now. It is called once at most.
func (g *gate) open() { close(g.decided) }

func (g *gate) enter() bool {
	<-g.decided
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.busy.Add(1)
	}
	return !g.closed
}

// close lets nothing more through, and waits for what is in hand and for what the
// server has sent already, which is given back.
func (g *gate) close(within time.Duration) {
	g.mu.Lock()
	g.closed = true
	select {
	case <-g.decided:
	default:
		close(g.decided) // it was never opened
	}
	consumes := g.consumes
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	go func() {
		drained := make([]<-chan struct{}, 0, len(consumes))
		for _, c := range consumes {
			drained = append(drained, c.Closed()) // asked for too late, it never comes
			c.Drain()
		}
		for _, d := range drained {
			<-d
		}
		g.busy.Wait()
		cancel()
	}()
	<-ctx.Done()
}
