// Package dead keeps what the command intake or a worker gave up on, with the
// reason, in the stream DEAD: it lists and shows it, has it done again, and drops
// it.
//
// It never shows a secret: a refused command may hold one in clear, so that its
// body rests sealed to the namespace and is shown only as far as it can be read,
// without what its secrets' members hold. Of an event only its place is kept.
package dead

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
)

// The kinds of what is given up on: the last token of its subject in DEAD.
const (
	Command = "command" // submitted, and refused
	Notice  = "notice"  // that the webhook did not take
	Event   = "event"   // of the log, that a worker could not work on
	Expiry  = "expiry"  // a grant's timer, that the refresh worker could not work on
)

// The headers of a message in DEAD.
const (
	headerSubject     = "Outlink-Dead-Subject"
	headerSequence    = "Outlink-Dead-Sequence"
	headerConsumer    = "Outlink-Dead-Consumer"
	headerCode        = "Outlink-Dead-Code"
	headerReason      = "Outlink-Dead-Reason"
	headerCommand     = "Outlink-Dead-Command"
	headerTraceparent = "traceparent"
)

// Letter is what was given up on.
type Letter struct {
	Subject     string // it came on
	Sequence    uint64 // of the message in its stream; 0 where each time is the same again
	Consumer    string // the durable consumer that delivered it
	Reason      error
	Command     uuid.UUID // the command's id
	Traceparent string
	Body        []byte
}

// Put keeps a letter under a subject of DEAD. Whoever is killed before it can
// acknowledge the message puts it there again within the hour as one letter.
func Put(ctx context.Context, js jetstream.JetStream, subject string, l Letter) error {
	code, reason := because(l.Reason)
	msg := &nats.Msg{Subject: subject, Data: l.Body, Header: nats.Header{
		headerSubject: {l.Subject}, headerConsumer: {l.Consumer}, headerCode: {string(code)}, headerReason: {reason},
	}}
	if l.Sequence != 0 {
		msg.Header.Set(headerSequence, strconv.FormatUint(l.Sequence, 10))
	}
	if l.Command != uuid.Nil {
		msg.Header.Set(headerCommand, l.Command.String())
	}
	if l.Traceparent != "" {
		msg.Header[headerTraceparent] = []string{l.Traceparent}
	}
	id := fmt.Sprintf("%s %s %d", l.Consumer, l.Subject, l.Sequence)
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(id)); err != nil {
		return fmt.Errorf("set a message on %s aside: %w", l.Subject, err)
	}
	return nil
}

// because is an error as it is kept. What says that the log cannot be read says
// where, and is shown; of other internal errors only the node's log has the cause.
func because(err error) (domain.Code, string) {
	public := domain.Public(err)
	reason := public.Message
	if public.Code == domain.Internal && errors.Is(err, domain.ErrUndecodable) {
		reason = err.Error()
	}
	reason = strings.NewReplacer("\r", " ", "\n", " ").Replace(reason)
	return public.Code, reason[:min(len(reason), 1000)]
}

// Entry is a letter as it is listed.
type Entry struct {
	Sequence uint64      `json:"sequence"` // in DEAD
	At       time.Time   `json:"at"`       // when it was given up on
	Kind     string      `json:"kind"`
	Subject  string      `json:"subject"` // it came on
	Code     domain.Code `json:"code,omitempty"`
	Reason   string      `json:"reason"`
	Consumer string      `json:"consumer,omitempty"`
	Source   uint64      `json:"source_sequence,omitempty"` // in the stream it came from
	Command  uuid.UUID   `json:"command_id,omitzero"`

	traceparent string
	body        []byte
}

// entry reads a message of DEAD.
func entry(subject string, sequence uint64, at time.Time, h nats.Header, body []byte) Entry {
	e := Entry{
		Sequence: sequence, At: at.UTC(), Kind: subject[strings.LastIndexByte(subject, '.')+1:], Subject: h.Get(headerSubject),
		Code: domain.Code(h.Get(headerCode)), Reason: h.Get(headerReason), Consumer: h.Get(headerConsumer),
		traceparent: strings.Join(h[headerTraceparent], ""), body: body,
	}
	e.Source, _ = strconv.ParseUint(cmp.Or(h.Get(headerSequence), "0"), 10, 64) // it is shown, and 0 is none
	e.Command, _ = uuid.Parse(h.Get(headerCommand))
	return e
}

// id names a letter where one command, or one message, must be the same each time
// the letter is done again: sequences begin anew with a new stream, times do not.
func (e Entry) id() uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "dead %d %d", e.Sequence, e.At.UnixNano()))
}
