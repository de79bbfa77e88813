package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"outlink/domain/grant"
	"outlink/domain/link"
)

// random appends n events in an order that no decision may ever have allowed:
// folding does not judge, so neither may a store depend on it.
func random(r *rand.Rand, l *Log, n int) *Log {
	for range n {
		name, subject := fmt.Sprintf("link%d", r.IntN(4)), fmt.Sprintf("s%d", r.IntN(4))
		if l.versions[LinkID(name)] == 0 {
			l.Link(name, created(name, []string{"google", "custom"}[r.IntN(2)]))
		}
		if r.IntN(4) == 0 {
			l.Link(name, randomLink(r, name))
		} else {
			l.Grant(name+"/"+subject, randomGrant(r, subject))
		}
	}
	return l
}

func randomLink(r *rand.Rand, name string) link.Event {
	switch r.IntN(6) {
	case 0:
		return link.Updated{Config: created(name+"x", "google").Config}
	case 1:
		return link.Degraded{Reason: link.ClientRejected, At: Noon}
	case 2:
		return link.Recovered{At: Noon}
	case 3:
		return link.Disabled{At: Noon}
	case 4:
		return link.Enabled{At: Noon}
	}
	return link.Deleted{At: Noon}
}

func randomGrant(r *rand.Rand, subject string) grant.Event {
	n := uint64(r.IntN(3))
	switch r.IntN(10) {
	case 0:
		return begun(subject)
	case 1:
		return started(n)
	case 2:
		return deferred(n, []grant.DeferReason{grant.Transient, grant.Ambiguous}[r.IntN(2)])
	case 3:
		return dead
	case 4:
		return grant.Suspended{At: Noon}
	case 5:
		return grant.Resumed{At: Noon}
	case 6:
		return grant.Revoked{At: Noon}
	}
	return issued(subject, n, time.Duration(r.IntN(5))*time.Hour) // ends together with others
}

// testRandom: whatever happened, and however it was cut into batches, the rows
// are those of a replay.
func testRandom(t *testing.T, open Open) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s, l := migrated(t, open), new(Log)
	for range 15 {
		random(r, l, 1+r.IntN(60))
		l.Batch = 1 + r.IntN(30)
		project(t, s, l)
		equalToReplay(t, s, l.Records)
		if t.Failed() {
			return
		}
	}
}
