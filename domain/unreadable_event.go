package domain

import "fmt"

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
