// Package bus declares everything Outlink keeps in NATS: every subject, stream,
// bucket and consumer, in this one package, created by [Declare] alone.
//
// Nothing else creates a stream, so that none ever has a library's defaults.
package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
)

// Namespace prefixes every subject and names every stream, so that several
// installations share a NATS account. It is a single subject token.
type Namespace string

// DefaultNamespace is used when nothing else is configured.
const DefaultNamespace Namespace = "outlink"

// Check reports a namespace that cannot be part of a subject and a stream name.
func (n Namespace) Check() error {
	if n == "" || len(n) > 32 || strings.Trim(string(n), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("namespace %q: use 1 to 32 lower case letters, digits and dashes", n)
	}
	return nil
}

func (n Namespace) subject(tokens ...string) string {
	return string(n) + "." + strings.Join(tokens, ".")
}

func (n Namespace) stream(name string) string {
	return strings.ToUpper(strings.ReplaceAll(string(n), "-", "_")) + "_" + name
}

// The subjects.
func (n Namespace) LinkEvents(link uuid.UUID) string {
	return n.subject("events", "link", link.String())
}
func (n Namespace) GrantEvents(link, grant uuid.UUID) string {
	return n.subject("events", "grant", link.String(), grant.String())
}
func (n Namespace) GrantsOf(link uuid.UUID) string {
	return n.subject("events", "grant", link.String(), "*")
}
func (n Namespace) NameEvents(name uuid.UUID) string {
	return n.subject("events", "name", name.String())
}
func (n Namespace) AllEvents() string          { return n.subject("events", ">") }
func (n Namespace) AllLinkEvents() string      { return n.subject("events", "link", ">") }
func (n Namespace) AllGrantEvents() string     { return n.subject("events", "grant", ">") }
func (n Namespace) Command(name string) string { return n.subject("command", name) }
func (n Namespace) Query(name string) string   { return n.subject("query", name) }
func (n Namespace) Submit(name string) string  { return n.subject("submit", name) }
func (n Namespace) Info() string               { return n.subject("info") }
func (n Namespace) Token(link string) string   { return n.subject("token", "get", link) }
func (n Namespace) Operate(what string) string { return n.subject("operate", what) }
func (n Namespace) Timer(link, grant uuid.UUID) string {
	return n.subject("timer", link.String(), grant.String())
}
func (n Namespace) Expiring(link, grant uuid.UUID) string {
	return n.subject("expiring", link.String(), grant.String())
}
func (n Namespace) Read(link uuid.UUID) string { return n.subject("read", link.String()) }
func (n Namespace) Dead(kind string) string    { return n.subject("dead", kind) }
func (n Namespace) Notice(kind string, link uuid.UUID) string {
	return n.subject("notice", kind, link.String())
}

// The streams and buckets.
func (n Namespace) Events() string     { return n.stream("EVENTS") }
func (n Namespace) Submitted() string  { return n.stream("SUBMITTED") }
func (n Namespace) Timers() string     { return n.stream("TIMERS") }
func (n Namespace) DeadStream() string { return n.stream("DEAD") }
func (n Namespace) Notices() string    { return n.stream("NOTICES") }
func (n Namespace) Reads() string      { return n.stream("READS") }
func (n Namespace) Readers() string    { return n.stream("READERS") }
func (n Namespace) Vault() string      { return n.stream("VAULT") }
func (n Namespace) Keys() string       { return n.stream("KEYS") }
func (n Namespace) Outcomes() string   { return n.stream("OUTCOMES") }
func (n Namespace) Pauses() string     { return n.stream("PAUSES") }
func (n Namespace) Windows() string    { return n.stream("WINDOWS") }

// The durable consumers.
const (
	TimersConsumer   = "timers"   // EVENTS → schedules
	ErasureConsumer  = "erasure"  // EVENTS → revocation at the provider, shredded keys
	WakeConsumer     = "wake"     // EVENTS → grants that waited for their link
	NoticesConsumer  = "notices"  // EVENTS → notices
	WebhookConsumer  = "webhook"  // NOTICES → the operator's URL
	RefreshConsumer  = "refresh"  // TIMERS → renewals
	CommandsConsumer = "commands" // SUBMITTED → decisions
)

// AckWait is how long a job may take before another node gets it as well: more
// than the deadline of a token request and its recovery.
const AckWait = 5 * time.Minute

// CommandWait is how long a submitted command may take before another node gets it
// as well: it talks to nobody but JetStream.
const CommandWait = 90 * time.Second

// HeaderAgain is on a command that its sender may have sent before: its effect is
// looked for in the whole history, whatever its id says of its age.
const HeaderAgain = "Outlink-Again"

// Declare creates the streams, buckets and consumers of a namespace, or brings
// existing ones up to date. It is safe to repeat.
func Declare(ctx context.Context, js jetstream.JetStream, n Namespace, replicas int) error {
	for _, c := range n.streams(replicas) {
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("declare stream %s: %w", c.Name, err)
		}
	}
	for _, c := range n.buckets(replicas) {
		if _, err := js.CreateOrUpdateKeyValue(ctx, c); err != nil {
			return fmt.Errorf("declare bucket %s: %w", c.Bucket, err)
		}
		if err := refine(ctx, js, c); err != nil {
			return fmt.Errorf("declare bucket %s: %w", c.Bucket, err)
		}
	}
	for stream, consumers := range n.consumers() {
		for _, c := range consumers {
			if _, err := js.CreateOrUpdateConsumer(ctx, stream, c); err != nil {
				return fmt.Errorf("declare consumer %s of %s: %w", c.Durable, stream, err)
			}
		}
	}
	return nil
}

