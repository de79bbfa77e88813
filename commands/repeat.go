package commands

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/google/uuid"

	"outlink/domain"
)

// lookUp is the answer that a command has had, or nil. It waits for it.
type lookUp func() (*Answered, error)

// lookUp begins to look for the answer to a command.
func (s *Service) lookUp(ctx context.Context, id uuid.UUID) lookUp {
	if id == uuid.Nil {
		return func() (*Answered, error) { return nil, nil }
	}
	var a *Answered
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		a, err = s.Outcomes.Get(ctx, id)
	}()
	return func() (*Answered, error) { <-done; return a, err }
}

// errRepeat stops a command that was answered before; nobody sees it.
var errRepeat = errors.New("answered before")

// first is an error when the command was answered before. It is asked before
// anything is changed.
func (h Header) first() error {
	if h.answered == nil {
		return nil
	}
	a, err := h.answered()
	if err == nil && a != nil {
		return errRepeat
	}
	return err
}

// again answers a repeated command as the first time. One that says something else
// under the same id would be taken for done.
func (s *Service) again(ctx context.Context, name string, id uuid.UUID, body []byte, known Answered) (Outcome, error) {
	var said GrantRef
	_ = json.Unmarshal(body, &said) // what it cannot read was refused before
	about, _ := said.key()
	switch {
	case known.Command != name:
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "command_id %s was used for %s; every command needs its own", id, known.Command)
	case known.Outcome != nil && said.Link != uuid.Nil && said.Link != known.Outcome.Link:
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "command_id %s was used for link %s; every command needs its own", id, known.Outcome.Link)
	case known.Outcome != nil && known.Outcome.Grant != uuid.Nil && said.Link != uuid.Nil && about.Grant != known.Outcome.Grant:
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "command_id %s was used for grant %s; every command needs its own", id, known.Outcome.Grant)
	case known.Error != nil:
		return Outcome{}, known.Error
	}
	return s.withStartURL(ctx, *known.Outcome)
}
