package domain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// ErrUndecodable is what every error is that says that a message of the log, or
// the state beside it, cannot be decoded: trying again does not help this node.
var ErrUndecodable = errors.New("it cannot be decoded")

// UnreadableError is a message in the log that is no event: nothing says what it
// would change. Whoever folds the log must stop there, for to pass over it would
// be silently wrong.
type UnreadableError struct {
	Sequence uint64
	Subject  string
	Type     string // as the message says
	Formed   bool   // it has the form of an event, see [Formed]
	Err      error
}

// Formed reports whether a message has the form of an event: an id, a type of ours,
// and a MAC, whatever that is worth. One that has and cannot be read may be a later
// version's; one that has not is no version's.
func Formed(id, typ, mac string) bool {
	_, err := uuid.Parse(id)
	return err == nil && strings.HasPrefix(typ, "outlink.") && mac != ""
}

// Junk reports whether err says that a message has not even the form of an event. Who
// has no key to tell events by may leave it out.
func Junk(err error) bool {
	e, unreadable := errors.AsType[*UnreadableError](err)
	return unreadable && !e.Formed
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("message %d on %s is no event of Outlink: %v", e.Sequence, e.Subject, e.Err)
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Is makes it an ErrUndecodable.
func (e *UnreadableError) Is(target error) bool { return target == ErrUndecodable }

// Undecodable is err as an ErrUndecodable, in its own words.
func Undecodable(err error) error { return undecodable{err} }

type undecodable struct{ error }

func (u undecodable) Unwrap() error        { return u.error }
func (u undecodable) Is(target error) bool { return target == ErrUndecodable }
