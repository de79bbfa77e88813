package bench

import (
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/testenv"
	"outlink/internal/tokens"
)

// door is a node that answers over NATS, with a link of one grant.
type door struct {
	url  string
	link uuid.UUID
}

func newDoor(b *testing.B) door {
	b.Helper()
	s := testenv.NATS(b)
	n := testenv.Node(b, s, b.TempDir(), "n", "api", "commands")
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	b.Cleanup(func() { stop(); <-ended })
	<-ready
	out, err := n.Commands.CreateOutgoingLink(b.Context(), newLink("bench"))
	if err != nil {
		b.Fatal(err)
	}
	_, err = n.Commands.RecordTokenIssued(b.Context(), commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, ExpiresAt: time.Now().Add(24 * time.Hour),
		AccessToken:  domain.SecretInput{Clear: domain.NewSecret("at-0123456789012345678901234567890123456789")},
		RefreshToken: domain.SecretInput{Clear: domain.NewSecret("rt")},
	})
	if err != nil {
		b.Fatal(err)
	}
	return door{s.URL(), out.Link}
}

func newLink(name string) commands.CreateOutgoingLink {
	return commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("secret")},
		Draft: commands.Draft{
			Name: name, Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: "http://127.0.0.1:1/authorize", TokenEndpoint: "http://127.0.0.1:1/token",
		},
	}
}

// BenchmarkToken is a warm token.get against a bare micro service that answers
// with as many bytes.
func BenchmarkToken(b *testing.B) {
	d := newDoor(b)
	subject := "outlink.token.get." + d.link.String()
	nc := dial(b, d.url)
	reply, err := nc.Request(subject, nil, 5*time.Second)
	if err != nil || reply.Header.Get(micro.ErrorCodeHeader) != "" {
		b.Fatal(err, reply.Header)
	}
	echo, err := micro.AddService(dial(b, d.url), micro.Config{Name: "echo", Version: "1.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	if err := echo.AddEndpoint("echo", micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(reply.Data) })); err != nil {
		b.Fatal(err)
	}
	for name, subject := range map[string]string{"bare echo": "echo", "token get": subject} {
		b.Run(name+", 1 client", func(b *testing.B) { asked(b, d.url, subject, 1) })
		b.Run(name+", 64 clients", func(b *testing.B) { asked(b, d.url, subject, 64) })
	}
}

func dial(b *testing.B, url string) *nats.Conn {
	b.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(nc.Close)
	return nc
}

// asked has clients ask, each on a connection of its own, for as long as it takes
// to have asked a thousand times for each of the benchmark's rounds.
func asked(b *testing.B, url, subject string, clients int) {
	conns := make([]*nats.Conn, clients)
	for i := range conns {
		conns[i] = dial(b, url)
	}
	each := max(b.N/clients, 1)
	all := make([]times, clients)
	began := time.Now()
	var wg sync.WaitGroup
	for i, nc := range conns {
		wg.Go(func() {
			for range each {
				all[i].measure(func() {
					if _, err := nc.Request(subject, nil, 10*time.Second); err != nil {
						b.Error(err)
					}
				})
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	var sum times
	for _, t := range all {
		sum = append(sum, t...)
	}
	sum.report(b)
	b.ReportMetric(float64(len(sum))/took.Seconds(), "requests/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCachedGrant is the memory that a grant in the cache takes.
func BenchmarkCachedGrant(b *testing.B) {
	const grants = 100_000
	{
		before := heap()
		c := tokens.NewCache(grants)
		ctx, stop := context.WithCancel(b.Context())
		on, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- c.Run(ctx, func(ctx context.Context, ready func(uint64), _ func(domain.Key, uint64)) error {
				ready(0)
				close(on)
				<-ctx.Done()
				return ctx.Err()
			}, slog.New(slog.DiscardHandler))
		}()
		<-on
		now := time.Now()
		for range grants {
			fill(c, now)
		}
		b.ReportMetric(float64(heap()-before)/grants, "B/grant")
		stop()
		<-ended
	}
	b.ReportMetric(0, "ns/op")
}

// fill keeps a token as large as Google's may be, of 2 KiB.
func fill(c *tokens.Cache, now time.Time) {
	key := domain.Key{Link: uuid.New(), Grant: uuid.New()}
	scopes := []string{"https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/calendar"}
	var issued grant.TokenIssued
	b, _ := json.Marshal(grant.TokenIssued{Scopes: scopes, Subject: "someone@example.com", ReceivedAt: now, ExpiresAt: now.Add(time.Hour), TokenType: "Bearer"})
	_ = json.Unmarshal(b, &issued) // strings of its own, as when it was read
	c.Keep(key, tokens.Token{
		AccessToken: domain.NewSecret(string(make([]byte, 2048))), TokenType: issued.TokenType, ExpiresAt: issued.ExpiresAt, Scopes: issued.Scopes, Generation: 2,
	}, &issued, 1, now)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
