package refresh

import (
	"context"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/provider"
)

// died reports whether an open attempt is this node's and nobody here works on
// it: the process that did is gone, and its lease need not be waited for. The
// journal tells, not a name: whoever holds it has every answer that came.
func (w *Worker) died(a *grant.Attempt) bool {
	return a != nil && a.Journal == w.Journal.ID() && !w.flies(a.Attempt)
}

// flies reports whether this process works on an attempt.
func (w *Worker) flies(id uuid.UUID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inFlight[id]
}

// mayTakeOver decides about an attempt that is open. Another node's counts as
// dead only when this node has seen it unchanged for a whole lease on its own
// clock: no two clocks are compared. When the old refresh token may be the end
// of the grant, the other node gets some time more to put its answer into the
// log, as long as the access token lives.
func (w *Worker) mayTakeOver(ctx context.Context, key domain.Key, s grant.State, kind provider.RotationKind) (of uuid.UUID, ok bool, err error) {
	a := s.Attempt
	if a == nil {
		return uuid.Nil, true, nil
	}
	if a.Journal == w.Journal.ID() {
		return a.Attempt, w.died(a), nil
	}
	wait := w.watch(a, w.patience(s, kind))
	if wait <= 0 {
		return a.Attempt, true, nil
	}
	return uuid.Nil, false, w.Later(ctx, key, w.Commands.Now().Add(wait+time.Second))
}

// patience is how much longer than its lease another node's attempt is waited for.
func (w *Worker) patience(s grant.State, kind provider.RotationKind) time.Duration {
	if kind == provider.Stable || kind == provider.Grace {
		return 0
	}
	return min(lateAnswer, max(0, s.Credential.ExpiresAt.Sub(w.Commands.Now())))
}

// watch is how long an attempt of another node is waited for still.
func (w *Worker) watch(a *grant.Attempt, patience time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	until, seen := w.watched[a.Attempt]
	if !seen {
		for id, t := range w.watched { // those that ended without this node
			if now.Sub(t) > lease {
				delete(w.watched, id)
			}
		}
		if w.watched == nil {
			w.watched = map[uuid.UUID]time.Time{}
		}
		until = now.Add(time.Duration(a.LeaseSeconds)*time.Second + patience)
		w.watched[a.Attempt] = until
	}
	return until.Sub(now)
}

func (w *Worker) fly(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inFlight == nil {
		w.inFlight, w.unsent = map[uuid.UUID]bool{}, map[uuid.UUID]bool{}
	}
	w.inFlight[id] = true
}

func (w *Worker) land(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inFlight, id)
}

// sentNothing notes an attempt whose lease was asked for and whose request was
// never sent: should the lease be in the log, nothing is unknown about it.
func (w *Worker) sentNothing(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unsent[id] = true
}

// neverSent reports, once, whether an open attempt sent nothing.
func (w *Worker) neverSent(a *grant.Attempt) bool {
	if a == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer delete(w.unsent, a.Attempt)
	return w.unsent[a.Attempt]
}

// clock is a moment on both clocks: the monotonic one stands still while the
// machine sleeps, the other may be set.
type clock struct{ at time.Time }

func started() clock { return clock{time.Now()} }

// elapsed is the longer of what the two clocks say.
func (c clock) elapsed() time.Duration {
	now := time.Now()
	return max(now.Sub(c.at), now.Round(0).Sub(c.at.Round(0)))
}
