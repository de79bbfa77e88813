// Package domain holds what every part of Outlink agrees on: the error codes,
// the record of an event in the log, and secrets that cannot be printed.
//
// It is pure: no clock, no randomness, no I/O. The aggregates live in its
// subpackages link, grant and name; the rules for providers in provider and answer.
package domain

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Code says what kind of failure an error is. The set is closed: callers decide
// on the code, people read the message.
type Code string

// The codes, in the order of the table below.
const (
	InvalidArgument         Code = "invalid_argument"         // it cannot be meant like this; change it
	NotFound                Code = "not_found"                // there is no such thing
	AlreadyExists           Code = "already_exists"           // the name or the id is taken
	Conflict                Code = "conflict"                 // it changed meanwhile; read again and decide anew
	FailedPrecondition      Code = "failed_precondition"      // not in its present state
	ReauthorizationRequired Code = "reauthorization_required" // only a person's consent helps
	LinkDegraded            Code = "link_degraded"            // the link's configuration, or its provider, is in trouble
	PermissionDenied        Code = "permission_denied"        // not this caller
	Unauthenticated         Code = "unauthenticated"          // nobody knows who is calling
	ResourceExhausted       Code = "resource_exhausted"       // too much at once; later
	Unavailable             Code = "unavailable"              // try again in a moment
	Internal                Code = "internal"                 // a fault of Outlink; the node's log has the cause
)

// table is the one place where a code gets its HTTP status and the exit code of
// the command line. Over NATS the code itself is the service error code.
var table = map[Code]struct{ http, exit int }{
	InvalidArgument:         {400, 2},
	NotFound:                {404, 3},
	AlreadyExists:           {409, 4},
	Conflict:                {409, 4},
	FailedPrecondition:      {412, 4},
	ReauthorizationRequired: {409, 4},
	LinkDegraded:            {409, 4},
	PermissionDenied:        {403, 4},
	Unauthenticated:         {401, 4},
	ResourceExhausted:       {429, 5},
	Unavailable:             {503, 5},
	Internal:                {500, 3},
}

// Codes lists the closed set.
func Codes() []Code { return slices.Sorted(maps.Keys(table)) }

// HTTPStatus is the status that reports c over HTTP.
func (c Code) HTTPStatus() int { return table[c.known()].http }

// Exit is the exit code with which the command line reports c.
func (c Code) Exit() int { return table[c.known()].exit }

func (c Code) known() Code {
	if _, ok := table[c]; ok {
		return c
	}
	return Internal
}

// Error is a failure that a caller may see. Message says what was wrong, with
// what value (never a secret), and what to do.
type Error struct {
	Code    Code           `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Is makes errors.Is match two errors of one code, so that a sentinel is
// written as &Error{Code: NotFound}.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code && (t.Message == "" || t.Message == e.Message)
}

// With returns a copy of e that also carries a detail a program can act on.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = map[string]any{}
	}
	c.Details[key] = value
	return &c
}

// Errorf makes an Error of the given code.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of err: Internal for an error that nobody gave one.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code.known()
	}
	return Internal
}

// Public is err as a caller may see it: an Error as it is, anything else as
// "internal error", whose cause belongs into the log.
func Public(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: Internal, Message: "internal error; the node's log has the cause"}
}
