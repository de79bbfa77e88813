package node

import (
	"context"
	"errors"
	"strings"
	"sync"

	"outlink/domain"
	"outlink/projections"
	"outlink/projections/cockroach"
	"outlink/projections/sqlite"
)

// Store is a read model's store as a node uses it.
type Store interface {
	projections.Reader
	projections.Store
	projections.Snapshots
	projections.Builder
	At(ctx context.Context, projection string, generation int) (projections.Reader, error)
	Migrate(ctx context.Context) error
	Close() error
}

// OpenStore opens the store that a database setting names.
func OpenStore(ctx context.Context, database string) (Store, error) {
	scheme, rest, _ := strings.Cut(database, ":")
	switch scheme {
	case "sqlite":
		return opened(sqlite.Open(ctx, rest))
	case "postgres", "postgresql":
		return opened(cockroach.Open(ctx, database))
	}
	return nil, domain.Errorf(domain.InvalidArgument, "database: the scheme %q is not known; give postgres://… (CockroachDB, PostgreSQL) or sqlite:PATH", scheme)
}

// opened is a store, or the error and no store: a nil pointer in an interface would
// be taken for one.
func opened[S Store](s S, err error) (Store, error) {
	var known *domain.Error
	switch {
	case err == nil:
		return s, nil
	case errors.As(err, &known), errors.Is(err, context.Canceled):
		return nil, err
	}
	return nil, domain.Errorf(domain.Unavailable, "the read model cannot be opened: %v; see that --database is right, and that it can be reached", err)
}

// notifying tells the node's pages and waiting queries that rows have changed, and
// people that they no longer will.
type notifying struct {
	Store
	advanced *signal
	stopped  func(context.Context, projections.Position) error
}

// Apply stores a batch.
func (n notifying) Apply(ctx context.Context, b projections.Batch) error {
	err := n.Store.Apply(ctx, b)
	if err == nil {
		n.advanced.fire(b.To)
	}
	return err
}

// Report records a problem, and is not done before people will hear of it.
func (n notifying) Report(ctx context.Context, p projections.Position) error {
	if err := n.Store.Report(ctx, p); err != nil {
		return err
	}
	return n.stopped(ctx, p)
}

// signal wakes any number of waiters; what they missed, they need not know.
type signal struct {
	mu   sync.Mutex
	c    chan struct{}
	last uint64
	over chan struct{} // closed: nobody is to wait any more
}

func newSignal() *signal { return &signal{c: make(chan struct{}), over: make(chan struct{})} }

// end ends what delivers changes: a live page would hold its stream open for ever.
func (s *signal) end() { close(s.over) }

// next is closed when the signal fires the next time.
func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c
}

func (s *signal) fire(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, sequence)
	close(s.c)
	s.c = make(chan struct{})
}

// changes delivers the sequence each time the read model advanced, until the
// context or the signal ends. A slow receiver gets the newest one only.
func (s *signal) changes(ctx context.Context) <-chan uint64 {
	out := make(chan uint64)
	go func() {
		defer close(out)
		for {
			c := s.next()
			select {
			case <-c:
			case <-s.over:
				return
			case <-ctx.Done():
				return
			}
			s.mu.Lock()
			last := s.last
			s.mu.Unlock()
			select {
			case out <- last:
			case <-s.over:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Store is the node's read model.
func (n *Node) Store() Store { return n.store }
