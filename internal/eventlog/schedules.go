package eventlog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/bus"
)

// Schedules keeps one pending message schedule (ADR-51) a grant in TIMERS. When
// it fires, JetStream publishes to the grant's expiring subject.
type Schedules struct {
	JS        jetstream.JetStream
	Timers    jetstream.Stream
	Namespace bus.Namespace
}

// wakeTTL is how long a wake-up waits for a worker; after that the sweep finds
// the grant.
const wakeTTL = 24 * time.Hour

// Set replaces the grant's schedule; a time that is over wakes the grant at once.
func (s Schedules) Set(ctx context.Context, key domain.Key, at time.Time) error {
	target := s.Namespace.Expiring(key.Link, key.Grant)
	msg := nats.NewMsg(s.Namespace.Timer(key.Link, key.Grant))
	if !at.After(time.Now()) {
		msg.Subject = target
	} else {
		// Written by hand because the library's option drops fractions of a second.
		msg.Header["Nats-Schedule"] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
		msg.Header["Nats-Schedule-Target"] = []string{target}
		msg.Header["Nats-Schedule-TTL"] = []string{wakeTTL.String()}
	}
	if _, err := s.JS.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("schedule grant %s: %w", key, unavailable(err))
	}
	return nil
}

// Cancel removes the grant's schedule, if there is one.
func (s Schedules) Cancel(ctx context.Context, key domain.Key) error {
	if err := s.Timers.Purge(ctx, jetstream.WithPurgeSubject(s.Namespace.Timer(key.Link, key.Grant))); err != nil {
		return fmt.Errorf("cancel the schedule of grant %s: %w", key, unavailable(err))
	}
	return nil
}
