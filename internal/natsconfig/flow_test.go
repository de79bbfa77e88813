package natsconfig_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/dead"
	"outlink/internal/natsconfig"
	"outlink/internal/node"
	"outlink/internal/queries"
)

// Nodes work under the least permissions: a link is created from an
// application's account, its token imported, renewed, and read by the one reader
// that may; the read model follows; what is deleted is erased.
func TestFlowWithRoles(t *testing.T) {
	for name, parts := range map[string]map[string][]string{
		"one node": {natsconfig.RoleNode: node.Roles()},
		"a node for each part": {
			natsconfig.RoleAPI: {node.RoleAPI, node.RoleCommands}, natsconfig.RoleProjector: {node.RoleProjections},
			natsconfig.RoleWorker: {node.RoleTimers, node.RoleRefresh},
		},
	} {
		t.Run(name, func(t *testing.T) { flow(t, natsconfig.Installation.NKeys, parts) })
	}
}

// The same in operator mode, where users are signed and not listed.
func TestFlowWithCredentials(t *testing.T) {
	flow(t, natsconfig.Installation.Operator, map[string][]string{natsconfig.RoleNode: node.Roles()})
}

func flow(t *testing.T, write generate, parts map[string][]string) {
	l := lock(t, write)
	l.migrate()
	id := uuid.New()
	l.admit(map[string][]string{"billing": {id.String()}})
	logs := map[string]*logged{}
	for user, roles := range parts {
		logs[user] = l.run(user, roles...)
	}
	defer func() {
		for user, log := range logs {
			if t.Failed() {
				t.Logf("%s: %s", user, log)
			}
		}
	}()
	app := client.Client{NC: l.connect("crm").Conn, Namespace: string(namespace)}
	l.create(app, "crm", id)

	billing := client.Client{NC: l.connect("billing").Conn, Namespace: string(namespace)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	token, err := billing.Token(ctx, id, "", 0)
	for domain.CodeOf(err) == domain.Unavailable && ctx.Err() == nil { // it is being renewed, on a busy machine for longer than a request waits
		token, err = billing.Token(ctx, id, "", 0)
	}
	if err != nil || token.Generation < 2 {
		t.Fatalf("token of generation %d, %v", token.Generation, err)
	}
	operator := client.Client{NC: l.connect("alice").Conn, Namespace: string(namespace)}
	var list queries.LinkList
	if err := operator.Query(ctx, "ListLinks", queries.ListLinks{Freshness: queries.Freshness{Fresh: true}}, &list); err != nil || len(list.Links) != 1 {
		t.Errorf("the list has %d links, %v", len(list.Links), err)
	}
	l.eventually(ctx, "outlink.grant.token_issued.v1", 4)
	l.submit(ctx, "crm", "DisableLink", commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	l.eventually(ctx, "outlink.link.disabled.v1", 1)
	l.do(operator, "EnableLink", commands.EnableLink{Header: commands.Header{CommandID: uuid.New(), Actor: "root"}, Link: id})
	l.aside(ctx, operator)
	l.do(app, "DeleteLink", commands.DeleteLink{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	l.eventually(ctx, "outlink.grant.erased.v1", 1)
	l.shredded(ctx, "link."+id.String())
	for _, r := range l.events(ctx) {
		want := map[string]string{"outlink.link.created.v1": "crm", "outlink.link.enabled.v1": "alice"}[r.Type]
		if want != "" && r.Actor != want {
			t.Errorf("the actor of %s is %q in the log, want %q, whom the bus knows", r.Type, r.Actor, want)
		}
	}
	for user, log := range logs {
		if s := log.String(); len(refusedLines(s)) > 0 {
			t.Errorf("node %s was refused: %v", user, refusedLines(s))
		}
	}
}

// aside has an operator look after what was set aside: a command that was refused,
// an event that a worker could not decode, and one to drop.
func (l *locked) aside(ctx context.Context, operator client.Client) {
	l.t.Helper()
	l.submit(ctx, "crm", "EnableLink", commands.EnableLink{Link: uuid.New()})
	entries := l.listed(ctx, operator, 1)
	if err := operator.Operate(ctx, "RetryDead.command", dead.One{Sequence: entries[0].Sequence}, &dead.Done{}); err != nil {
		l.t.Errorf("retry: %v", err)
	}
	entries = l.listed(ctx, operator, 1) // refused again
	if err := operator.Operate(ctx, "DropDead", dead.One{Sequence: entries[0].Sequence}, &dead.Done{}); err != nil {
		l.t.Errorf("drop: %v", err)
	}
	for _, kind := range []string{dead.Event, dead.Notice, dead.Expiry} {
		if err := operator.Operate(ctx, "RetryDead."+kind, dead.One{Sequence: 99}, &dead.Done{}); domain.CodeOf(err) != domain.NotFound {
			l.t.Errorf("retry an %s that is not there: %v", kind, err)
		}
	}
}

// listed waits until so many letters are listed, of which the newest is new.
func (l *locked) listed(ctx context.Context, operator client.Client, n int) (entries []dead.Entry) {
	l.t.Helper()
	for {
		if err := operator.Operate(ctx, "ListDead", dead.Filter{}, &entries); err != nil {
			l.t.Fatal(err)
		}
		if len(entries) == n {
			return entries
		}
	}
}