// refine sets what the library's own declaration of a bucket does not. It takes
// batches (see eventlog.Group). A replicated one is read from its leader: a replica
// that lags answers a direct get with what was, and a key that was just made looks
// as if it was shredded.
func refine(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig) error {
	stream, err := js.Stream(ctx, "KV_"+c.Bucket)
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	config.AllowDirect, config.AllowAtomicPublish = c.Replicas == 1, true
	_, err = js.UpdateStream(ctx, config)
	return err
}

func (n Namespace) streams(replicas int) []jetstream.StreamConfig {
	return []jetstream.StreamConfig{{
		Name:        n.Events(),
		Description: "every event of every link and grant, for ever; no secret, not even sealed",
		Subjects:    []string{n.subject("events", ">")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		AllowDirect:        replicas == 1, // see refine
		AllowAtomicPublish: true,          // see eventlog.Group
		DenyDelete:         true, DenyPurge: true,
	}, {
		Name:        n.Submitted(),
		Description: "durable commands",
		Subjects:    []string{n.subject("submit", "*")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		Retention: jetstream.WorkQueuePolicy, MaxMsgSize: 64 << 10,
	}, {
		Name:        n.Timers(),
		Description: "one pending schedule a grant, and the expiry events they fire",
		Subjects:    []string{n.subject("timer", ">"), n.subject("expiring", ">")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		AllowMsgSchedules: true, AllowMsgTTL: true, MaxMsgsPerSubject: 1,
	}, {
		Name:        n.DeadStream(),
		Description: "what was given up on, with the reason",
		Subjects:    []string{n.subject("dead", ">")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		MaxAge: 30 * 24 * time.Hour, Duplicates: time.Hour, // more than AckWait, after which a job that was set aside may come again
	}, {
		Name:        n.Notices(),
		Description: "what a person should know; the message id of a repeat is the same",
		Subjects:    []string{n.subject("notice", ">")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		MaxAge: 30 * 24 * time.Hour, Duplicates: time.Hour,
	}, {
		Name:        n.Reads(),
		Description: "who read which token: reader, link, generation, purpose; never the token",
		Subjects:    []string{n.subject("read", "*")},
		Storage:     jetstream.FileStorage, Replicas: replicas,
		MaxAge: 90 * 24 * time.Hour,
	}}
}

func (n Namespace) buckets(replicas int) []jetstream.KeyValueConfig {
	return []jetstream.KeyValueConfig{{
		Bucket:      n.Vault(),
		Description: "sealed credentials and client secrets",
		History:     2, Storage: jetstream.FileStorage, Replicas: replicas,
	}, {
		Bucket:      n.Keys(),
		Description: "data keys, wrapped by the key encryption key, and a link's first client secret beside its own; purging one shreds what it sealed",
		History:     1, Storage: jetstream.FileStorage, Replicas: replicas,
	}, {
		Bucket:      n.Outcomes(),
		Description: "the outcome of each command, so that a repeat gets the same answer",
		History:     1, TTL: 30 * 24 * time.Hour, Storage: jetstream.FileStorage, Replicas: replicas,
	}, {
		Bucket:      n.Pauses(),
		Description: "hosts that asked to be left alone, and until when",
		History:     1, TTL: time.Hour, Storage: jetstream.FileStorage, Replicas: replicas,
	}, {
		Bucket:      n.Windows(),
		Description: "what was told of late of which link, so that many notices become one",
		History:     1, TTL: 7 * 24 * time.Hour, Storage: jetstream.FileStorage, Replicas: replicas,
	}, {
		Bucket:      n.Readers(),
		Description: "public curve keys of readers, to which their tokens are sealed",
		History:     1, Storage: jetstream.FileStorage, Replicas: replicas,
	}}
}

func (n Namespace) consumers() map[string][]jetstream.ConsumerConfig {
	return map[string][]jetstream.ConsumerConfig{
		n.Events(): {
			durable(TimersConsumer, 30*time.Second, n.AllGrantEvents()),
			durable(NoticesConsumer, 30*time.Second, n.AllEvents()),
			durable(WakeConsumer, 30*time.Second, n.AllLinkEvents()),
			durable(ErasureConsumer, AckWait, n.AllEvents()),
		},
		n.Timers():    {durable(RefreshConsumer, AckWait, n.subject("expiring", ">"))},
		n.Submitted(): {durable(CommandsConsumer, CommandWait)},
		n.Notices():   {retried(WebhookConsumer, WebhookBackoff)},
	}
}

// WebhookBackoff is how long after each failed delivery a notice is sent again,
// as Standard Webhooks recommends; after the last one it is dead.
var WebhookBackoff = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// retried is a consumer whose messages come again by themselves, ever later.
func retried(name string, backoff []time.Duration) jetstream.ConsumerConfig {
	c := durable(name, 0)
	c.BackOff, c.MaxDeliver = backoff, len(backoff)+1
	c.DeliverPolicy = jetstream.DeliverNewPolicy // a receiver that is new is not told old news
	return c
}

func durable(name string, ackWait time.Duration, filter ...string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, FilterSubjects: filter,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait,
		DeliverPolicy: jetstream.DeliverAllPolicy, MaxAckPending: 4096,
	}
}
