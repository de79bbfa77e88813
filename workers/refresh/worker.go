// Package refresh renews tokens before they expire, so that no rotating refresh
// token is ever lost or sent twice by mistake.
//
// It reads the credential when the work is done, never from a job; takes a lease
// in the log before it sends; sends once, detached from whoever is waiting; and
// stores what came back in the vault before it says so in the log. It never
// decides that a person is needed by counting failures.
package refresh

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/projections"
)

// The times of the protocol.
const (
	lease         = 4 * time.Minute // longer than the deadline of a request and of storing its answer
	linkRetry     = 15 * time.Minute
	confirmWithin = 30 * time.Second // an invalid_grant is asked again after one to two of these
	backoffMin    = time.Second
	backoffMax    = 5 * time.Minute
)

// TokenEndpoint sends a refresh token to a provider, once. It hands the complete
// body of a successful answer to keep before reading it.
type TokenEndpoint interface {
	Refresh(ctx context.Context, r provider.Registration, refreshToken domain.Secret, keep func(body []byte) error) answer.Answer
}

// Worker renews the tokens of grants. All exported fields are required.
type Worker struct {
	Commands *commands.Service
	Endpoint TokenEndpoint
	Later    func(ctx context.Context, key domain.Key, at time.Time) error // wakes the grant up again
	Node     string                                                        // survives a restart
	Boot     uuid.UUID                                                     // does not
	Log      *slog.Logger

	mu       sync.Mutex
	inFlight map[uuid.UUID]bool      // attempts of this process
	watched  map[uuid.UUID]time.Time // attempts of others: since when, by this node's monotonic clock
	closed   map[string]time.Time    // hosts and links that asked to be left alone, until when
}

// Handle does what is due for a grant: it is woken by a timer, may be woken for
// nothing, and any number of nodes may be woken at once.
func (w *Worker) Handle(ctx context.Context, key domain.Key) error {
	at, credential, err := w.Commands.Complete(ctx, key)
	if err != nil {
		return fmt.Errorf("load grant %s: %w", key, err)
	}
	now := w.Commands.Now()
	if a := at.State.Authorization; a != nil && !now.Before(a.ExpiresAt) {
		return w.expireAuthorization(ctx, key, a.Authorization)
	}
	if !at.State.RefreshDue(now) && !w.died(at.State.Attempt) {
		return w.notYet(ctx, key, at.State, now)
	}
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return fmt.Errorf("load link %s: %w", key.Link, err)
	}
	if l.State.Usable(key.Link) != nil {
		return nil // whoever enables the link wakes its grants
	}
	if !at.State.Credential.Refreshable {
		_, err := w.Commands.RequireReauthorization(ctx, key, w.header(), grant.ReauthorizationRequired{Reason: grant.NoRefreshToken, At: now})
		return err
	}
	if until, wait := w.waiting(l.State, key.Link); wait {
		return w.Later(ctx, key, w.spread(until, time.Minute))
	}
	takeover, ok, err := w.mayTakeOver(ctx, key, at.State.Attempt)
	if !ok || err != nil {
		return err
	}
	return w.attempt(ctx, key, at, credential, l.State, takeover)
}

// notYet re-arms the timer of a grant that was woken early.
func (w *Worker) notYet(ctx context.Context, key domain.Key, s grant.State, now time.Time) error {
	if due := s.DueAt(); due.After(now) && due.Sub(now) < time.Minute {
		return w.Later(ctx, key, due)
	}
	return nil
}

func (w *Worker) expireAuthorization(ctx context.Context, key domain.Key, id uuid.UUID) error {
	_, err := w.Commands.FailAuthorization(ctx, commands.FailAuthorization{
		Header: w.header(), Key: key, Authorization: id, Reason: grant.AuthorizationExpired,
	})
	return err
}

// mayTakeOver decides about an attempt that is open. One of an earlier life of
// this node is dead. Another node's counts as dead only when this node has seen
// it unchanged for a whole lease on its own clock: no two clocks are compared.
func (w *Worker) mayTakeOver(ctx context.Context, key domain.Key, a *grant.Attempt) (of uuid.UUID, ok bool, err error) {
	if a == nil {
		return uuid.Nil, true, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.Node == w.Node {
		return a.Attempt, !w.inFlight[a.Attempt], nil // of an earlier life, unless it is in hand
	}
	since, seen := w.watched[a.Attempt]
	if !seen {
		if w.watched == nil {
			w.watched = map[uuid.UUID]time.Time{}
		}
		since = time.Now()
		w.watched[a.Attempt] = since
	}
	wait := time.Duration(a.LeaseSeconds)*time.Second - time.Since(since)
	if wait <= 0 {
		delete(w.watched, a.Attempt)
		return a.Attempt, true, nil
	}
	return uuid.Nil, false, w.Later(ctx, key, w.Commands.Now().Add(wait+time.Second))
}

// died reports whether an open attempt is this node's and nobody here works on
// it: the process that did is gone, and its lease need not be waited for.
func (w *Worker) died(a *grant.Attempt) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return a != nil && a.Node == w.Node && !w.inFlight[a.Attempt]
}

