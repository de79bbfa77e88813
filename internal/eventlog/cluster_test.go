package eventlog_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/testenv"
)

// With three replicas a crowd is told the right places too, also where some write
// to the same link, and one of them wins each time.
func TestCrowdInACluster(t *testing.T) {
	n := testenv.NodeAt(t, testenv.Cluster(t).URL(), 3, t.TempDir(), "n", "commands")
	shared := domain.Key{Link: uuid.New()}
	var mu sync.Mutex
	told, won := map[domain.Key]commands.Loaded[link.State]{}, uint64(0)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			key := domain.Key{Link: uuid.New()}
			for range 5 {
				at, err := once(t.Context(), n.Commands.Links, key)
				_, race := once(t.Context(), n.Commands.Links, shared)
				if err != nil || race != nil && !errors.Is(race, commands.ErrOvertaken) {
					t.Error(err, race)
				}
				mu.Lock()
				told[key] = at
				if race == nil {
					won++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for key, at := range told {
		if got, err := n.Commands.Links.Load(t.Context(), key); err != nil || got.Version != 5 || got.Sequence != at.Sequence {
			t.Errorf("%s is at version %d, sequence %d; it was told %d: %v", key, got.Version, got.Sequence, at.Sequence, err)
		}
	}
	if got, err := n.Commands.Links.Load(t.Context(), shared); err != nil || got.Version != won || won == 0 {
		t.Errorf("%d won, and the link is at version %d: %v", won, got.Version, err)
	}
}

// once appends an event to a link as it is.
func once(ctx context.Context, log commands.Log[link.State, link.Event], key domain.Key) (commands.Loaded[link.State], error) {
	at, err := log.Load(ctx, key)
	if err != nil {
		return at, err
	}
	return log.Append(ctx, key, at, link.Disabled{}, meta())
}
