package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// record is an answer in the journal: what it belongs to in clear, the answer
// sealed.
type record struct {
	Key        domain.Key     `json:"key"`
	Generation uint64         `json:"generation"`           // of the refresh token that was sent
	Fallback   bool           `json:"fallback,omitempty"`   // the grant's fallback was sent
	GrantType  link.GrantType `json:"grant_type,omitempty"` // of the request; "": a refresh token was sent
	SentAt     time.Time      `json:"sent_at"`
	Sealed     []byte         `json:"sealed,omitempty"` // none: the attempt was begun, and nothing came yet
}

// note has the journal know that an attempt begins, so that this node's next
// life goes on with it at once.
func (a attempt) note() error {
	b, err := json.Marshal(record{Key: a.key, Generation: a.credential.Issued.Generation, GrantType: a.grantType})
	if err != nil {
		return err
	}
	if err := a.Journal.Note(a.id, b); err != nil {
		a.Log.Error("no refresh is begun: the journal takes no notes", "error", err)
		return err
	}
	return nil
}

// keep puts an answer on the disk before anybody reads it.
func (a attempt) keep(raw answer.Raw) error {
	plain, err := json.Marshal(raw)
	if err != nil {
		return err
	}
	b, err := json.Marshal(record{
		Key: a.key, Generation: a.credential.Issued.Generation, Fallback: a.fallback, GrantType: a.grantType,
		SentAt: a.Commands.Now().Add(-a.begun.elapsed()), Sealed: a.seal(plain),
	})
	if err != nil {
		return err
	}
	if err := a.Journal.Put(a.id, b); err != nil {
		a.Log.Error("an answer could not be journalled; it goes to the vault all the same", "grant", a.key.Grant, "attempt", a.id, "error", err)
		return err
	}
	return nil
}

// Replay settles the answers in the journal that nobody here is at: those of an
// earlier life of this node, and those that the log did not take in time. It runs
// before any other work, and every now and then. An answer that cannot be settled
// stays in the journal.
func (w *Worker) Replay(ctx context.Context) error {
	var closed error
	for id, b := range w.Journal.All() {
		if w.flies(id) {
			continue
		}
		err := w.replay(ctx, id, b)
		switch {
		case errors.Is(err, ErrKeyAway):
			closed = fmt.Errorf("replay the answer to attempt %s: %w", id, err)
		case domain.CodeOf(err) == domain.Unavailable || ctx.Err() != nil:
			return fmt.Errorf("replay the journal: %w", err)
		case err != nil:
			w.Log.Error("an answer stays in the journal", "attempt", id, "error", err)
		}
	}
	return closed
}

// replayWithin is how long a kept answer may wait for vault and log: others wait for
// it, and it has another turn.
const replayWithin = 15 * time.Second

// ErrKeyAway is about one answer: the others need not wait for its key.
var ErrKeyAway = errors.New("the answer cannot be opened now")

// replayOpen settles the kept answer of an open attempt, if there is one and
// nobody here is at it.
func (w *Worker) replayOpen(ctx context.Context, a *grant.Attempt) (done bool, err error) {
	if !w.died(a) {
		return false, nil
	}
	b, ok := w.Journal.All()[a.Attempt]
	var r record
	if !ok || json.Unmarshal(b, &r) == nil && len(r.Sealed) == 0 {
		return false, nil
	}
	return true, w.replay(ctx, a.Attempt, b)
}

func (w *Worker) replay(ctx context.Context, id uuid.UUID, b []byte) error {
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("decode a journalled answer: %w", err)
	}
	if len(r.Sealed) == 0 { // see Resume
		return nil
	}
	at, err := w.Commands.Grants.Load(ctx, r.Key)
	if err != nil {
		return err
	}
	if known, err := w.settled(ctx, r.Key, at, id); err != nil {
		return err
	} else if known {
		w.Journal.Drop(id)
		return nil
	}
	plain, err := w.Vault.OpenAnswer(ctx, r.Key, id, r.Sealed)
	shredded := domain.CodeOf(err) == domain.FailedPrecondition && at.State.Ended    // else it is lost, and may be restored
	over := domain.CodeOf(err) == domain.Internal && r.Generation < at.State.Consent // the grant has another key since
	if err != nil && (shredded || over) {
		w.Journal.Drop(id)
		return nil
	}
	if domain.CodeOf(err) == domain.Unavailable {
		return fmt.Errorf("%w: %w", ErrKeyAway, err)
	}
	if err != nil {
		return err
	}
	var raw answer.Raw
	if err := json.Unmarshal(plain, &raw); err != nil {
		return fmt.Errorf("decode the answer to attempt %s", id) // the error would quote it
	}
	return w.settleKept(ctx, id, r, at.State, raw)
}

// settled reports whether the log has the token of an attempt already. A grant
// remembers the last few, and a disk may bring back what was dropped from it: a power
// failure undoes that.
func (w *Worker) settled(ctx context.Context, key domain.Key, at commands.Loaded[grant.State], id uuid.UUID) (known bool, err error) {
	if at.State.Knows(id) {
		return true, nil
	}
	err = w.Commands.Grants.Back(ctx, key, at, func(r domain.Record) (enough bool) {
		e, _ := grant.Kinds.Decode(r.Type, r.Data)
		switch e := e.(type) {
		case grant.TokenIssued:
			known = e.Exchange == id
		case grant.FallbackKept:
			known = e.Attempt == id
		case grant.RefreshStarted:
			enough = e.Attempt == id
		}
		return known || enough
	})
	return known, err
}

func (w *Worker) settleKept(ctx context.Context, id uuid.UUID, r record, s grant.State, raw answer.Raw) error {
	l, err := w.Commands.Links.Load(ctx, domain.Key{Link: r.Key.Link})
	if err != nil {
		return err
	}
	registration := provider.Registration{RevocationEndpoint: l.State.RevocationEndpoint}
	if registration.Provider, err = w.Commands.Catalogue.Get(l.State.Provider); err != nil {
		return err
	}
	known, err := w.Commands.Registration(ctx, r.Key.Link, l.State)
	switch {
	case err == nil:
		registration = known
	case domain.CodeOf(err) == domain.Unavailable: // an orphan could not be revoked without the client secret
		return fmt.Errorf("%w: %w", ErrKeyAway, err)
	} // else there is no client secret any more: the link is deleted
	a := attempt{
		Worker: w, key: r.Key, id: id, header: w.header(), state: s, link: l.State, registration: registration,
		fallback: r.Fallback, grantType: r.GrantType,
	}
	a.credential.Issued.Generation = r.Generation
	ctx, cancel := context.WithTimeout(ctx, replayWithin)
	defer cancel()
	ans := w.Endpoint.Read(registration, raw)
	ans.SentAt = r.SentAt
	if ans.Class == answer.Unreadable && (s.Attempt == nil || s.Attempt.Attempt != id) {
		if s.Generation > r.Generation { // the grant went on without it
			w.Journal.Drop(id)
		}
		return nil // else it waits for a version that reads it
	}
	return a.settle(ctx, ans)
}
