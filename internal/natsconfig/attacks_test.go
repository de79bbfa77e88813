package natsconfig_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands/client"
	"outlink/internal/natsconfig"
	"outlink/internal/node"
)

// attacked is an installation whose grant is at rest, with two readers: billing
// may read its token, support that of another link.
type attacked struct {
	*locked
	link uuid.UUID
	log  *logged
	feed jetstream.StreamState
}

func attack(t *testing.T) *attacked {
	l := lock(t, natsconfig.Installation.NKeys)
	l.migrate()
	id := uuid.New()
	l.admit(map[string][]string{"billing": {id.String()}, "support": {uuid.NewString()}})
	a := &attacked{locked: l, link: id, log: l.run(natsconfig.RoleAPI, node.RoleAPI, node.RoleCommands)} // nobody renews: the log is at rest
	l.create(client.Client{NC: l.connect("crm").Conn, Namespace: string(namespace)}, "crm", id)
	a.feed = a.state()
	return a
}

func (a *attacked) state() jetstream.StreamState {
	a.t.Helper()
	state, err := a.locked.feed().State(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return state
}

func (a *attacked) unchanged(t *testing.T) {
	t.Helper()
	if now := a.state(); now.Msgs != a.feed.Msgs || now.LastSeq != a.feed.LastSeq || now.Msgs == 0 {
		t.Errorf("the log had %d events up to %d, and has %d up to %d", a.feed.Msgs, a.feed.LastSeq, now.Msgs, now.LastSeq)
	}
}

// Who is no node reaches neither the log nor JetStream, nor what others may read (A14).
func TestForgePurgeRead(t *testing.T) {
	a := attack(t)
	everyone := []string{"crm", "billing", natsconfig.RoleDashboard}
	log, vault, keys := namespace.Events(), "KV_"+namespace.Vault(), "KV_"+namespace.Keys()
	for what, tt := range map[string]struct {
		subject string
		users   []string
	}{
		"forge an event":           {namespace.LinkEvents(a.link), append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"forge a schedule":         {namespace.Timer(a.link, uuid.New()), append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"purge the log":            {"$JS.API.STREAM.PURGE." + log, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"delete an event":          {"$JS.API.STREAM.MSG.DELETE." + log, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"delete the log":           {"$JS.API.STREAM.DELETE." + log, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"change the log":           {"$JS.API.STREAM.UPDATE." + log, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"mirror the log":           {"$JS.API.STREAM.CREATE.COPY", append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"end a worker's consumer":  {"$JS.API.CONSUMER.DELETE." + log + ".timers", append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleWorker, natsconfig.RoleNode)},
		"take a worker's messages": {"$JS.API.CONSUMER.MSG.NEXT." + namespace.Timers() + ".refresh", append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI)},
		"read events":              {"$JS.API.DIRECT.GET." + log + "." + namespace.LinkEvents(a.link), everyone},
		"make a consumer":          {"$JS.API.CONSUMER.CREATE." + log + ".x", everyone},
		"read sealed secrets":      {"$JS.API.DIRECT.GET." + vault, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"set something aside":      {namespace.Dead("command"), append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"read keys":                {"$JS.API.DIRECT.GET." + keys, append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"replace a key":            {"$KV." + namespace.Keys() + ".namespace.curve", append(everyone, natsconfig.RoleOperator, natsconfig.RoleProjector)},
		"send a command":           {namespace.Command("DisableLink"), []string{"billing", natsconfig.RoleDashboard, natsconfig.RoleProjector}},
		"read what was set aside":  {namespace.Operate("ListDead"), append(everyone, natsconfig.RoleProjector)},
		"drop what was set aside":  {namespace.Operate("DropDead"), append(everyone, natsconfig.RoleProjector)},
		"read another's token":     {namespace.Token(a.link.String()), []string{"support", "crm", natsconfig.RoleDashboard, natsconfig.RoleProjector}},
		"read all tokens":          {namespace.Token("*"), []string{"billing", "support", "crm", natsconfig.RoleDashboard}},
	} {
		for _, user := range tt.users {
			t.Run(what+" as "+user, func(t *testing.T) {
				s := a.connect(user)
				if msg, err := s.Request(tt.subject, []byte(`{}`), 100*time.Millisecond); err == nil {
					t.Errorf("answered with %q", msg.Data)
				}
				if s.refusals(t) == 0 {
					t.Error("the server did not refuse it")
				}
			})
		}
	}
	a.unchanged(t)
}

// A reply subject that names the log does not get anything into it (A15).
func TestReplyInjection(t *testing.T) {
	a := attack(t)
	into := namespace.LinkEvents(a.link)
	for what, tt := range map[string]struct{ user, subject, says string }{
		"a reader, for a token":        {"billing", namespace.Token(a.link.String()), "foreign reply subject"},
		"a reader, for information":    {"billing", namespace.Info(), "foreign reply subject"},
		"a dashboard, with a query":    {natsconfig.RoleDashboard, namespace.Query("ListLinks"), "foreign reply subject"},
		"an operator, with a command":  {natsconfig.RoleOperator, namespace.Command("DisableLink"), "foreign reply subject"},
		"a publisher, with a command":  {"crm", namespace.Command("DisableLink"), ""}, // answered into its own account
		"a publisher, with submission": {"crm", namespace.Submit("DisableLink"), ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := a.connect(tt.user)
			if err := s.PublishRequest(tt.subject, into, []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			s.settled(t)
			a.logs(t, tt.says)
			a.unchanged(t)
		})
	}
}

// settled returns when the server has worked on all that was sent.
func (s *session) settled(t *testing.T) {
	t.Helper()
	if err := s.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // an answer that must not come has no signal
}

// logs waits for words in the node's log.
func (a *attacked) logs(t *testing.T, words string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(a.log.String(), words); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the node raised no alarm %q: %s", words, a.log)
		}
	}
}

// Nobody listens to another's answers (A16).
func TestInboxSniffing(t *testing.T) {
	a := attack(t)
	for _, user := range []string{"support", "crm", natsconfig.RoleDashboard, natsconfig.RoleOperator, natsconfig.RoleProjector, natsconfig.RoleAPI, natsconfig.RoleNode} {
		for _, subject := range []string{"_INBOX_billing.>", "_INBOX_*.>", "_INBOX.>", "_R_.>", ">", "*.>"} {
			t.Run(user+" at "+subject, func(t *testing.T) {
				s := a.connect(user)
				heard := make(chan *nats.Msg, 10)
				if _, err := s.ChanSubscribe(subject, heard); err != nil {
					t.Fatal(err)
				}
				refused := s.refusals(t)
				billing := a.connect("billing")
				info, err := billing.Request(namespace.Info(), nil, 5*time.Second)
				if err != nil || len(info.Data) == 0 {
					t.Fatalf("the reader itself gets %v", err)
				}
				s.settled(t)
				if refused == 0 || len(heard) > 0 {
					t.Errorf("refused %d times, heard %d messages", refused, len(heard))
				}
			})
		}
	}
	a.unchanged(t)
}

// A dashboard sees events as they come, and can do nothing to them.
func TestDashboardWatches(t *testing.T) {
	a := attack(t)
	sub, err := a.connect(natsconfig.RoleDashboard).SubscribeSync(namespace.AllEvents())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a.create(client.Client{NC: a.connect("crm").Conn, Namespace: string(namespace)}, "second", uuid.New())
	if _, err := sub.NextMsgWithContext(ctx); err != nil {
		t.Error(err)
	}
}
