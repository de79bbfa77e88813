package node_test

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/grant"
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

// Whoever asks for a token of a link in trouble is told of the trouble, at once, and
// not to try again: that is for who corrects the link. A token that is good is served.
// Whoever asks when the link was corrected has the token renewed at once.
func TestTokenOfALinkInTrouble(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	refuse := func(w http.ResponseWriter, _ string) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
	}
	o.odd = append(o.odd, refuse)
	i.do("RecordTokenIssued", map[string]any{"command_id": uuid.New(), "link_id": id, "subject": "good", "refresh_token": "rt", "access_token": "at", "expires_at": time.Now().Add(time.Minute)})
	i.do("RecordTokenIssued", map[string]any{"command_id": uuid.New(), "link_id": id, "subject": "none", "refresh_token": "rt"})
	i.eventually("it waits for its link", func(r domain.Record) bool {
		e, err := grant.Kinds.Decode(r.Type, r.Data)
		d, is := e.(grant.RefreshDeferred)
		return err == nil && is && d.Reason == grant.LinkTrouble
	})
	began := time.Now()
	_, err := i.c.Token(i.ctx(), id, "none", 0)
	var told *domain.Error
	if !errors.As(err, &told) || told.Code != domain.LinkDegraded || told.Details["reason"] != "client_rejected" || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	if token, err := i.c.Token(i.ctx(), id, "good", 0); err != nil || token.AccessToken != "at" {
		t.Errorf("a good token: %q, %v", token.AccessToken, err)
	}
	o.odd = append(o.odd, func(w http.ResponseWriter, _ string) {
		_, _ = io.WriteString(w, `{"access_token":"after all","token_type":"Bearer","expires_in":3600}`)
	})
	i.do("ReplaceClientSecret", map[string]any{"command_id": uuid.New(), "link_id": id, "client_secret": clientSecret})
	if token, err := i.c.Token(i.ctx(), id, "none", 0); err != nil || token.AccessToken != "after all" {
		t.Errorf("when the link was corrected: %q, %v", token.AccessToken, err)
	}
}
