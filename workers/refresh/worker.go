// Package refresh renews tokens before they expire, so that no rotating refresh
// token is ever lost or sent twice by mistake.
//
// It reads the credential when the work is done, never from a job; takes a lease
// in the log before it sends; sends detached from whoever is waiting; has what
// came back on the disk before it reads it, and in the vault before it says so
// in the log. It never decides by counting failures that a person is needed.
package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/projections"
	"outlink/workers/pace"
)

// The times of the protocol.
const (
	lease         = 4 * time.Minute  // longer than the deadline of a request and of storing its answer
	lateAnswer    = 10 * time.Minute // how long another node's answer is waited for before the old refresh token is used
	leaseWithin   = 5 * time.Second  // a log that takes longer to give the lease is not fit to store an answer
	storeWithin   = 5 * time.Second  // a try to store an answer that takes longer is made again
	linkRetry     = 15 * time.Minute
	confirmWithin = 30 * time.Second // an invalid_grant is asked again after one to two of these
	backoffMin    = time.Second
	backoffMax    = 5 * time.Minute
)

// TokenEndpoint speaks to a provider.
type TokenEndpoint interface {
	// Refresh sends a refresh token, once, or what the registration's grant type
	// wants in its place. Guard may keep the request back
	// immediately before a byte leaves; a complete successful answer goes to
	// keep before it is read.
	Refresh(ctx context.Context, r provider.Registration, refreshToken domain.Secret, guard func() error, keep func(answer.Raw) error) answer.Answer

	// Read reads an answer that was kept, as Refresh would have.
	Read(r provider.Registration, raw answer.Raw) answer.Answer

	// Revoke ends a token at the provider (RFC 7009).
	Revoke(ctx context.Context, r provider.Registration, token domain.Secret, hint string) error
}

// Journal keeps answers on this node's disk until the log has them.
type Journal interface {
	ID() uuid.UUID
	Reserve() (release func(), err error)
	Note(attempt uuid.UUID, record []byte) error // without waiting for the disk
	Put(attempt uuid.UUID, record []byte) error
	Drop(attempt uuid.UUID)
	All() map[uuid.UUID][]byte
}

// Vault seals answers for the journal.
type Vault interface {
	AnswerSealer(ctx context.Context, key domain.Key, attempt uuid.UUID) (func([]byte) []byte, error)
	OpenAnswer(ctx context.Context, key domain.Key, attempt uuid.UUID, box []byte) ([]byte, error)
}

// Gates keep the manners of this node towards token endpoints.
type Gates interface {
	// Enter asks to send now. A wait says when to come back instead; otherwise
	// done must be called with what came, or with "" when nothing was sent.
	Enter(r pace.Request) (done func(answer.Class, time.Duration), wait time.Duration)

	// Hold is how long the refusal of a grant waits before it is asked again,
	// because so many of its host or client are refused at once that it is
	// hardly their fault; 0: it may be believed.
	Hold(r pace.Request) time.Duration
	Works(r pace.Request, since time.Time) bool
}

// Worker renews the tokens of grants. All exported fields are required.
type Worker struct {
	Commands *commands.Service
	Endpoint TokenEndpoint
	Journal  Journal
	Vault    Vault
	Gates    Gates
	Later    func(ctx context.Context, key domain.Key, at time.Time) error // wakes the grant up again
	Node     string
	Boot     uuid.UUID
	Log      *slog.Logger

	mu       sync.Mutex
	inFlight map[uuid.UUID]bool      // attempts of this process
	unsent   map[uuid.UUID]bool      // of this process, that sent nothing and may stand open in the log
	alarmed  map[string]time.Time    // when a host's trouble was logged last
	watched  map[uuid.UUID]time.Time // attempts of others: when they may be taken over, by this node's clock
}

// rounds bounds how often a grant is looked at anew because it changed between
// the look and the lease.
const rounds = 5

// Handle does what is due for a grant: it is woken by a timer, may be woken for
// nothing, and any number of nodes may be woken at once.
func (w *Worker) Handle(ctx context.Context, key domain.Key) (err error) {
	for range rounds {
		if err = w.look(ctx, key); domain.CodeOf(err) != domain.Conflict {
			return err
		}
	}
	return err
}

func (w *Worker) look(ctx context.Context, key domain.Key) error {
	at, credential, err := w.Commands.Complete(ctx, key)
	if err != nil {
		return fmt.Errorf("load grant %s: %w", key, err)
	}
	now := w.Commands.Now()
	if a := at.State.Authorization; a != nil && !now.Before(a.ExpiresAt) {
		return w.expireAuthorization(ctx, key, a.Authorization)
	}
	if _, err := w.Commands.WarnOfReauthorization(ctx, key, w.header()); err != nil {
		return err
	}
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: key.Link})
	if err != nil {
		return fmt.Errorf("load link %s: %w", key.Link, err)
	}
	if !w.due(at.State, l.State, now) {
		return w.notYet(ctx, key, at.State, now)
	}
	if s := l.State.Status(); s == link.StatusDisabled || s == link.StatusDeleted {
		return nil // whoever enables the link wakes its grants
	}
	if c := at.State.Credential; c != nil && !c.Refreshable {
		_, err := w.Commands.RequireReauthorization(ctx, key, w.header(), grant.ReauthorizationRequired{Reason: grant.NoRefreshToken, At: now})
		return err
	}
	return w.refresh(ctx, key, at.State, credential, l.State)
}

