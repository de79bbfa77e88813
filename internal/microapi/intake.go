package microapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
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
	out, err := i.Commands.Run(ctx, last(j.Subject), commands.Door{SealedOnly: true, Traceparent: first(j.Header, "traceparent")}, j.Body)
	switch domain.CodeOf(err) {
	case domain.Unavailable, domain.Internal:
		if err != nil {
			return err // tried again
		}
	}
	i.reply(j, out, err)
	if err != nil {
		return &jobs.Dead{Reason: err, Body: i.kept(j.Body)}
	}
	return nil
}

func (i *Intake) reply(j jobs.Job, out commands.Outcome, err error) {
	to := first(j.Header, replyHeader)
	if to == "" || !replies.MatchString(to) {
		return
	}
	var answer any = out
	if err != nil {
		answer = domain.Public(err)
	}
	body, _ := json.Marshal(answer)
	if err := i.NC.Publish(to, body); err != nil {
		i.Log.Warn("the outcome of a submitted command could not be sent", "error", err)
	}
}

// kept is a dead command as it is kept: sealed, because one that could not be
// read may hold a secret in clear.
func (i *Intake) kept(body []byte) []byte {
	sealed, err := i.Seal(body)
	if err != nil {
		i.Log.Error("a dead command could not be sealed", "error", err)
		return nil
	}
	b, _ := json.Marshal(map[string]domain.Sealed{"sealed": sealed})
	return b
}

// SetAside publishes what is dead to DEAD with its reason.
func (i *Intake) SetAside(ctx context.Context, j jobs.Job, d *jobs.Dead) error {
	public := domain.Public(d.Reason)
	msg := nats.NewMsg(i.Namespace.Dead("command"))
	msg.Data = d.Body
	msg.Header = nats.Header{
		"Outlink-Dead-Subject": {j.Subject}, "Outlink-Dead-Code": {string(public.Code)},
		"Outlink-Dead-Reason": {strings.NewReplacer("\r", " ", "\n", " ").Replace(public.Message)},
	}
	if _, err := i.JS.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("set a submitted command aside: %w", err)
	}
	i.Log.Warn("a submitted command was refused and set aside", "subject", j.Subject, "code", public.Code, "reason", public.Message)
	return nil
}

func first(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}
