// Package outlinktest starts a whole Outlink inside a test: NATS, a node with
// every role, its read model in SQLite, and an OAuth provider that signs its one
// user in. Everything listens on loopback, stores in the test's directory, and
// ends with the test.
//
// It is real: only the provider's user is played. A start takes about a second.
package outlinktest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/demoprovider"
	"outlink/internal/natsd"
	"outlink/internal/node"
)

// T is what is needed of a test, a benchmark, or a program that shows something:
// *testing.T, *testing.B and testing.TB are such.
type T interface {
	Helper()
	Context() context.Context
	TempDir() string
	Cleanup(f func())
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// startup is how long the parts may take to come up, on a busy machine.
const startup = time.Minute

// Outlink is a running installation in the namespace "outlink".
type Outlink struct {
	client   client.Client
	url      string
	provider *demoprovider.Provider
	secret   domain.Secret
}

// Options change what is started. The zero value is what [Start] starts.
type Options struct {
	TokenLifetime time.Duration // of access tokens; 0 means an hour
	Log           *slog.Logger  // of the node and the provider; nil: none
}

// Start starts an installation.
func Start(t T) *Outlink {
	t.Helper()
	return StartWith(t, Options{})
}

// StartWith starts an installation that differs from the usual one.
func StartWith(t T, o Options) *Outlink {
	t.Helper()
	if o.TokenLifetime == 0 {
		o.TokenLifetime = time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dir := t.TempDir()
	server, err := natsd.Start(filepath.Join(dir, "nats"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	out := &Outlink{url: server.URL(), secret: domain.NewSecret(rand.Text())}
	out.startProvider(t, dir, o)
	runNode(t, dir, server.URL(), o.Log)
	nc, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	out.client = client.New(nc, "")
	return out
}

func (o *Outlink) startProvider(t T, dir string, options Options) {
	t.Helper()
	p, err := demoprovider.Start(t.Context(), demoprovider.Options{
		Addr: "127.0.0.1:0", ClientID: clientID, ClientSecret: o.secret, AccessTokenLifetime: options.TokenLifetime,
		StateFile: filepath.Join(dir, "provider.json"), Log: options.Log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	o.provider = p
}

// runNode runs a node with every role until the test's end.
func runNode(t T, dir, url string, log *slog.Logger) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{
		Namespace: bus.DefaultNamespace, NATS: url, Database: "sqlite:" + filepath.Join(dir, "read.db"),
		HTTP: "127.0.0.1:0", KEKFile: filepath.Join(dir, "kek.json"), Name: "test", Roles: node.Roles(),
		JournalDir: filepath.Join(dir, "journal"), JournalSize: 8 << 20, Replicas: 1, Dev: true, Migrate: true,
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	// Not the test's context: that one ends before the clean-up which waits.
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("the node did not start: %v", err)
	case <-time.After(startup):
		t.Errorf("the node is not ready after %s", startup)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
}

// Client is a client of the installation, on a connection that ends with the test.
func (o *Outlink) Client() client.Client { return o.client }

// URL is where NATS listens, for connections of the test's own.
func (o *Outlink) URL() string { return o.url }

const clientID = "outlinktest"

// Draft is the configuration of a link to the provider; its client secret is
// [Outlink.ClientSecret].
func (o *Outlink) Draft(name string) commands.Draft {
	return commands.Draft{
		Name: name, Provider: "custom", ClientID: clientID, Scopes: []string{"openid", "offline_access"}, AuthStyle: link.Basic,
		AuthorizationEndpoint: o.provider.AuthorizationEndpoint(), TokenEndpoint: o.provider.TokenEndpoint(),
		RevocationEndpoint: o.provider.RevocationEndpoint(),
	}
}

// ClientSecret is what the provider takes from the client of [Outlink.Draft].
func (o *Outlink) ClientSecret() domain.SecretInput { return domain.SecretInput{Clear: o.secret} }

// Link creates a link of a name and authorizes it for the subject "default". It
// returns the link's id.
func (o *Outlink) Link(t T, name string) uuid.UUID {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startup)
	defer cancel()
	out, err := o.client.CreateOutgoingLink(ctx, commands.CreateOutgoingLink{Draft: o.Draft(name), ClientSecret: o.ClientSecret()})
	if err != nil {
		t.Fatal(err)
	}
	o.Authorize(t, out.Link, "")
	return out.Link
}

// Authorize consents to a link as the provider's user, for a subject; "" means
// "default".
func (o *Outlink) Authorize(t T, id uuid.UUID, subject string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startup)
	defer cancel()
	begun, err := o.client.BeginAuthorization(ctx, commands.BeginAuthorization{Link: id, Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	if err := demoprovider.SignIn(ctx, begun.AuthorizationURL); err != nil {
		t.Fatalf("sign in at the provider: %v", err)
	}
}
