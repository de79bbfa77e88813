package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"outlink/domain"
)

// The bounds of trying again.
const (
	patience   = 30 * time.Second // without a deadline in the context
	oneTry     = 5 * time.Second  // then the answer, or the node, is taken for lost
	firstPause = 50 * time.Millisecond
	longPause  = 2 * time.Second
)

// ask sends one request and decodes its answer.
func (c Client) ask(ctx context.Context, subject string, body, out any) error {
	msg := nats.NewMsg(subject)
	if body != nil {
		var err error
		if msg.Data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode the request to %s: %w", subject, err)
		}
	}
	ctx, cancel := limited(ctx)
	defer cancel()
	return c.send(ctx, msg, out)
}

// limited gives a context without a deadline one: an answer that was lost must
// not hold its caller for ever.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}

// persist sends a request until it is answered with anything but unavailable, or
// the context ends. The message must be one that may arrive more than once.
func (c Client) persist(ctx context.Context, msg *nats.Msg, out any) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		err := c.try(ctx, msg, out)
		if err == nil || domain.CodeOf(err) != domain.Unavailable || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if !wait(ctx, pause) {
			return err
		}
		msg.Header.Set("Outlink-Again", "1") // whoever answers now looks for what the first try may have done
	}
}

func (c Client) try(ctx context.Context, msg *nats.Msg, out any) error {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	return c.send(ctx, msg, out)
}

// wait lets between half and all of a pause go by; false: the context ended.
func wait(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause/2 + rand.N(pause/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (c Client) send(ctx context.Context, msg *nats.Msg, out any) error {
	reply, err := c.NC.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return c.unanswered(msg.Subject, err)
	}
	if reply.Header.Get(micro.ErrorCodeHeader) != "" {
		return refusal(reply)
	}
	if err := json.Unmarshal(reply.Data, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", msg.Subject, err)
	}
	return nil
}

func (c Client) unanswered(subject string, err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return domain.Errorf(domain.Unavailable, "nobody answers %s; is a node with that role running, in namespace %q?", subject, c.Namespace)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return domain.Errorf(domain.Unavailable, "%s did not answer in time", subject)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("request %s: %w", subject, err)
	}
	return errors.Join(domain.Errorf(domain.Unavailable, "the request to %s could not be sent: %v", subject, err), err)
}

// refusal is the error that a service answered.
func refusal(reply *nats.Msg) error {
	e := &domain.Error{}
	if json.Unmarshal(reply.Data, e) != nil || e.Code == "" {
		return domain.Errorf(domain.Internal, "%s", reply.Header.Get(micro.ErrorHeader))
	}
	return e
}
