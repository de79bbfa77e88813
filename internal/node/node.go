// Package node puts a node of Outlink together: it connects what the other
// packages made, starts every long-running part in one place, and stops them in
// the order in which they can finish their work.
package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"outlink/commands"
	"outlink/domain/provider"
	"outlink/internal/bus"
	"outlink/internal/catalogue"
	"outlink/internal/eventlog"
	"outlink/internal/journal"
	"outlink/internal/microapi"
	"outlink/internal/oauth"
	"outlink/internal/tokens"
	"outlink/internal/vault"
)

// Version is the version of this build.
const Version = "0.1.0"

// Node is a node that has everything it needs and is not running yet.
type Node struct {
	Config
	Log      *slog.Logger
	Commands *commands.Service
	Vault    *vault.Vault
	Feed     eventlog.Feed

	boot     uuid.UUID
	nc       *nats.Conn
	js       jetstream.JetStream
	events   jetstream.Stream
	guard    *eventlog.Guard
	timers   jetstream.Stream
	outcomes eventlog.Outcomes
	store    Store
	advanced *signal // when the read model advances
	oauth    *oauth.Client
	journal  *journal.Journal // nil without the role refresh
	tokens   *tokens.Server
	readers  *microapi.Readers
	listener net.Listener
	serving  func() // called once, when requests over NATS are answered
}

