package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/demoprovider"
	"outlink/internal/natsd"
	"outlink/internal/node"
)

// devFlags are the flags of `outlink dev`.
type devFlags struct {
	data, http, nats, provider, publicURL, readyFile string
	noSeed                                           bool
	tokenLife                                        time.Duration
}

func (a *app) dev() *cobra.Command {
	var d devFlags
	c := &cobra.Command{
		Use: "dev", Short: "Run everything in one process, with a demo provider and seeded links", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runDev(cmd.Context(), d) },
	}
	f := c.Flags()
	f.StringVar(&d.data, "data", ".outlink", "directory of all data")
	f.StringVar(&d.http, "http", "127.0.0.1:8480", "HTTP address; port 0 chooses one")
	f.StringVar(&d.nats, "nats", "127.0.0.1:4222", "NATS address; port 0 chooses one")
	f.StringVar(&d.provider, "provider", "127.0.0.1:8490", "address of the demo provider; port 0 chooses one")
	f.StringVar(&d.publicURL, "public-url", "", "where browsers reach this installation (default: localhost at the HTTP port)")
	f.StringVar(&d.readyFile, "ready-file", "", "write the URLs as JSON to this file when all is ready")
	f.DurationVar(&d.tokenLife, "token-lifetime", time.Minute, "how long the demo provider's access tokens live")
	f.BoolVar(&d.noSeed, "no-seed", false, "create no links")
	return c
}

// ready is what --ready-file says.
type ready struct {
	HTTP     string `json:"http"`
	NATS     string `json:"nats"`
	Provider string `json:"provider"`
}

func (a *app) runDev(ctx context.Context, d devFlags) error {
	unlock, err := lock(d.data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeReady(d.readyFile); err != nil {
		return err
	}
	secret, err := keptSecret(filepath.Join(d.data, "demo-client-secret"))
	if err != nil {
		return err
	}
	name, err := nodeName(d.data)
	if err != nil {
		return err
	}
	config := node.Config{
		Namespace: bus.Namespace(a.namespace), NATS: "nats://" + d.nats, Database: "sqlite:" + filepath.Join(d.data, "outlink.db"),
		HTTP: d.http, PublicURL: d.publicURL, KEKFile: filepath.Join(d.data, "kek.json"), Name: name,
		JournalDir: filepath.Join(d.data, "journal"), JournalSize: 16 << 20, Roles: node.Roles(), Replicas: 1, Dev: true, Migrate: true,
	}
	if err := config.Check(); err != nil {
		return usage(err.Error())
	}
	log := a.logger()
	slog.SetDefault(log) // the demo provider's library takes no other
	demo, err := demoprovider.Start(ctx, demoprovider.Options{
		Addr: d.provider, ClientID: demoClient, ClientSecret: secret, AccessTokenLifetime: d.tokenLife,
		StateFile: filepath.Join(d.data, "demo-provider.json"), Log: log,
	})
	if err != nil {
		return fmt.Errorf("start the demo provider: %w", err)
	}
	defer func() { _ = demo.Close() }()
	server, err := natsd.StartContext(ctx, filepath.Join(d.data, "nats"), d.nats)
	if domain.CodeOf(err) == domain.Unavailable {
		return domain.Errorf(domain.Unavailable, "%s; stop what uses it, or give another address with --nats", domain.Public(err).Message)
	}
	if err != nil {
		return err
	}
	defer server.Stop() // after the node, which still stores what it has in hand
	config.NATS = server.URL()
	n, err := node.Open(ctx, config, log)
	if err != nil {
		return err
	}
	err = untilReady(ctx, n, func(ctx context.Context) error { return a.whenReady(ctx, n, demo, server, secret, d) })
	return errors.Join(err, removeReady(d.readyFile))
}

// untilReady runs a node, and ends it when what is to be done at its start fails.
func untilReady(ctx context.Context, n *node.Node, whenReady func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	var begun sync.WaitGroup
	err := n.Run(ctx, func() {
		begun.Go(func() {
			if err := whenReady(ctx); err != nil && ctx.Err() == nil {
				failed = err
				cancel()
			}
		})
	})
	cancel()
	begun.Wait()
	return errors.Join(failed, err)
}

// removeReady removes a ready file: nothing is ready before the start and after
// the end.
func removeReady(file string) error {
	if file == "" {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ready file: %w", err)
	}
	return nil
}

// whenReady seeds the links, tells where everything is, and what to try.
func (a *app) whenReady(ctx context.Context, n *node.Node, demo *demoprovider.Provider, server *natsd.Server, secret domain.Secret, d devFlags) error {
	if !d.noSeed {
		s := seeder{commands: n.Commands, demo: demo, secret: secret}
		if err := s.run(ctx); err != nil {
			return fmt.Errorf("seed the links: %w", err)
		}
	}
	if err := a.moveLinks(ctx, n); err != nil {
		return fmt.Errorf("bring redirect URLs up to date: %w", err)
	}
	r := ready{HTTP: n.URL(), NATS: server.URL(), Provider: demo.URL()}
	fmt.Fprintf(a.err, `
Outlink is running; its data is in %s

  dashboard       %s
  NATS            %s
  demo provider   %s

Try, in another terminal:

  outlink link ls --server %[3]s
  outlink token get demo --server %[3]s
  outlink events tail --link demo --server %[3]s

(from this checkout: go run ./cmd/outlink link ls …)  Ctrl-C ends it; the next start resumes.
`, d.data, n.PublicURL, r.NATS, r.Provider)
	if d.readyFile == "" {
		return nil
	}
	b, _ := json.Marshal(r) // three strings
	if err := writeFile(d.readyFile, append(b, '\n')); err != nil {
		return fmt.Errorf("write the ready file: %w", err)
	}
	return nil
}

// lock makes sure that one process uses the data. The lock ends with the
// process, however it ends.
func lock(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, domain.Errorf(domain.Unavailable, "another process uses the data in %s; stop it, or give another directory with --data", dir)
	}
	return func() { _ = f.Close() }, nil
}

// keptSecret reads the demo client's secret, made at the first start.
func keptSecret(path string) (domain.Secret, error) {
	s, err := kept(path, rand.Text)
	return domain.NewSecret(s), err
}

// nodeName is this data directory's: a restarted node knows its own attempts.
func nodeName(dir string) (string, error) {
	return kept(filepath.Join(dir, "node"), func() string { return "dev-" + uuid.NewString()[:8] })
}

func kept(path string, create func() string) (string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		b = []byte(create())
		err = writeFile(path, b)
	}
	if err != nil {
		return "", fmt.Errorf("data directory: %w", err)
	}
	return string(b), nil
}

// writeFile writes a file that is whole or absent, and its owner's alone.
func writeFile(path string, b []byte) error {
	f, placed, err := placedFile(path)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return placed(err)
}
