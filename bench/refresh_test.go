// Package bench measures what Outlink does against the limit that it has: the
// same work without it, in the same run. Figures are in README.md beside this
// file; `make bench` takes them anew.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/journal"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/model"
	"outlink/workers/pace"
	"outlink/workers/refresh"
)

// times are how long the operations of one measurement took.
type times []time.Duration

func (t *times) measure(f func()) {
	begin := time.Now()
	f()
	*t = append(*t, time.Since(begin))
}

func (t times) median() time.Duration {
	slices.Sort(t)
	return t[len(t)/2]
}

// report adds the median and the 99th percentile to the benchmark's line.
func (t times) report(b *testing.B) {
	b.Helper()
	b.ReportMetric(float64(t.median().Microseconds()), "p50-µs")
	b.ReportMetric(float64(t[len(t)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkRefresh is one refresh after another, from the wake-up to the event in
// the log, at a strict provider, on an embedded NATS that syncs every write.
func BenchmarkRefresh(b *testing.B) {
	b.Run("bare request", bareRequest)
	b.Run("journal on", func(b *testing.B) {
		j, err := journal.Open(b.TempDir(), journal.DefaultSize)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = j.Close() }()
		refreshes(b, j)
	})
	b.Run("journal off", func(b *testing.B) { refreshes(b, none(uuid.New())) })
}

// none is a journal that keeps nothing.
type none uuid.UUID

func (n none) ID() uuid.UUID              { return uuid.UUID(n) }
func (none) Reserve() (func(), error)     { return func() {}, nil }
func (none) Note(uuid.UUID, []byte) error { return nil }
func (none) Put(uuid.UUID, []byte) error  { return nil }
func (none) Drop(uuid.UUID)               {}
func (none) All() map[uuid.UUID][]byte    { return nil }

// open lets everything through: the manners are not measured.
type open struct{}

func (open) Enter(pace.Request) (func(answer.Class, time.Duration), time.Duration) {
	return func(answer.Class, time.Duration) {}, 0
}
func (open) Hold(pace.Request) time.Duration    { return 0 }
func (open) Works(pace.Request, time.Time) bool { return false }

// bareRequest is the token request alone, on a connection of its own each time
// as Outlink makes it.
func bareRequest(b *testing.B) {
	op := model.New(model.Options{Kind: model.Stable, Lifetime: time.Hour})
	server, token := testenv.Listen(b, op), op.Issue("a")
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var all times
	for b.Loop() {
		all.measure(func() {
			res, err := c.PostForm(server+"/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"id"}})
			if err != nil {
				b.Fatal(err)
			}
			_ = res.Body.Close()
		})
	}
	all.report(b)
}

func refreshes(b *testing.B, j refresh.Journal) {
	op := model.New(model.Options{Kind: model.Strict, Lifetime: time.Hour})
	server := testenv.Listen(b, op)
	n := testenv.Node(b, testenv.NATS(b), b.TempDir(), "n", "commands")
	ahead := time.Duration(0)
	n.Commands.Now = func() time.Time { return time.Now().Add(ahead) }
	out, err := n.Commands.CreateOutgoingLink(b.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("secret")},
		Draft: commands.Draft{
			Name: "bench", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: server + "/authorize", TokenEndpoint: server + "/token",
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	const grants = 16
	var keys []domain.Key
	for i := range grants {
		subject := fmt.Sprint(i)
		keys = append(keys, domain.Key{Link: out.Link, Grant: grant.ID(out.Link, subject)})
		if _, err := n.Commands.RecordTokenIssued(b.Context(), commands.RecordTokenIssued{
			Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Subject: subject,
			RefreshToken: domain.SecretInput{Clear: domain.NewSecret(op.Issue(subject))},
		}); err != nil {
			b.Fatal(err)
		}
	}
	w := &refresh.Worker{
		Commands: n.Commands, Endpoint: oauth.New(oauth.Options{Loopback: true}), Journal: j, Vault: n.Vault, Gates: open{},
		Later: func(context.Context, domain.Key, time.Time) error { return nil }, Node: "n", Boot: uuid.New(), Log: slog.New(slog.DiscardHandler),
	}
	var all times
	asked := 0
	for b.Loop() {
		if asked > 0 && asked%grants == 0 {
			ahead += time.Hour
		}
		key := keys[asked%grants]
		asked++
		all.measure(func() {
			if err := w.Handle(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		})
	}
	if issued := op.Count(model.Issued); issued != asked {
		b.Fatalf("%d refreshes of %d", issued, asked)
	}
	all.report(b)
	b.ReportMetric(float64(len(op.Ledger()))/float64(asked), "requests/refresh")
}
