package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/commands/client/outlinktest"
	"outlink/domain"
	"outlink/domain/link"
)

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Every command has its method, and each reaches the service under its own name:
// the refusals are the service's.
func TestEveryCommand(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	id := o.Link(t, "crm")
	name, ref := "crm2", commands.GrantRef{Link: id}
	done := map[string]bool{"CreateOutgoingLink": true, "BeginAuthorization": true} // by Link
	for _, step := range []struct {
		name string
		run  func() (commands.Outcome, error)
		want string
	}{
		{"UpdateOutgoingLink", func() (commands.Outcome, error) {
			return c.UpdateOutgoingLink(ctx, commands.UpdateOutgoingLink{
				Link: id, Name: &name, GrantTypes: []link.GrantType{link.AuthorizationCode, link.ClientCredentials},
			})
		}, "outlink.link.updated.v1"},
		{"ReplaceClientSecret", func() (commands.Outcome, error) {
			return c.ReplaceClientSecret(ctx, commands.ReplaceClientSecret{Link: id, ClientSecret: o.ClientSecret()})
		}, "outlink.link.client_secret_replaced.v1"},
		{"DisableLink", func() (commands.Outcome, error) { return c.DisableLink(ctx, commands.DisableLink{Link: id}) }, "outlink.link.disabled.v1"},
		{"EnableLink", func() (commands.Outcome, error) { return c.EnableLink(ctx, commands.EnableLink{Link: id}) }, "outlink.link.enabled.v1"},
		{"RecordTokenIssued", func() (commands.Outcome, error) {
			return c.RecordTokenIssued(ctx, commands.RecordTokenIssued{
				Link: id, Subject: "imported", ExpiresAt: time.Now().Add(time.Hour),
				AccessToken: domain.SecretInput{Clear: domain.NewSecret("at")}, RefreshToken: domain.SecretInput{Clear: domain.NewSecret("rt")},
			})
		}, "outlink.grant.token_issued.v1"},
		{"SuspendGrant", func() (commands.Outcome, error) { return c.SuspendGrant(ctx, commands.SuspendGrant{GrantRef: ref}) }, "outlink.grant.suspended.v1"},
		{"ResumeGrant", func() (commands.Outcome, error) { return c.ResumeGrant(ctx, commands.ResumeGrant{GrantRef: ref}) }, "outlink.grant.resumed.v1"},
		{"RequestRefresh", func() (commands.Outcome, error) {
			return c.RequestRefresh(ctx, commands.RequestRefresh{GrantRef: ref})
		}, "outlink.grant.refresh_requested.v1"},
		{"ReportTokenRejected", func() (commands.Outcome, error) {
			return c.ReportTokenRejected(ctx, commands.ReportTokenRejected{GrantRef: commands.GrantRef{Link: id, Subject: "imported"}, Generation: 1})
		}, "outlink.grant.refresh_requested.v1"},
		{"RequestToken", func() (commands.Outcome, error) {
			return c.RequestToken(ctx, commands.RequestToken{Link: id, Subject: "itself"})
		}, "outlink.grant.token_requested.v1"},
		{"RevokeGrant", func() (commands.Outcome, error) {
			return c.RevokeGrant(ctx, commands.RevokeGrant{GrantRef: ref})
		}, "outlink.grant.revoked.v1"},
		{"DeleteLink", func() (commands.Outcome, error) { return c.DeleteLink(ctx, commands.DeleteLink{Link: id}) }, "outlink.link.deleted.v1"},
	} {
		done[step.name] = true
		if out, err := step.run(); err != nil || !slices.Equal(out.Events, []string{step.want}) {
			t.Errorf("%s: events %v, %v; want %s", step.name, out.Events, err, step.want)
		}
	}
	if got := slices.Sorted(maps.Keys(done)); !slices.Equal(got, commands.Names()) {
		t.Errorf("ran %v, the commands are %v", got, commands.Names())
	}
}

func TestErrors(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	id, stale := o.Link(t, "crm"), uint64(99)
	_, err := c.DisableLink(ctx, commands.DisableLink{Header: commands.Header{ExpectedVersion: &stale}, Link: id})
	var refused *domain.Error
	if !errors.As(err, &refused) || domain.CodeOf(err) != domain.Conflict || refused.Details["expected_version"] != 99.0 {
		t.Errorf("%v, want a conflict with its details", err)
	}
	if _, err := c.Token(ctx, id, "nobody", 0); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("%v, want not_found", err)
	}
	if _, err := c.Submit(ctx, "no command"); domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("%v, want invalid_argument", err)
	}
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	elsewhere := client.New(c.NC, "elsewhere")
	if _, err := elsewhere.EnableLink(soon, commands.EnableLink{Link: id}); domain.CodeOf(err) != domain.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
}

