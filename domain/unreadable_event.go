package domain

import (
	"errors"
	"fmt"
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
	Err      error
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
