package node_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/internal/node"
	"outlink/internal/testenv"
)

// Forty readers on two nodes want a token that is not there, and forty report
// that theirs was rejected: one refresh serves all of them, each time.
func TestTokenOnDemand(t *testing.T) {
	const readers = 40
	i, o := start(t), newOP(t, 3600)
	second := testenv.Node(t, i.nats, i.dir, "n2", node.RoleAPI, node.RoleRefresh)
	stopped := make(chan error, 1)
	ctx := i.ctx()
	go func() { stopped <- second.Run(ctx, nil) }()
	id := i.createLink(o, "crm")
	o.mu.Lock()
	o.refresh = o.secret()
	first := o.refresh
	o.mu.Unlock()
	i.do("RecordTokenIssued", map[string]any{"link_id": id, "refresh_token": first})

	all := func(f func() (uint64, error), generation uint64) {
		t.Helper()
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				if got, err := f(); err != nil || got != generation {
					t.Errorf("generation %d, %v; want %d", got, err, generation)
				}
			})
		}
		wg.Wait()
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.refreshes != int(generation)-1 {
			t.Errorf("%d refreshes, want %d", o.refreshes, generation-1)
		}
	}
	get := func() (uint64, error) {
		var token client.Token
		token, err := i.c.Token(ctx, id, "", 0)
		return token.Generation, err
	}
	all(get, 2)
	all(get, 2)
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			i.do("ReportTokenRejected", commands.ReportTokenRejected{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: id}, Generation: 2})
		})
	}
	wg.Wait()
	i.eventually("renewed after the report", issued(3))
	time.Sleep(100 * time.Millisecond) // a second refresh would come now
	all(get, 3)
}
