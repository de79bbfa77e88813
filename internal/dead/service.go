package dead

import (
	"context"
	"encoding/json"
	"log/slog"

	"outlink/commands"
	"outlink/domain"
)

// Again does once more what a letter is about, and says where it went; with dry
// it only says so. Done twice it has one effect.
type Again func(ctx context.Context, e Entry, dry bool) (to string, err error)

// Service is what an operator may ask of the stream DEAD. All fields are required.
type Service struct {
	Box   Box
	Open  func(domain.Sealed) (domain.Secret, error) // for bodies that rest sealed
	Again map[string]Again                           // by kind: what this node can have done again
	Log   *slog.Logger
}

// One names a letter.
type One struct {
	Sequence uint64 `json:"sequence"`
	Actor    string `json:"actor,omitempty"` // who says so, where the bus does not know
	Reason   string `json:"reason,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"`
}

// Shown is a letter with its body, as far as that may be seen.
type Shown struct {
	Entry
	Traceparent string          `json:"traceparent,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
	Hidden      string          `json:"hidden,omitempty"` // why there is no body
}

// Done is what became of a letter.
type Done struct {
	Sequence uint64 `json:"sequence"`
	Kind     string `json:"kind"`
	To       string `json:"to,omitempty"` // where it went
}

// Show returns a letter.
func (s Service) Show(ctx context.Context, o One) (Shown, error) {
	e, err := s.Box.get(ctx, o.Sequence)
	if err != nil {
		return Shown{}, err
	}
	shown := Shown{Entry: e, Traceparent: e.traceparent}
	switch {
	case e.Kind == Command:
		shown.Body, err = s.command(e)
	case e.Kind == Notice && json.Valid(e.body):
		shown.Body = e.body
	case e.Kind == Event:
		err = domain.Errorf(domain.FailedPrecondition, "it is in the log: outlink events tail --follow=false --after %d", e.Source-1)
	default:
		err = domain.Errorf(domain.FailedPrecondition, "it cannot be read")
	}
	if err != nil {
		shown.Hidden = domain.Public(err).Message
	}
	return shown, nil
}

// command opens a refused command and shows it without its secrets.
func (s Service) command(e Entry) (json.RawMessage, error) {
	body, err := opened(s.Open, e)
	if err != nil {
		return nil, err
	}
	shown, err := commands.Shown(last(e.Subject), body)
	if err != nil {
		return nil, domain.Errorf(domain.FailedPrecondition, "it rests sealed: what cannot be read may hold a secret anywhere")
	}
	return shown, nil
}

// opened is the body of a command that rests sealed.
func opened(open func(domain.Sealed) (domain.Secret, error), e Entry) ([]byte, error) {
	var kept struct {
		Sealed domain.Sealed `json:"sealed"`
	}
	if err := json.Unmarshal(e.body, &kept); err != nil || len(kept.Sealed.Ciphertext) == 0 {
		return nil, domain.Errorf(domain.FailedPrecondition, "the body of %d was not kept; drop it: outlink dead drop %d", e.Sequence, e.Sequence)
	}
	body, err := open(kept.Sealed)
	if err != nil {
		return nil, domain.Errorf(domain.FailedPrecondition, "the body of %d does not open with this namespace's curve key", e.Sequence)
	}
	return []byte(body.Reveal()), nil
}

// Retry has a letter done again and then removes it. Killed between the two, a
// node leaves it there: to retry it once more has no second effect.
func (s Service) Retry(ctx context.Context, kind string, o One) (Done, error) {
	e, err := s.Box.get(ctx, o.Sequence)
	if err != nil {
		return Done{}, err
	}
	again, ok := s.Again[e.Kind]
	if !ok || e.Kind != kind {
		return Done{}, domain.Errorf(domain.InvalidArgument, "%d is of kind %s; ask for that", e.Sequence, e.Kind)
	}
	done := Done{Sequence: e.Sequence, Kind: e.Kind}
	if done.To, err = again(ctx, e, o.DryRun); err != nil || o.DryRun {
		return done, err
	}
	s.Log.Info("what was set aside is done again", "actor", o.Actor, "sequence", e.Sequence, "subject", e.Subject, "command", e.Command)
	return done, s.Box.remove(ctx, e.Sequence)
}

// Drop removes a letter for good; the node's log says who did it, and why.
func (s Service) Drop(ctx context.Context, o One) (Done, error) {
	e, err := s.Box.get(ctx, o.Sequence)
	if err != nil || o.DryRun {
		return Done{Sequence: e.Sequence, Kind: e.Kind}, err
	}
	if err := s.Box.remove(ctx, e.Sequence); err != nil {
		return Done{}, err
	}
	s.Log.Warn("what was set aside is dropped", "actor", o.Actor, "reason", o.Reason,
		"sequence", e.Sequence, "subject", e.Subject, "command", e.Command, "why_set_aside", e.Reason)
	return Done{Sequence: e.Sequence, Kind: e.Kind}, nil
}

// Operation answers one question of an operator. The actor is whom the bus knows.
type Operation = func(ctx context.Context, actor string, body []byte) (any, error)

// Operations are what a node of the role commands answers, by name.
func (s Service) Operations() map[string]Operation {
	all := s.Retries()
	all["ListDead"] = func(ctx context.Context, _ string, body []byte) (any, error) {
		var f Filter
		if err := decode(body, &f); err != nil {
			return nil, err
		}
		return s.Box.List(ctx, f)
	}
	all["ShowDead"] = one(func(ctx context.Context, o One) (any, error) { return s.Show(ctx, o) })
	all["DropDead"] = one(func(ctx context.Context, o One) (any, error) { return s.Drop(ctx, o) })
	return all
}

// Retries are what a node answers that can have some kinds done again.
func (s Service) Retries() map[string]Operation {
	all := map[string]Operation{}
	for kind := range s.Again {
		all["RetryDead."+kind] = one(func(ctx context.Context, o One) (any, error) { return s.Retry(ctx, kind, o) })
	}
	return all
}

func one(f func(context.Context, One) (any, error)) Operation {
	return func(ctx context.Context, actor string, body []byte) (any, error) {
		var o One
		if err := decode(body, &o); err != nil {
			return nil, err
		}
		if actor != "" {
			o.Actor = actor
		}
		return f(ctx, o)
	}
}

// decode reads a question.
func decode(body []byte, into any) error {
	if err := domain.Strictly(body, into); err != nil {
		return domain.Errorf(domain.InvalidArgument, "the request is not readable: %s", domain.Unreadable(err))
	}
	return nil
}
