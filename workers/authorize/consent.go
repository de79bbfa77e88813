package authorize

import (
	"context"
	"log/slog"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/provider"
	"outlink/workers/erasure"
)

// How long a token is tried to be stored while vault or log are away, and how long one
// try may take: a call hangs while its connection is made anew.
const (
	storeWithin = time.Minute
	tryWithin   = 5 * time.Second
)

// consent is a person's, whose token the provider gives once.
type consent struct {
	commands     *commands.Service
	revoker      erasure.Revoker
	registration provider.Registration
	header       func() commands.Header
	log          *slog.Logger
}

// store stores its token, again and again. One that comes when the consent is over is
// revoked.
func (c consent) store(ctx context.Context, t commands.NewToken) (commands.Outcome, error) {
	within, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		out, err := c.try(within, t)
		switch domain.CodeOf(err) {
		case domain.Unavailable, domain.Conflict:
			c.log.Warn("a token waits for vault and log", "grant", t.Key.Grant, "authorization", t.Exchange, "error", err)
		case domain.FailedPrecondition:
			problem := erasure.Orphan(ctx, c.revoker, c.registration, t.Token)
			c.log.Warn("a token came after its consent was over; it is not kept", "grant", t.Key.Grant, "authorization", t.Exchange, "revoked", problem == nil, "problem", problem)
			return out, err
		default:
			return out, err
		}
		select {
		case <-time.After(pause):
		case <-within.Done():
			return out, err
		}
	}
}

func (c consent) try(ctx context.Context, t commands.NewToken) (commands.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	return c.commands.IssueToken(ctx, c.header(), t)
}
