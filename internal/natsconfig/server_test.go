package natsconfig_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/natsconfig"
	"outlink/internal/node"
)

const namespace bus.Namespace = "outlink"

// locked is a server with the generated configuration.
type locked struct {
	t       *testing.T
	dir     string
	url     string
	write   generate
	secrets []natsconfig.File
	server  *server.Server
}

// generate is how a configuration is written: with nkeys, or for operator mode.
type generate func(natsconfig.Installation, []natsconfig.File) (string, []natsconfig.File, error)

func lock(t *testing.T, write generate) *locked {
	t.Helper()
	l := &locked{t: t, dir: t.TempDir(), write: write}
	l.save("nats.conf", fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\ninclude users.conf\n", filepath.Join(l.dir, "jetstream")))
	l.generate(map[string][]string{"billing": nil}) // its inbox is known, and its link follows
	options, err := server.ProcessConfigFile(filepath.Join(l.dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	if l.server, err = server.NewServer(options); err != nil {
		t.Fatal(err)
	}
	l.server.Start()
	t.Cleanup(func() { l.server.Shutdown(); l.server.WaitForShutdown() })
	if !l.server.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	l.url = l.server.ClientURL()
	return l
}

// generate writes the configuration, with the keys that there are.
func (l *locked) generate(readers map[string][]string) {
	l.t.Helper()
	config, secrets, err := l.write(natsconfig.Installation{Namespace: namespace, Apps: []string{"crm"}, Operators: []string{"alice"}, Readers: readers}, l.secrets)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, s := range l.secrets {
		if !slices.ContainsFunc(secrets, func(f natsconfig.File) bool { return f.Name == s.Name }) {
			l.t.Errorf("%s is gone", s.Name)
		}
	}
	l.secrets = secrets
	l.save("users.conf", config)
	for _, s := range secrets {
		l.save(s.Name, string(s.Content))
		if s.Name != "operator.jwt" && strings.Contains(config, strings.TrimSpace(string(s.Content))) {
			l.t.Fatalf("the configuration has what is in %s", s.Name)
		}
	}
}

func (l *locked) save(name, content string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// admit adds readers to the server as it runs. No node runs yet: the server, in the
// same process, reads its options for a direct get while a reload writes them
// (nats-server 2.15.2, stream.getDirectRequest), which the race detector sees.
func (l *locked) admit(readers map[string][]string) {
	l.t.Helper()
	l.generate(readers)
	if err := l.server.Reload(); err != nil {
		l.t.Fatal(err)
	}
}

func (l *locked) access(user string) bus.Access {
	file := filepath.Join(l.dir, user)
	if _, err := os.Stat(file + ".creds"); err == nil {
		return bus.Access{Creds: file + ".creds"}
	}
	return bus.Access{NKey: file + ".nk"}
}

// session is a connection of a user, with what the server refused.
type session struct {
	*nats.Conn
	mu      sync.Mutex
	refused []error
}

func (l *locked) connect(user string, more ...nats.Option) *session {
	l.t.Helper()
	options, err := l.access(user).Options()
	if err != nil {
		l.t.Fatal(err)
	}
	s := &session{}
	options = append(options, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = append(s.refused, err)
	}))
	if s.Conn, err = nats.Connect(l.url, append(options, more...)...); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.Close)
	return s
}

// refusals is how many times the server said no so far.
func (s *session) refusals(t *testing.T) int {
	t.Helper()
	for range 2 { // an error is reported by a goroutine of its own
		if err := s.FlushTimeout(5 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		s.mu.Lock()
		n := len(s.refused)
		s.mu.Unlock()
		if n > 0 {
			return n
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0
}

type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *locked) config(name, user string, log *logged, roles ...string) (node.Config, *slog.Logger) {
	return node.Config{
		Namespace: namespace, NATS: l.url, Access: l.access(user), Database: "sqlite:" + filepath.Join(l.dir, "read.db"),
		HTTP: "127.0.0.1:0", KEKFile: filepath.Join(l.dir, "kek.json"), Name: name, Roles: roles,
		JournalDir: filepath.Join(l.dir, "journal-"+name), JournalSize: 8 << 20, Replicas: 1, Dev: true,
	}, slog.New(slog.NewJSONHandler(log, nil))
}

// migrate declares the streams, as the user that may.
func (l *locked) migrate() {
	l.t.Helper()
	config, log := l.config("migrate", natsconfig.RoleMigrate, &logged{})
	config.Migrate = true
	n, err := node.Open(l.t.Context(), config, log)
	if err != nil {
		l.t.Fatal(err)
	}
	n.Close()
}

// run runs a node as a user of a role.
func (l *locked) run(user string, roles ...string) *logged {
	l.t.Helper()
	log := &logged{}
	config, logger := l.config(user, user, log, roles...)
	n, err := node.Open(l.t.Context(), config, logger)
	if err != nil {
		l.t.Fatal(err, log)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Errorf("node %s ended with %v", user, err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		l.t.Fatalf("node %s did not start: %v", user, err)
	}
	return log
}

// tokenEndpoint rotates the refresh token each time.
func tokenEndpoint(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a-" + uuid.NewString(), "token_type": "bearer", "expires_in": 2, "refresh_token": uuid.NewString()})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func (l *locked) do(c client.Client, command string, body any) (out commands.Outcome) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Do(ctx, command, body, &out); err != nil {
		l.t.Fatalf("%s: %v", command, err)
	}
	return out
}

// create makes a link with a grant whose access token is over at once.
func (l *locked) create(c client.Client, name string, id uuid.UUID) {
	l.t.Helper()
	endpoint := tokenEndpoint(l.t)
	l.do(c, "CreateOutgoingLink", commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, Link: id, ClientSecret: l.seal(c, "client-secret-0123456789"),
		Draft: commands.Draft{
			Name: name, Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Basic,
			AuthorizationEndpoint: endpoint + "/authorize", TokenEndpoint: endpoint + "/token",
		},
	})
	l.do(c, "RecordTokenIssued", commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: id, RefreshToken: l.seal(c, "refresh-token-0123456789"),
	})
}

func (l *locked) seal(c client.Client, secret string) domain.SecretInput {
	l.t.Helper()
	sealed, err := c.Seal(l.t.Context(), domain.NewSecret(secret))
	if err != nil {
		l.t.Fatal(err)
	}
	return sealed
}

// feed reads the log as the command line does.
func (l *locked) feed() eventlog.Feed {
	l.t.Helper()
	js, err := jetstream.New(l.connect(natsconfig.RoleOperator).Conn)
	if err != nil {
		l.t.Fatal(err)
	}
	return eventlog.Feed{JS: js, Namespace: namespace}
}

// eventually waits until the log has so many events of a type.
func (l *locked) eventually(ctx context.Context, typ string, times int) {
	l.t.Helper()
	enough := errors.New("enough")
	err := l.feed().Follow(ctx, 0, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if r.Type == typ {
				times--
			}
			if times == 0 {
				return enough
			}
		}
		return nil
	})
	if !errors.Is(err, enough) {
		l.t.Fatalf("%s is missing %d times: %v", typ, times, err)
	}
}

// submit publishes a durable command.
func (l *locked) submit(ctx context.Context, user, command string, body any) {
	l.t.Helper()
	js, err := jetstream.New(l.connect(user).Conn)
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := js.Publish(ctx, namespace.Submit(command), b); err != nil {
		l.t.Fatal(err)
	}
}

// shredded waits until a key is gone.
func (l *locked) shredded(ctx context.Context, key string) {
	l.t.Helper()
	js, err := jetstream.New(l.connect(natsconfig.RoleMigrate).Conn)
	if err != nil {
		l.t.Fatal(err)
	}
	keys, err := js.KeyValue(ctx, namespace.Keys())
	if err != nil {
		l.t.Fatal(err)
	}
	for err == nil {
		_, err = keys.Get(ctx, key)
	}
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		l.t.Errorf("key %s: %v", key, err)
	}
}

func (l *locked) events(ctx context.Context) []domain.Record {
	l.t.Helper()
	all, err := l.feed().Range(ctx, nil, 0, 1e6)
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// refusedLines are what a node logged of the server's refusals.
func refusedLines(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(strings.ToLower(line), "permissions violation") {
			lines = append(lines, line)
		}
	}
	return lines
}
