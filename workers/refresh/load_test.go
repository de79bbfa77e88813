package refresh_test

import (
	"context"
	"sync"
	"testing"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/provider"
	"outlink/internal/journal"
	"outlink/workers/refresh"
)

// F28. The end of the process comes with a hundred requests in flight: each
// answer is in the log before the work is done, and nothing is asked twice.
func TestEndWithAHundredInFlight(t *testing.T) {
	const grants = 100
	w := newWorld(t, 1, grants)
	j, err := journal.Open(t.TempDir(), journal.DefaultSize) // room for all of them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	w.workers[0].Journal = j
	release, arrived := make(chan struct{}), make(chan struct{}, grants)
	w.workers[0].Endpoint = holding{w.workers[0].Endpoint, arrived, release}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, key := range w.grants {
		wg.Go(func() {
			if err := w.workers[0].Handle(ctx, key); err != nil {
				t.Errorf("handle: %v", err)
			}
		})
	}
	for range grants {
		<-arrived
	}
	cancel()
	close(release)
	wg.Wait()
	for _, key := range w.grants {
		if s := w.state(key); s.Generation != 2 || s.Attempt != nil {
			t.Fatalf("a grant is at generation %d", s.Generation)
		}
	}
	if w.op.requests != grants || len(w.op.dead) != 0 || len(w.workers[0].Journal.All()) != 0 {
		t.Errorf("%d requests, %d dead grants, %d answers in the journal", w.op.requests, len(w.op.dead), len(w.workers[0].Journal.All()))
	}
}

// holding lets every request wait until it is released.
type holding struct {
	refresh.TokenEndpoint
	arrived chan struct{}
	release chan struct{}
}

func (h holding) Refresh(ctx context.Context, r provider.Registration, token domain.Secret, guard func() error, keep func(answer.Raw) error) answer.Answer {
	h.arrived <- struct{}{}
	<-h.release
	return h.TokenEndpoint.Refresh(ctx, r, token, guard, keep)
}