// Open connects a node. Close it, or Run it.
func Open(ctx context.Context, c Config, log *slog.Logger) (*Node, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	n := &Node{Config: c, Log: log.With("node", c.Name), boot: newID(), advanced: newSignal()}
	if err := errors.Join(n.listen(), n.connect(ctx)); err != nil {
		n.Close()
		return nil, err
	}
	for _, step := range []func(context.Context) error{n.openStreams, n.openStore, n.openVault, n.openCommands, n.openTokens, n.openJournal} {
		if err := step(ctx); err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// Close releases what Open took.
func (n *Node) Close() {
	if n.listener != nil {
		_ = n.listener.Close()
	}
	if n.nc != nil {
		n.nc.Close()
	}
	if n.store != nil {
		_ = n.store.Close()
	}
	if n.journal != nil {
		_ = n.journal.Close()
	}
}

// URL is where this node's HTTP server listens.
func (n *Node) URL() string { return n.scheme() + "://" + n.listener.Addr().String() }

func (n *Node) scheme() string {
	if n.HTTPCert != "" {
		return "https"
	}
	return "http"
}

func (n *Node) listen() (err error) {
	if n.listener, err = net.Listen("tcp", n.HTTP); err != nil {
		return fmt.Errorf("listen for HTTP: %w", err)
	}
	if n.PublicURL == "" {
		// By name, because providers that refuse raw addresses exempt localhost.
		_, port, _ := net.SplitHostPort(n.listener.Addr().String())
		n.PublicURL = n.scheme() + "://localhost:" + port
	}
	return n.secure()
}

func (n *Node) connect(context.Context) (err error) {
	if n.nc, err = n.dial(); err != nil {
		return err
	}
	n.js, err = jetstream.New(n.nc)
	return err
}

func (n *Node) dial() (*nats.Conn, error) {
	return bus.Connect(n.NATS, n.Access, nats.Name("outlink/"+n.Name), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.ErrorHandler(n.refused))
}

// refused tells of what the server did not let this node do, which a call would
// only see as an answer that never comes.
func (n *Node) refused(_ *nats.Conn, _ *nats.Subscription, err error) {
	n.Log.Warn("NATS reports an error", "error", err)
}

func (n *Node) openStreams(ctx context.Context) (err error) {
	if n.Migrate {
		if err := bus.Declare(ctx, n.js, n.Namespace, n.Replicas); err != nil {
			return err
		}
	}
	if n.events, err = n.js.Stream(ctx, n.Namespace.Events()); err != nil {
		return fmt.Errorf("look up stream %s: %w; run: outlink migrate", n.Namespace.Events(), err)
	}
	if n.timers, err = n.js.Stream(ctx, n.Namespace.Timers()); err != nil {
		return fmt.Errorf("look up stream %s: %w; run: outlink migrate", n.Namespace.Timers(), err)
	}
	outcomes, err := n.js.KeyValue(ctx, n.Namespace.Outcomes())
	n.outcomes = eventlog.Outcomes{KV: eventlog.Bucket{KeyValue: outcomes, Group: eventlog.NewGroup(n.js)}}
	n.Feed = eventlog.Feed{JS: n.js, Namespace: n.Namespace}
	return err
}

func (n *Node) openStore(ctx context.Context) (err error) {
	if n.store, err = OpenStore(ctx, n.Database); err != nil {
		return err
	}
	if n.Migrate {
		return n.store.Migrate(ctx)
	}
	return nil
}

func (n *Node) openVault(ctx context.Context) error {
	kek, err := vault.OpenKEKFile(n.KEKFile, n.Migrate)
	if err != nil {
		return err
	}
	keys, err := n.js.KeyValue(ctx, n.Namespace.Keys())
	if err != nil {
		return err
	}
	boxes, err := n.js.KeyValue(ctx, n.Namespace.Vault())
	if err != nil {
		return err
	}
	n.Vault, err = vault.Open(ctx, kek, eventlog.Bucket{KeyValue: keys, Group: eventlog.NewGroup(n.js)},
		eventlog.Bucket{KeyValue: boxes, Group: eventlog.NewGroup(n.js)}, string(n.Namespace))
	if err != nil {
		return err
	}
	return n.openGuard(ctx, vault.NewEventKeys(kek, keys, string(n.Namespace)))
}

// openGuard takes the keys that authenticate events. A node without would take
// for events what anybody wrote, and nobody would take what it writes.
func (n *Node) openGuard(ctx context.Context, keys *vault.EventKeys) error {
	if n.Migrate {
		head, err := n.Feed.Head(ctx)
		if err != nil {
			return err
		}
		if err := keys.Create(ctx, head); err != nil {
			return err
		}
	}
	n.guard = &eventlog.Guard{Stream: n.events, Keys: keys.Keys, Log: n.Log}
	n.Feed.Guard = n.guard
	_, err := keys.Keys(ctx)
	return err
}

// openJournal refuses to start a node that could not keep what it is answered.
func (n *Node) openJournal(context.Context) (err error) {
	if n.has(RoleRefresh) {
		n.journal, err = journal.Open(n.JournalDir, cmp.Or(n.JournalSize, journal.DefaultSize))
	}
	return err
}

func (n *Node) openCommands(context.Context) error {
	providers, err := catalogue.Load()
	if err != nil {
		return err
	}
	n.oauth = oauth.New(oauth.Options{AllowedPrefixes: n.AllowedPrefixes, Loopback: n.Dev})
	logs := eventlog.Logs{JS: eventlog.NewGroup(n.js), Stream: n.events, Guard: n.guard, Namespace: n.Namespace}
	links := logs.Links()
	n.Commands = &commands.Service{
		Links: links, Made: links.First, Grants: logs.Grants(), Names: logs.Names(),
		Vault: n.Vault, Devices: n.Vault, Outcomes: n.outcomes, Catalogue: providers,
		Policy: provider.Policy{
			PublicURL: n.PublicURL, AllowedPrefixes: n.AllowedPrefixes, LoopbackHTTP: n.Dev, PublicSuffix: catalogue.PublicSuffix,
		},
		Now: time.Now, NewID: newID, Spread: rand.Float64, CheckSecret: oauth.CheckSecret,
	}
	return nil
}

// openTokens prepares the serving of access tokens.
func (n *Node) openTokens(ctx context.Context) error {
	registered, err := n.js.KeyValue(ctx, n.Namespace.Readers())
	if err != nil {
		return fmt.Errorf("look up bucket %s: %w; run: outlink migrate", n.Namespace.Readers(), err)
	}
	n.readers = microapi.NewReaders(registered, n.Log)
	n.tokens = &tokens.Server{
		Commands: n.Commands, Wait: 10 * time.Second, Watch: n.watch, Cache: tokens.NewCache(n.TokenCache),
		Audit: &tokens.Audit{Publish: n.publishReads, Node: n.Name, Log: n.Log},
	}
	return nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Run runs the node's roles until the context ends or one of them fails, then
// lets each finish what it has in hand.
func (n *Node) Run(ctx context.Context, ready func()) error {
	defer n.Close()
	n.serving = func() {
		if ready != nil {
			ready()
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range n.parts() {
		group.Go(func() error {
			if err := p.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			return nil
		})
	}
	if !n.has(RoleAPI) && !n.has(RoleCommands) {
		n.serving()
	}
	err := group.Wait()
	n.settle()
	return err
}

// settle keeps what requests left to be kept after their answers.
func (n *Node) settle() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n.outcomes.KV.Group.Flush(ctx)
}
