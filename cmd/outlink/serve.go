package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"outlink/internal/bus"
	"outlink/internal/journal"
	"outlink/internal/node"
	"outlink/internal/tokens"
)

// settings are the flags of a node.
type settings struct {
	node.Config
	prefixes      []string
	webhookSecret string
}

func (s *settings) flags(c *cobra.Command) {
	host, _ := os.Hostname()
	f := c.Flags()
	f.StringVar(&s.Database, "database", "sqlite:outlink.db", "the read model: postgres://… (CockroachDB, PostgreSQL) or sqlite:PATH")
	f.StringVar(&s.HTTP, "http", "127.0.0.1:8480", "HTTP address")
	f.StringVar(&s.HTTPCert, "http-tls-cert", "", "PEM file of the certificate for HTTPS")
	f.StringVar(&s.HTTPKey, "http-tls-key", "", "PEM file of the certificate's key")
	f.StringVar(&s.HTTPClientCA, "http-tls-client-ca", "", "PEM file of the authority whose certificate every HTTP client must have")
	f.StringVar(&s.PublicURL, "public-url", "", "where browsers reach this installation, such as https://outlink.example.com")
	f.StringVar(&s.KEKFile, "kek-file", "kek.json", "key encryption key: a Tink keyset in JSON, mode 0600")
	f.StringVar(&s.JournalDir, "journal", "journal", "directory where answers of providers wait for the log; on a disk that outlives the process, one for each node")
	f.Int64Var(&s.JournalSize, "journal-size", journal.DefaultSize, "bytes of the journal's file")
	f.IntVar(&s.TokenCache, "token-cache", tokens.DefaultCacheSize, "grants whose access tokens this node keeps in memory, about 3 KiB each")
	f.StringVar(&s.WebhookURL, "webhook-url", "", "where notices are sent, signed as Standard Webhooks says")
	f.StringVar(&s.webhookSecret, "webhook-secret-file", "", "file with the secret that signs them: whsec_ and base64")
	f.StringVar(&s.Name, "node", host, "this node's name")
	f.StringSliceVar(&s.Roles, "roles", node.Roles(), "what this node does")
	f.IntVar(&s.Replicas, "replicas", 1, "replicas of streams and buckets, when they are declared")
	f.StringSliceVar(&s.prefixes, "allow-prefix", nil, "address prefixes that endpoints may have although they are private, such as 10.1.0.0/16")
}

func (s *settings) config(ctx context.Context, a *app) (node.Config, error) {
	s.NATS, s.Access, s.Namespace = a.server, a.access, bus.Namespace(a.namespace)
	for _, p := range s.prefixes {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return s.Config, usage(fmt.Sprintf("--allow-prefix %q is no address prefix", p))
		}
		s.AllowedPrefixes = append(s.AllowedPrefixes, prefix)
	}
	if s.webhookSecret != "" {
		secret, err := a.secretFile(ctx, s.webhookSecret)
		if err != nil {
			return s.Config, err
		}
		s.WebhookSecret = secret
	}
	if err := s.Check(); err != nil {
		return s.Config, usage(err.Error())
	}
	return s.Config, nil
}

func (a *app) logger() *slog.Logger {
	if isTerminal(a.err) {
		return slog.New(tint.NewTextHandler(a.err, &tint.Options{TimeFormat: time.TimeOnly}))
	}
	return slog.New(slog.NewJSONHandler(a.err, nil))
}

func (a *app) serve() *cobra.Command {
	s := &settings{}
	c := &cobra.Command{Use: "serve", Short: "Run a node", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		config, err := s.config(cmd.Context(), a)
		if err != nil {
			return err
		}
		n, err := node.Open(cmd.Context(), config, a.logger())
		if err != nil {
			return err
		}
		return n.Run(cmd.Context(), func() { fmt.Fprintf(a.err, "outlink node %s serves %v at %s\n", config.Name, config.Roles, n.URL()) })
	}}
	s.flags(c)
	return c
}

func (a *app) migrate() *cobra.Command {
	s := &settings{}
	c := &cobra.Command{Use: "migrate", Short: "Declare streams and tables; safe to repeat", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		s.HTTP, s.Migrate = "127.0.0.1:0", true
		config, err := s.config(cmd.Context(), a)
		if err != nil {
			return err
		}
		config.Roles = nil // it declares and runs nothing, so it opens no journal either
		n, err := node.Open(cmd.Context(), config, a.logger())
		if err != nil {
			return err
		}
		n.Close()
		fmt.Fprintln(a.err, "streams, buckets, consumers and tables are in place")
		return nil
	}}
	s.flags(c)
	return c
}

func (a *app) healthcheck() *cobra.Command {
	var address, cert, key string
	c := &cobra.Command{Use: "healthcheck", Short: "Exit 0 when the node on this machine is ready", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
		defer cancel()
		scheme, client, err := healthClient(cert, key)
		if err != nil {
			return usage(err.Error())
		}
		address, err := dialled(address)
		if err != nil {
			return usage(fmt.Sprintf("--http %q: write the address as host:port", address))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+address+"/readyz", nil)
		if err != nil {
			return usage(fmt.Sprintf("--http %q is no address", address))
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("the node does not answer: %w", err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			body, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
			return fmt.Errorf("the node is not ready: %s", body)
		}
		return nil
	}}
	c.Flags().StringVar(&address, "http", "127.0.0.1:8480", "HTTP address of the node")
	c.Flags().StringVar(&cert, "http-tls-cert", "", "PEM file of the node's certificate for HTTPS")
	c.Flags().StringVar(&key, "http-tls-key", "", "PEM file of the certificate's key")
	return c
}

// dialled is where a node that listens on an address answers: one that listens on
// all of the machine's, on the loopback address.
func dialled(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address, err
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// healthClient expects exactly the node's own certificate, which seldom names
// this machine's loopback address, and shows the same one.
func healthClient(cert, key string) (scheme string, c *http.Client, err error) {
	if cert == "" {
		return "http", http.DefaultClient, nil
	}
	own, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return "", nil, fmt.Errorf("read --http-tls-cert and --http-tls-key: %w", err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection is stricter
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, own.Certificate[0]) {
				return errors.New("the server's certificate is not the node's")
			}
			return nil
		},
	}
	return "https", &http.Client{Transport: &http.Transport{TLSClientConfig: config}}, nil
}
