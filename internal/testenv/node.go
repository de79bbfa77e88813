// Package testenv gives tests real things to run against: nodes on an embedded
// NATS, databases, browsers and authorization servers. Everything listens on
// loopback and ends with its test.
package testenv

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/internal/node"
)

// NATS starts a server with JetStream.
func NATS(t testing.TB) *natsd.Server {
	t.Helper()
	s, err := natsd.Start(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Node opens a node of the given name on a server; dir holds what the nodes of
// one installation share. The test closes or runs it.
func Node(t testing.TB, s *natsd.Server, dir, name string, roles ...string) *node.Node {
	t.Helper()
	return NodeAt(t, s.URL(), 1, dir, name, roles...)
}

// NodeAt is Node at any NATS, with that many replicas of streams and buckets.
func NodeAt(t testing.TB, nats string, replicas int, dir, name string, roles ...string) *node.Node {
	t.Helper()
	if len(roles) == 0 {
		roles = node.Roles()
	}
	n, err := node.Open(t.Context(), node.Config{
		Namespace: bus.DefaultNamespace, NATS: nats, Database: "sqlite:" + filepath.Join(dir, "read.db"),
		HTTP: "127.0.0.1:0", KEKFile: filepath.Join(dir, "kek.json"), Name: name, Roles: roles,
		JournalDir: filepath.Join(dir, "journal-"+name), JournalSize: 8 << 20, Replicas: replicas, Dev: true, Migrate: true,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// Listen serves a handler on loopback and returns its URL.
func Listen(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}
