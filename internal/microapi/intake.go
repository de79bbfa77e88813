package microapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/dead"
	"outlink/internal/jobs"
)

// replyHeader is where a submitted command asks for its outcome.
const replyHeader = "Outlink-Reply-To"

// Intake handles submitted commands. All fields are required.
type Intake struct {
	Namespace bus.Namespace
	Commands  *commands.Service
	Seal      func(body []byte) (domain.Sealed, error) // for what may hold a clear secret
	JS        jetstream.JetStream
	NC        *nats.Conn
	Log       *slog.Logger
}

// Handle runs one submitted command. A refused one is dead: it will not succeed
// by being tried again.
func (i *Intake) Handle(ctx context.Context, j jobs.Job) error {
	ctx, cancel := context.WithTimeout(ctx, bus.CommandWait/3)
	defer cancel()
	out, err := i.Commands.Run(ctx, last(j.Subject), commands.Door{
		Submitted: true, Traceparent: first(j.Header, "traceparent"), ID: id(j),
		Again: j.Delivered > 1 || first(j.Header, bus.HeaderAgain) != "",
	}, j.Body)
	switch domain.CodeOf(err) {
	case domain.Unavailable, domain.Internal:
		if err != nil {
			return err // tried again
		}
	}
	if err != nil {
		return &jobs.Dead{Reason: err}
	}
	i.reply(j, out)
	return nil
}

// id is the id of a command that names none: the same each time that its message
// is delivered, so that a node which is killed before it acknowledges leaves one
// effect. With the time, because a new stream begins its sequences anew.
func id(j jobs.Job) uuid.UUID {
	return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%s %d %d", j.Subject, j.Sequence, j.At.UnixNano()))
}

// reply sends an outcome, or an error, to whoever asked for it.
func (i *Intake) reply(j jobs.Job, answer any) {
	to := first(j.Header, replyHeader)
	switch {
	case to == "":
		return
	case !replies.MatchString(to):
		i.Log.Warn("the outcome of a submitted command was not sent: its reply subject is no inbox", "subject", j.Subject, "sequence", j.Sequence, "reply", to)
		return
	}
	body, _ := json.Marshal(answer)
	if err := i.NC.Publish(to, body); err != nil {
		i.Log.Warn("the outcome of a submitted command could not be sent", "error", err)
	}
}

// SetAside keeps a dead command in DEAD with its reason. Its body is sealed, for
// one that could not be read may hold a secret in clear.
func (i *Intake) SetAside(ctx context.Context, j jobs.Job, d *jobs.Dead) error {
	sealed, err := i.Seal(j.Body)
	if err != nil {
		return fmt.Errorf("seal a dead command: %w", err)
	}
	body, err := json.Marshal(map[string]domain.Sealed{"sealed": sealed})
	if err != nil {
		return err
	}
	own := commands.ID(j.Body)
	if own == uuid.Nil {
		own = id(j)
	}
	i.Log.Warn("a submitted command is set aside", "subject", j.Subject, "command", own, "code", domain.CodeOf(d.Reason), "reason", d.Reason)
	err = dead.Put(ctx, i.JS, i.Namespace.Dead(dead.Command), dead.Letter{
		Subject: j.Subject, Sequence: j.Sequence, Consumer: bus.CommandsConsumer, Reason: d.Reason, Command: own,
		Traceparent: first(j.Header, "traceparent"), Body: body,
	})
	if err == nil {
		i.reply(j, domain.Public(d.Reason))
	}
	return err
}

func first(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}