// due reports whether a token is to be renewed now. What waits for its link is
// due as soon as the link is well.
func (w *Worker) due(s grant.State, l link.State, now time.Time) bool {
	healed := s.WaitsForLink() && l.Trouble == ""
	return healed || s.RefreshDue(now) || w.died(s.Attempt)
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

// Resume takes up the attempts that the journal says were begun here and that
// nobody here is at: those of an earlier life of this node. It does the work
// itself: a timer would wake any node, and the others wait for the lease. Run it
// at the start, for a token may work for seconds only after its first use, and
// every now and then.
func (w *Worker) Resume(ctx context.Context) {
	group := errgroup.Group{}
	group.SetLimit(recovering)
	for id, b := range w.Journal.All() {
		var r record
		if w.flies(id) || json.Unmarshal(b, &r) != nil || len(r.Sealed) > 0 {
			continue
		}
		group.Go(func() error {
			err := w.Handle(ctx, r.Key)
			at, loadErr := w.Commands.Grants.Load(ctx, r.Key)
			if open := at.State.Attempt; loadErr == nil && (open == nil || open.Attempt != id) {
				w.Journal.Drop(id)
				return nil
			}
			w.Log.Info("an attempt of an earlier life is still open", "grant", r.Key.Grant, "problem", errors.Join(err, loadErr))
			return nil
		})
	}
	_ = group.Wait() // each error is logged, and its grant looked at again
}

// Soon lists grants that are due before a time.
type Soon interface {
	Due(ctx context.Context, f projections.DueFilter) (rows []projections.GrantRow, next string, err error)
}

// recoverable and recoverablePages bound how many grants are looked at after a
// start; the leases of the others end by themselves.
const (
	recoverable      = 10_000
	recoverablePages = 20
)

// recovering is how many of them are recovered at once.
const recovering = 32

// The pause between two looks at what is left to recover grows: a disabled link may
// stay so for long.
const (
	recoverAfter = 5 * time.Second
	recoverEvery = 5 * time.Minute
)

// Recover takes up the attempts that an earlier life of this node left open and
// that a power failure took from the journal, and returns when none is left. It
// needs a read model that has caught up.
func (w *Worker) Recover(ctx context.Context, soon Soon) error {
	left, err := w.leftOpen(ctx, soon)
	if err != nil {
		return fmt.Errorf("look for attempts of an earlier life: %w", err)
	}
	for pause := recoverAfter; len(left) > 0; pause = min(2*pause, recoverEvery) {
		left = w.recover(ctx, left)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// leftOpen lists grants with an attempt of an earlier life. Those that are overdue
// because their link is disabled come first, so one page is not enough.
func (w *Worker) leftOpen(ctx context.Context, soon Soon) (left []domain.Key, err error) {
	f := projections.DueFilter{Before: w.Commands.Now().Add(lease + time.Minute), Limit: recoverable}
	for range recoverablePages {
		var rows []projections.GrantRow
		if rows, f.After, err = soon.Due(ctx, f); err != nil {
			return nil, err
		}
		for _, row := range rows {
			if w.died(row.State.Attempt) {
				left = append(left, domain.Key{Link: row.Link, Grant: row.Grant})
			}
		}
		if f.After == "" {
			break
		}
	}
	return left, nil
}

// recover handles grants once, and returns those whose attempt is still open: a
// gate was closed, or the log away.
func (w *Worker) recover(ctx context.Context, keys []domain.Key) []domain.Key {
	var mu sync.Mutex
	var left []domain.Key
	group := errgroup.Group{}
	group.SetLimit(recovering)
	for _, key := range keys {
		group.Go(func() error {
			err := w.Handle(ctx, key)
			at, loadErr := w.Commands.Grants.Load(ctx, key)
			if loadErr == nil && !w.died(at.State.Attempt) {
				return nil
			}
			w.Log.Info("an attempt of an earlier life is still open", "grant", key.Grant, "problem", errors.Join(err, loadErr))
			mu.Lock()
			defer mu.Unlock()
			left = append(left, key)
			return nil
		})
	}
	_ = group.Wait() // each error is logged, and its grant looked at again
	return left
}

func (w *Worker) header() commands.Header {
	return commands.Header{CommandID: w.Commands.NewID(), Actor: "node:" + w.Node + "/refresh"}
}

func (w *Worker) jitter(d time.Duration) time.Duration {
	return time.Duration(w.Commands.Spread() * float64(d))
}
