package check

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const natsConf = "deploy/nats/nats.conf"

func TestNATS(t *testing.T) {
	holds(t, natsProblems(t, read(t, natsConf)))
}

func TestNATSBroken(t *testing.T) {
	breaks(t, read(t, natsConf), []change{
		{"syntax", "jetstream {", "jetstream [", "Parse error"},
		{"unknown option", "sync_interval", "sink_interval", `unknown field "sink_interval"`},
		{"no sync", "sync_interval: always", "", "is not synced"},
		{"sync now and then", "sync_interval: always", "sync_interval: 2m", "is not synced"},
		{"JetStream off", "jetstream {", "jetstream {\n  enabled: false", "JetStream is off"},
	}, natsProblems)
}

// natsProblems starts a server with a configuration.
func natsProblems(t *testing.T, conf string) []error {
	t.Helper()
	opts, err := natsOptions(t, conf)
	if err != nil {
		return []error{err}
	}
	if opts.StoreDir == "" {
		return []error{errors.New("nats: no store_dir, so JetStream writes to /tmp")}
	}
	s := serveNATS(t, opts)
	if s == nil {
		return []error{errors.New("nats: the server is not ready")}
	}
	js := s.JetStreamConfig()
	switch {
	case js == nil:
		return []error{errors.New("nats: JetStream is off")}
	case !js.SyncAlways:
		return []error{fmt.Errorf("nats: a write is not synced before it is acknowledged, but every %v", js.SyncInterval)}
	}
	return nil
}

func natsOptions(t *testing.T, conf string) (*server.Options, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.ProcessConfigFile(file)
}

func startNATS(t *testing.T) string {
	t.Helper()
	opts, err := natsOptions(t, read(t, natsConf))
	if err != nil {
		t.Fatal(err)
	}
	s := serveNATS(t, opts)
	if s == nil {
		t.Fatal("nats: the server is not ready")
	}
	return s.ClientURL()
}

// serveNATS runs a server until the test ends, on ports and in a directory of
// the test's own.
func serveNATS(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.Port, opts.HTTPPort, opts.StoreDir = "127.0.0.1", server.RANDOM_PORT, server.RANDOM_PORT, t.TempDir()
	opts.NoLog, opts.NoSigs = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatalf("nats: %v", err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		return nil
	}
	return s
}
