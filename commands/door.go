package commands

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"outlink/domain"
)

// MaxSize is how large a command may be, in bytes.
const MaxSize = 64 << 10

// MaxLine is how long an actor, a correlation id or a reason may be, in characters.
const MaxLine = 500

// Outcomes remembers the answers to commands, so that a repeat gets the same
// one, long after the log's own window for duplicates.
type Outcomes interface {
	// Get returns the answer to a command, or nil.
	Get(ctx context.Context, command uuid.UUID) (*Answered, error)
	Put(ctx context.Context, command uuid.UUID, a Answered) error

	// PutLater keeps an answer without waiting for it. A crash may lose it.
	PutLater(command uuid.UUID, a Answered)
}

// Answered is a command's answer as it is remembered.
type Answered struct {
	Command string        `json:"command"`
	Outcome *Outcome      `json:"outcome,omitempty"`
	Error   *domain.Error `json:"error,omitempty"`
}

// Door is how a command came in.
type Door struct {
	Actor       string // who the transport says it is; outweighs the command's own word
	Traceparent string

	// Submitted says that the command rests in a stream: a clear secret is refused,
	// and its outcome is kept before the command is taken from there.
	Submitted bool

	// ID is the id of a command that names none, where a door can tell that it is
	// the same one when it comes again. Zero: each time is another command.
	ID uuid.UUID

	// Again says that the command was sent before. Then its effect is looked for in
	// the whole history, whatever its id says of its age.
	Again bool
}

// handler decodes one command and runs it.
type handler func(ctx context.Context, s *Service, d Door, body []byte, known lookUp) (Outcome, *Header, error)

// command is one entry of the contract: how it runs, and what it looks like.
type command struct {
	run  handler
	read func(d Door, body []byte) (any, error) // a pointer to the command, if the door takes it
	zero any

	// lasting says that the log itself answers a repeat, for ever and with the
	// same answer. Then the outcome is kept after the reply, and for two things
	// only: to answer faster, and to tell one who uses the id for something else.
	lasting bool
}

// handlers is every command by name: the contract of all doors.
var handlers = map[string]command{
	"CreateOutgoingLink":  lasting((*Service).CreateOutgoingLink),
	"UpdateOutgoingLink":  handle((*Service).UpdateOutgoingLink),
	"ReplaceClientSecret": handle((*Service).ReplaceClientSecret),
	"DisableLink":         handle((*Service).DisableLink),
	"EnableLink":          handle((*Service).EnableLink),
	"DeleteLink":          handle((*Service).DeleteLink),
	"BeginAuthorization":  handle((*Service).BeginAuthorization),
	"RecordTokenIssued":   handle((*Service).RecordTokenIssued),
	"RequestToken":        handle((*Service).RequestToken),
	"RequestRefresh":      handle((*Service).RequestRefresh),
	"ReportTokenRejected": handle((*Service).ReportTokenRejected),
	"SuspendGrant":        handle((*Service).SuspendGrant),
	"ResumeGrant":         handle((*Service).ResumeGrant),
	"RevokeGrant":         handle((*Service).RevokeGrant),
}

// Names lists the commands.
func Names() []string { return slices.Sorted(maps.Keys(handlers)) }

// Zero is an empty command, for whoever describes or decodes it; nil for a name
// that no command has.
func Zero(name string) any { return handlers[name].zero }

// Run decodes a command, runs it, and remembers its answer. It is the one
// handler behind all doors.
func (s *Service) Run(ctx context.Context, name string, d Door, body []byte) (Outcome, error) {
	c, ok := handlers[name]
	if !ok {
		return Outcome{}, unknown(name)
	}
	if len(body) > MaxSize {
		return Outcome{}, domain.Errorf(domain.InvalidArgument, "the command has %d bytes; at most %d bytes are taken", len(body), MaxSize)
	}
	id, err := commandID(body)
	if err != nil {
		return Outcome{}, err
	}
	if id == uuid.Nil {
		id = d.ID
	}
	known := s.lookUp(ctx, id)
	out, h, err := c.run(ctx, s, d, body, known)
	if a, err := known(); err != nil {
		return Outcome{}, err
	} else if a != nil {
		return s.again(ctx, name, id, body, *a)
	}
	if h == nil || id == uuid.Nil {
		return out, err
	}
	if c.lasting && err == nil && !d.Submitted {
		s.Outcomes.PutLater(id, Answered{Command: name, Outcome: &out})
		return out, nil
	}
	return out, errors.Join(err, s.remember(ctx, name, h.CommandID, out, err))
}

func unknown(name string) error {
	return domain.Errorf(domain.InvalidArgument, "unknown command %q; the commands are %s", clip(name), strings.Join(Names(), ", "))
}

