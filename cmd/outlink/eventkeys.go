package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/vault"
)

// guarded gives commands that read the log themselves the key to tell events from
// foreign messages.
func (a *app) guarded(c *cobra.Command) {
	c.PersistentFlags().StringVar(&a.kek, "kek-file", "", "key encryption key of the nodes: then messages in the log that no node wrote are ignored, and reported")
}

// eventKeys are the namespace's keys of events, as who may read them.
func (a *app) eventKeys(ctx context.Context, js jetstream.JetStream) (*vault.EventKeys, error) {
	kek, err := vault.OpenKEKFile(a.kek, false)
	if err != nil {
		return nil, usage(err.Error())
	}
	name := bus.Namespace(a.namespace).Keys()
	bucket, err := js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("look up bucket %s: %w; use a user of NATS who may read it, such as migrate", name, err)
	}
	return vault.NewEventKeys(kek, bucket, a.namespace), nil
}

// stream is the log. A namespace that has none is misspelt, or new.
func (a *app) stream(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, error) {
	stream, err := js.Stream(ctx, bus.Namespace(a.namespace).Events())
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, domain.Errorf(domain.NotFound, "namespace %q has no log; give another --namespace, or run: outlink migrate", a.namespace)
	case err != nil && !errors.Is(err, context.Canceled):
		return nil, domain.Errorf(domain.Unavailable, "the log of namespace %q does not answer: %v; try again", a.namespace, err)
	}
	return stream, err
}

// guard is nil without a key encryption key.
func (a *app) guard(ctx context.Context, js jetstream.JetStream) (*eventlog.Guard, error) {
	stream, err := a.stream(ctx, js)
	if err != nil || a.kek == "" {
		return nil, err
	}
	keys, err := a.eventKeys(ctx, js)
	if err != nil {
		return nil, err
	}
	_, err = keys.Keys(ctx)
	return &eventlog.Guard{Stream: stream, Keys: keys.Keys, Log: a.quiet()}, err
}

// quiet logs errors only.
func (a *app) quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelError}))
}

func (a *app) eventRotateKey() *cobra.Command {
	var retire bool
	c := &cobra.Command{
		Use: "rotate-key", Short: "Make a new key for the MACs of events, or retire the old ones", Args: cobra.NoArgs,
		Long: "Makes a new key, with which all nodes write within a minute; what was written keeps the MACs of the old ones. When an old\n" +
			"key may be in wrong hands, run it again with --retire, five minutes later: from then on a message with an old key's MAC\n" +
			"is ignored as any other foreign message. It takes --kek-file, and a user of NATS who may write the keys: migrate.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.kek == "" {
				return usage("give --kek-file or OUTLINK_KEK_FILE: the key is kept wrapped by it")
			}
			return a.feed(cmd, "", func(ctx context.Context, feed eventlog.Feed, _ []string) error { return a.rotateKey(ctx, feed, retire) })
		},
	}
	c.Flags().BoolVar(&retire, "retire", false, "have the old keys count for nothing that is written from now on, and make no new one")
	return c
}

func (a *app) rotateKey(ctx context.Context, feed eventlog.Feed, retire bool) error {
	keys, err := a.eventKeys(ctx, feed.JS)
	if err != nil {
		return err
	}
	head, err := feed.Head(ctx)
	if err != nil {
		return err
	}
	if retire {
		ids, err := keys.Retire(ctx, head, time.Now())
		if err == nil {
			fmt.Fprintf(a.err, "retired at sequence %d: %s\n", head, cmp.Or(strings.Join(ids, ", "), "none"))
		}
		return err
	}
	id, err := keys.Rotate(ctx, head)
	if err == nil {
		fmt.Fprintf(a.err, "key %s is in use within a minute\n", id)
	}
	return err
}
