package refresh_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/model"
	"outlink/workers/refresh"
)

// Three replicas, three nodes, a strict provider: the server that leads the log
// goes away in the middle of refreshes, again and again, and no grant is lost.
func TestLeaderLoss(t *testing.T) {
	const grants, losses = 30, 3
	cluster, dir := testenv.Cluster(t), t.TempDir()
	op := model.New(model.Options{Kind: model.Strict, Lifetime: time.Hour, Think: func() time.Duration { return 20 * time.Millisecond }})
	server := testenv.Listen(t, op)
	var mu sync.Mutex
	var ahead time.Duration
	now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
	var workers []*refresh.Worker
	var svc *commands.Service
	for i := range 3 {
		n := testenv.NodeAt(t, cluster.URL(), 3, dir, fmt.Sprintf("node-%d", i), "commands")
		svc = n.Commands
		svc.Now = now
		workers = append(workers, &refresh.Worker{
			Commands: svc, Endpoint: oauth.New(oauth.Options{Loopback: true}), Node: n.Name, Boot: uuid.New(), Journal: openJournal(t), Vault: n.Vault,
			Gates: open{}, Later: func(context.Context, domain.Key, time.Time) error { return nil }, Log: slog.New(slog.DiscardHandler),
		})
	}
	out, err := svc.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("secret")},
		Draft: commands.Draft{
			Name: "cluster", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: server + "/authorize", TokenEndpoint: server + "/token",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []domain.Key
	for i := range grants {
		subject := fmt.Sprint(i)
		keys = append(keys, domain.Key{Link: out.Link, Grant: grant.ID(out.Link, subject)})
		if _, err := svc.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
			Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Subject: subject,
			RefreshToken: domain.SecretInput{Clear: domain.NewSecret(op.Issue(subject))},
		}); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := nats.Connect(cluster.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for round := range losses {
		began, asked := time.Now(), op.Count(model.Issued)
		var wg sync.WaitGroup
		for _, key := range keys {
			wg.Go(func() { renewSomehow(t, workers, key, uint64(round+2)) })
		}
		for op.Count(model.Issued) < asked+grants/6 {
			time.Sleep(time.Millisecond) // other goroutines refresh
		}
		leader := cluster.Index(leaderOf(t, js))
		cluster.Stop(leader)
		wg.Wait()
		t.Logf("round %d: %d grants renewed in %s although the log's leader went away", round+1, grants, time.Since(began).Round(10*time.Millisecond))
		cluster.Start(leader)
		mu.Lock()
		ahead += time.Hour
		mu.Unlock()
	}
	for i, key := range keys {
		at, c, err := svc.Complete(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		subject := fmt.Sprint(i)
		if at.State.Reauthorize != "" || !op.Alive(subject) || op.Which(c.RefreshToken.Reveal()) != op.Generation(subject) {
			t.Errorf("grant %d: %s, alive: %t, the vault holds %d of %d", i, at.State.Status(), op.Alive(subject), op.Which(c.RefreshToken.Reveal()), op.Generation(subject))
		}
	}
	if n := op.Count(model.Reuse); n != 0 {
		t.Errorf("%d refresh tokens were sent twice", n)
	}
}

// renewSomehow wakes the workers in turn, as timers would, until the grant is at
// a generation. An error says that the log did not answer.
func renewSomehow(t *testing.T, workers []*refresh.Worker, key domain.Key, generation uint64) {
	deadline := time.Now().Add(2 * time.Minute)
	for i := 0; time.Now().Before(deadline); i++ {
		w := workers[i%len(workers)]
		_ = w.Replay(t.Context())
		_ = w.Handle(t.Context(), key)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		at, err := w.Commands.Grants.Load(ctx, key)
		cancel()
		if err == nil && at.State.Generation >= generation {
			return
		}
		time.Sleep(20 * time.Millisecond) // the cluster elects
	}
	t.Errorf("grant %s is not renewed", key.Grant)
}

func leaderOf(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	for range 100 {
		s, err := js.Stream(t.Context(), bus.DefaultNamespace.Events())
		if err == nil && s.CachedInfo().Cluster != nil && s.CachedInfo().Cluster.Leader != "" {
			return s.CachedInfo().Cluster.Leader
		}
		time.Sleep(50 * time.Millisecond) // the cluster elects
	}
	t.Fatal("the log has no leader")
	return ""
}