// remember keeps an answer that is final. What may succeed when tried again is
// not remembered.
func (s *Service) remember(ctx context.Context, name string, id uuid.UUID, out Outcome, err error) error {
	a := Answered{Command: name}
	if err != nil {
		switch domain.CodeOf(err) {
		case domain.Unavailable, domain.Internal, domain.ResourceExhausted:
			return nil
		}
		a.Error = domain.Public(err)
	} else {
		out.AuthorizationURL = "" // it carries a ticket
		if out.Device != nil {
			out.Device = &Device{} // whoever enters the code gives the consent
		}
		a.Outcome = &out
	}
	return s.Outcomes.Put(ctx, id, a)
}

// commanded is a pointer to a command: a struct that embeds Header, and says which
// link it is about.
type commanded[C any] interface {
	*C
	header() *Header
	about() uuid.UUID
}

// handle makes an entry of a command's method, which is asked once it is sure
// that this is no repeat.
func handle[C any, P commanded[C]](run func(*Service, context.Context, C) (Outcome, error)) command {
	return entry[C, P](func(s *Service, ctx context.Context, c C) (Outcome, error) {
		if err := P(&c).header().first(); err != nil {
			return Outcome{}, err
		}
		return run(s, ctx, c)
	})
}

// lasting is handle for a method whose event answers a repeat for ever. It is
// asked at once, and asks itself whether this is one.
func lasting[C any, P commanded[C]](run func(*Service, context.Context, C) (Outcome, error)) command {
	c := entry[C, P](run)
	c.lasting = true
	return c
}

func entry[C any, P commanded[C]](run func(*Service, context.Context, C) (Outcome, error)) command {
	read := func(d Door, body []byte) (c C, err error) {
		if err = decode(body, &c); err == nil {
			err = d.admit(&c)
		}
		return c, err
	}
	untyped := func(d Door, body []byte) (any, error) {
		c, err := read(d, body)
		return &c, err
	}
	return command{zero: *new(C), read: untyped, run: func(ctx context.Context, s *Service, d Door, body []byte, known lookUp) (Outcome, *Header, error) {
		c, err := read(d, body)
		if err != nil {
			return Outcome{}, nil, err
		}
		h := P(&c).header()
		h.before = d.before(h.CommandID)
		if h.CommandID == uuid.Nil {
			h.CommandID = d.ID
		}
		if h.CommandID == uuid.Nil {
			h.CommandID = s.NewID()
		}
		if d.Actor != "" {
			h.Actor = d.Actor
		}
		h.Traceparent, h.answered = d.Traceparent, known
		if err := errors.Join(domain.Given("link_id", P(&c).about()), h.check()); err != nil {
			return Outcome{}, nil, err
		}
		out, err := run(s, ctx, c)
		return out, h, err
	}}
}

// admit refuses a clear secret where it would rest in a stream.
func (d Door) admit(c any) error {
	if !d.Submitted {
		return nil
	}
	for _, in := range secrets(c) {
		if !in.Clear.IsZero() {
			return domain.Errorf(domain.InvalidArgument, "a submitted command rests in a stream, so its secrets must be sealed to the namespace's curve key (see outlink.info); or send it as a request")
		}
	}
	return nil
}

func secrets(c any) []*domain.SecretInput {
	switch c := c.(type) {
	case *CreateOutgoingLink:
		return []*domain.SecretInput{&c.ClientSecret}
	case *ReplaceClientSecret:
		return []*domain.SecretInput{&c.ClientSecret}
	case *RecordTokenIssued:
		return []*domain.SecretInput{&c.AccessToken, &c.RefreshToken}
	}
	return nil
}

// check keeps what goes into headers of the log printable and short.
func (h *Header) check() error {
	for field, value := range map[string]string{"actor": h.Actor, "correlation_id": h.Correlation, "reason": h.Reason} {
		if utf8.RuneCountInString(value) > MaxLine || !domain.OneLine(value) {
			return domain.Errorf(domain.InvalidArgument, "%s: use at most %d characters in one line, and none that nobody sees", field, MaxLine)
		}
	}
	return nil
}

// decode reads a command strictly.
func decode(body []byte, into any) error {
	if err := domain.Strictly(body, into); err != nil {
		return domain.Errorf(domain.InvalidArgument, "the command is not readable: %s", domain.Unreadable(err))
	}
	return nil
}

// commandID peeks at the id, so that a repeat is answered before it is decoded.
func commandID(body []byte) (uuid.UUID, error) {
	var h struct {
		CommandID json.RawMessage `json:"command_id"`
	}
	if json.Unmarshal(body, &h) != nil || len(h.CommandID) == 0 {
		return uuid.Nil, nil //nolint:nilerr // the strict decoder says what is wrong
	}
	var id uuid.UUID
	if json.Unmarshal(h.CommandID, &id) != nil {
		return uuid.Nil, domain.Errorf(domain.InvalidArgument, "command_id must be a UUID")
	}
	return id, nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