// Soon lists grants that are due before a time.
type Soon interface {
	Due(ctx context.Context, before time.Time, limit int) ([]projections.GrantRow, error)
}

// recoverable bounds how many grants are looked at after a start; the leases of
// the others end by themselves.
const recoverable = 10_000

// Recover takes up the attempts that an earlier life of this node left open. It
// runs before the node's own work, on a read model that has caught up.
func (w *Worker) Recover(ctx context.Context, soon Soon) error {
	rows, err := soon.Due(ctx, w.Commands.Now().Add(lease+time.Minute), recoverable)
	if err != nil {
		return fmt.Errorf("look for attempts of an earlier life: %w", err)
	}
	for _, row := range rows {
		if !w.died(row.State.Attempt) {
			continue
		}
		if err := w.Later(ctx, domain.Key{Link: row.Link, Grant: row.Grant}, w.Commands.Now()); err != nil {
			return err
		}
	}
	return nil
}

// attempt takes the lease, sends the refresh token and settles the answer.
func (w *Worker) attempt(ctx context.Context, key domain.Key, at commands.Loaded[grant.State], c commands.Credential, l link.State, takeover uuid.UUID) error {
	r, err := w.Commands.Registration(ctx, key.Link, l)
	if err != nil {
		return err // before the lease: what cannot be read must not be sent
	}
	started := time.Now()
	id := w.Commands.NewID()
	w.fly(id)
	defer w.land(id)
	h := w.header()
	out, err := w.Commands.RecordRefreshStarted(ctx, key, h, grant.RefreshStarted{
		Attempt: id, Generation: c.Issued.Generation, Node: w.Node, Boot: w.Boot,
		LeaseSeconds: int(lease / time.Second), TakeoverOf: takeover, At: w.Commands.Now(),
	})
	if err != nil || len(out.Events) == 0 {
		return err // somebody else is at it, or it was done already
	}
	// From here on the answer belongs to the grant, not to whoever asked: neither
	// a caller nor a shutdown may cut it off.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lease)
	defer cancel()
	a := attempt{Worker: w, key: key, id: id, header: h, state: at.State, link: l, registration: r}
	if time.Since(started) > lease/2 {
		return a.settle(ctx, answer.Answer{Class: answer.NotSent, Problem: "the lease was half over before the request"})
	}
	return a.settle(ctx, w.send(ctx, r, c.RefreshToken))
}

// send sends the refresh token; an ambiguous answer is followed by one more try
// at once: without the answer the new token does not exist for us, and most
// providers allow the old one for a while.
func (w *Worker) send(ctx context.Context, r provider.Registration, token domain.Secret) answer.Answer {
	keep := func([]byte) error { return nil } // the journal's place
	first := w.Endpoint.Refresh(ctx, r, token, keep)
	if first.Class != answer.Ambiguous {
		return first
	}
	second := w.Endpoint.Refresh(ctx, r, token, keep)
	second.Requests += first.Requests
	if second.Class == answer.NotSent || second.Class == answer.Transient || second.Class == answer.RateLimited {
		second.Class = answer.Ambiguous // the first one is still unknown
	}
	return second
}

func (w *Worker) header() commands.Header {
	return commands.Header{CommandID: w.Commands.NewID(), Actor: "node:" + w.Node + "/refresh"}
}

func (w *Worker) fly(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inFlight == nil {
		w.inFlight = map[uuid.UUID]bool{}
	}
	w.inFlight[id] = true
}

func (w *Worker) land(id uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.inFlight, id)
}

// waiting reports whether the link's trouble or the host's wish keeps requests
// back, and until when. A changed configuration lifts a link's wait at once.
func (w *Worker) waiting(l link.State, id uuid.UUID) (until time.Time, wait bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, gate := range []string{linkGate(l, id), hostGate(l)} {
		if t := w.closed[gate]; time.Now().Before(t) && t.After(until) {
			until, wait = t, true
		}
	}
	return until, wait
}

// close keeps requests back for a while.
func (w *Worker) close(gate string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed == nil {
		w.closed = map[string]time.Time{}
	}
	for g, t := range w.closed { // few: one a host or link in trouble
		if time.Now().After(t) {
			delete(w.closed, g)
		}
	}
	w.closed[gate] = time.Now().Add(d)
}

func linkGate(l link.State, id uuid.UUID) string {
	return fmt.Sprintf("link %s %d", id, l.ConfigVersion)
}

func (w *Worker) spread(t time.Time, over time.Duration) time.Time {
	return t.Add(time.Duration(w.Commands.Spread() * float64(over)))
}