// A service that fails twice gets the same command three times, with its secret
// sealed; one that refuses gets it once.
func TestTriesAgain(t *testing.T) {
	o := outlinktest.Start(t)
	nc := o.Client().NC
	var mu sync.Mutex
	var bodies []string
	again := ""
	code := domain.Unavailable
	service, err := micro.AddService(nc, micro.Config{Name: "flaky", Version: "0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = service.Stop() }()
	answer := func(r micro.Request) {
		mu.Lock()
		defer mu.Unlock()
		again += "," + r.Headers().Get("Outlink-Again")
		if bodies = append(bodies, string(r.Data())); code == domain.Unavailable && len(bodies) == 3 {
			_ = r.RespondJSON(commands.Outcome{Sequence: 7})
			return
		}
		body, _ := json.Marshal(domain.Errorf(code, "not now"))
		_ = r.Error(string(code), "not now", body)
	}
	if err := service.AddEndpoint("any", micro.HandlerFunc(answer), micro.WithEndpointSubject("flaky.command.*")); err != nil {
		t.Fatal(err)
	}
	info, err := o.Client().Info(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	inform := func(r micro.Request) { _ = r.RespondJSON(info) }
	if err := service.AddEndpoint("info", micro.HandlerFunc(inform), micro.WithEndpointSubject("flaky.info")); err != nil {
		t.Fatal(err)
	}
	c := client.New(nc, "flaky")
	out, err := c.ReplaceClientSecret(limited(t), commands.ReplaceClientSecret{Link: uuid.New(), ClientSecret: domain.SecretInput{Clear: domain.NewSecret("canary")}})
	if err != nil || out.Sequence != 7 {
		t.Fatalf("%+v, %v", out, err)
	}
	mu.Lock()
	if again != ",,1,1" {
		t.Errorf("said %q: the first try is none that may have had its effect before, the others are", again)
	}
	if len(bodies) != 3 || bodies[0] != bodies[1] || bodies[1] != bodies[2] || !strings.Contains(bodies[0], "command_id") || strings.Contains(bodies[0], "canary") {
		t.Errorf("sent %d: %q", len(bodies), bodies)
	}
	code, bodies = domain.Conflict, nil
	mu.Unlock()
	if _, err := c.EnableLink(limited(t), commands.EnableLink{Link: uuid.New()}); domain.CodeOf(err) != domain.Conflict || len(bodies) != 1 {
		t.Errorf("sent %d times, %v; want a conflict at once", len(bodies), err)
	}
}

func TestSubmit(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	create := commands.CreateOutgoingLink{Draft: o.Draft("crm"), ClientSecret: o.ClientSecret()}
	create.CommandID = uuid.Must(uuid.NewV7())
	out, err := c.SubmitAndWait(ctx, create)
	if err != nil || out.Link != create.CommandID {
		t.Fatalf("%+v, %v", out, err)
	}
	id, err := c.Submit(ctx, create)
	if err != nil || id != create.CommandID {
		t.Errorf("submitted again: %s, %v", id, err)
	}
	if again, err := c.CreateOutgoingLink(ctx, create); err != nil || again.Sequence != out.Sequence {
		t.Errorf("asked again: %+v, %v; want the outcome of the submitted one", again, err)
	}
	if id, err := c.Submit(ctx, &create); err != nil || id != create.CommandID {
		t.Errorf("submitted by a pointer: %s, %v", id, err)
	}
	for _, none := range []any{nil, 7, (*commands.DisableLink)(nil), &id} {
		if _, err := c.Submit(ctx, none); domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("submitted %T: %v", none, err)
		}
	}
	if _, err := c.SubmitAndWait(ctx, commands.DisableLink{Link: uuid.New()}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("%v, want not_found", err)
	}
}

// A closed connection is an error with a code, at once.
func TestClosedConnection(t *testing.T) {
	o := outlinktest.Start(t)
	nc, err := nats.Connect(o.URL())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	_, err = client.New(nc, "").EnableLink(limited(t), commands.EnableLink{Link: uuid.New()})
	if domain.CodeOf(err) != domain.Unavailable || !errors.Is(err, nats.ErrConnectionClosed) {
		t.Error(err)
	}
}
