package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/bus"
	"outlink/internal/dead"
	"outlink/internal/eventlog"
)

// submit stores a durable command.
func (i *installation) submit(command string, body any) {
	i.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := i.js().Publish(i.ctx(), i.node.Namespace.Submit(command), b); err != nil {
		i.t.Fatal(err)
	}
}

func (i *installation) js() jetstream.JetStream {
	i.t.Helper()
	js, err := jetstream.New(i.nc)
	if err != nil {
		i.t.Fatal(err)
	}
	return js
}

// aside waits until so many letters are listed.
func (i *installation) aside(f dead.Filter, n int) []dead.Entry {
	i.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var entries []dead.Entry
		if err := i.c.Operate(i.ctx(), "ListDead", f, &entries); err != nil {
			i.t.Fatal(err)
		}
		if len(entries) == n {
			return entries
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("%d are set aside, want %d: %+v", len(entries), n, entries)
		}
	}
}

func (i *installation) show(sequence uint64) (s dead.Shown) {
	i.t.Helper()
	if err := i.c.Operate(i.ctx(), "ShowDead", dead.One{Sequence: sequence}, &s); err != nil {
		i.t.Fatal(err)
	}
	return s
}

func (i *installation) retry(e dead.Entry, dry bool) error {
	i.t.Helper()
	return i.c.Operate(i.ctx(), "RetryDead."+e.Kind, dead.One{Sequence: e.Sequence, DryRun: dry}, &dead.Done{})
}

// worked waits until nothing submitted is left.
func (i *installation) worked() {
	i.t.Helper()
	i.idle(i.node.Namespace.Submitted(), bus.CommandsConsumer)
}

// idle waits until a consumer has nothing to do.
func (i *installation) idle(stream, name string) {
	i.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		consumer, err := i.js().Consumer(i.ctx(), stream, name)
		if err != nil {
			i.t.Fatal(err)
		}
		info := consumer.CachedInfo()
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("consumer %s has %d messages to come and %d in hand", name, info.NumPending, info.NumAckPending)
		}
	}
}

// effects counts the events that a command caused.
func (i *installation) effects(command uuid.UUID) (n int) {
	i.t.Helper()
	records, err := i.node.Feed.Range(i.ctx(), nil, 0, 1e6)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, r := range records {
		if r.Causation == command.String() {
			n++
		}
	}
	return n
}

// A command that came before its link is refused, set aside, and has its effect
// when it is retried: one, also when the node is killed between publishing it and
// removing it, and also if the command has no id of its own.
func TestDeadCommandsAreRetried(t *testing.T) {
	for name, own := range map[string]uuid.UUID{"with an id": uuid.New(), "without an id": uuid.Nil} {
		t.Run(name, func(t *testing.T) {
			i, o := start(t), newOP(t, 3600)
			id := uuid.New()
			i.submit("DisableLink", commands.DisableLink{Header: commands.Header{CommandID: own}, Link: id})
			e := i.aside(dead.Filter{}, 1)[0]
			if e.Kind != dead.Command || e.Code != domain.NotFound || e.Subject != "outlink.submit.DisableLink" || e.Command == uuid.Nil || own != uuid.Nil && e.Command != own {
				t.Errorf("set aside as %+v", e)
			}
			if s := i.show(e.Sequence); !strings.Contains(string(s.Body), id.String()) {
				t.Errorf("shown as %+v", s)
			}
			i.do("CreateOutgoingLink", map[string]any{
				"command_id": id, "name": "crm", "provider": "custom", "client_id": "id", "client_secret": clientSecret, "scopes": []string{"a"},
				"authorization_endpoint": o.URL + "/authorize", "token_endpoint": o.URL + "/token",
			})
			if err := i.retry(e, true); err != nil {
				t.Error(err)
			}
			i.worked()
			if n := i.effects(e.Command); n != 0 {
				t.Errorf("a dry run had %d effects", n)
			}
			i.publishedAndKilled(e)
			i.worked()
			if err := i.retry(e, false); err != nil {
				t.Error(err)
			}
			i.worked()
			if n := i.effects(e.Command); n != 1 {
				t.Errorf("the command had %d effects", n)
			}
			i.aside(dead.Filter{}, 0)
			if err := i.retry(e, false); domain.CodeOf(err) != domain.NotFound {
				t.Errorf("retried what is gone: %v", err)
			}
		})
	}
}

// publishedAndKilled is what a node does that is killed while it retries.
func (i *installation) publishedAndKilled(e dead.Entry) {
	i.t.Helper()
	kv, err := i.js().KeyValue(i.ctx(), i.node.Namespace.Outcomes())
	if err != nil {
		i.t.Fatal(err)
	}
	retry := dead.Commands{
		Box: dead.Box{JS: i.js(), Namespace: i.node.Namespace}, Open: i.node.Vault.Unseal, Forget: eventlog.Outcomes{KV: eventlog.Bucket{KeyValue: kv, Group: eventlog.NewGroup(i.js())}}.ForgetRefusal,
	}
	s := dead.Service{Box: retry.Box, Open: retry.Open, Again: map[string]dead.Again{dead.Command: retry.Again}}
	whole, err := s.Show(i.ctx(), dead.One{Sequence: e.Sequence})
	if err != nil {
		i.t.Fatal(err)
	}
	if _, err := retry.Again(i.ctx(), whole.Entry, false); err != nil {
		i.t.Fatal(err)
	}
}

// What a command did is not done again because its message is.
func TestDeadCommandThatHadItsEffect(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	link := i.createLink(o, "crm")
	done := commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: link}
	i.do("DisableLink", done)
	i.do("EnableLink", commands.EnableLink{Header: commands.Header{CommandID: uuid.New()}, Link: link})
	i.setAside("DisableLink", done)
	if err := i.retry(i.aside(dead.Filter{}, 1)[0], false); err != nil {
		t.Fatal(err)
	}
	i.worked()
	if n := i.effects(done.CommandID); n != 1 {
		t.Errorf("the command had %d effects", n)
	}
}

// setAside puts a command into DEAD as the intake does.
func (i *installation) setAside(command string, body any) {
	i.t.Helper()
	b, _ := json.Marshal(body)
	sealed, err := i.node.Vault.Seal(b)
	if err != nil {
		i.t.Fatal(err)
	}
	kept, _ := json.Marshal(map[string]any{"sealed": sealed})
	err = dead.Put(i.ctx(), i.js(), i.node.Namespace.Dead(dead.Command), dead.Letter{
		Subject: i.node.Namespace.Submit(command), Sequence: 99, Reason: domain.Errorf(domain.Conflict, "just so"), Body: kept,
	})
	if err != nil {
		i.t.Fatal(err)
	}
}

// A secret in clear is neither shown nor submitted again, and nothing of what
// cannot be read is shown.
func TestDeadSecrets(t *testing.T) {
	i := start(t)
	i.submit("ReplaceClientSecret", map[string]any{"link_id": uuid.New(), "client_secret": "canary-clear"})
	i.submit("ReplaceClientSecret", map[string]any{"link_id": uuid.New(), "client_secrets": "canary-misspelt"})
	i.submit("canary", map[string]any{"secret": "canary-unknown"})
	for _, e := range i.aside(dead.Filter{}, 3) {
		s := i.show(e.Sequence)
		all, _ := json.Marshal(s)
		if strings.Contains(string(all), "canary-") || (s.Body == nil) == (s.Hidden == "") {
			t.Errorf("shown as %s", all)
		}
		if err := i.retry(e, false); domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("retried %s: %v", e.Reason, err)
		}
	}
	i.aside(dead.Filter{}, 3)
}

// The newest comes first; kind, subject, time and page choose.
func TestDeadList(t *testing.T) {
	i := start(t)
	for range 3 {
		i.submit("DisableLink", commands.DisableLink{Link: uuid.New()})
	}
	i.aside(dead.Filter{}, 3)
	i.submit("EnableLink", commands.EnableLink{Link: uuid.New()})
	all := i.aside(dead.Filter{}, 4)
	if all[0].Sequence != 4 || all[3].Sequence != 1 || all[0].Subject != "outlink.submit.EnableLink" {
		t.Errorf("listed %+v", all)
	}
	i.aside(dead.Filter{Kind: dead.Notice}, 0)
	i.aside(dead.Filter{Kind: dead.Command, Subject: "DisableLink"}, 3)
	i.aside(dead.Filter{Since: all[1].At}, 2)
	i.aside(dead.Filter{Since: time.Now().Add(time.Hour)}, 0)
	if page := i.aside(dead.Filter{Limit: 2}, 2); page[1].Sequence != 3 || i.aside(dead.Filter{Limit: 2, Before: 3}, 2)[1].Sequence != 1 {
		t.Errorf("the first page is %+v", page)
	}
	if err := i.c.Operate(i.ctx(), "DropDead", dead.One{Sequence: 2, Reason: "a mistake", Actor: "user:ann"}, &dead.Done{}); err != nil {
		t.Fatal(err)
	}
	i.aside(dead.Filter{}, 3)
	i.log.mu.Lock()
	defer i.log.mu.Unlock()
	if s := i.log.b.String(); !strings.Contains(s, "a mistake") || !strings.Contains(s, "user:ann") {
		t.Error("the log does not say who dropped it, and why")
	}
	for _, bad := range []dead.Filter{{Kind: "else"}, {Limit: 501}} {
		if err := i.c.Operate(i.ctx(), "ListDead", bad, &[]dead.Entry{}); domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// painted is an event of a version of Outlink that is yet to come.
type painted struct{}

// newer appends an event as a node of a newer version does, to a link or to a grant.
func newer[S, E any](i *installation, log commands.Log[S, E], aggregate string, key domain.Key) {
	i.t.Helper()
	l, ok := log.(eventlog.Log[S, E])
	if !ok {
		i.t.Fatalf("the node's log is a %T", log)
	}
	kinds := domain.NewKinds(aggregate, func(painted) string { return "painted" }, domain.As[painted, painted])
	l2 := eventlog.Log[S, painted]{
		JS: l.JS, Stream: l.Stream, Guard: l.Guard, Source: l.Source, Subject: l.Subject, Kinds: kinds,
		Evolve: func(s S, _ painted) S { return s }, StateVersion: 99,
	}
	at, err := l.Load(i.ctx(), key)
	if err == nil {
		_, err = l2.Append(i.ctx(), key, at, painted{}, commands.Meta{CommandID: uuid.New(), Actor: "newer", Time: time.Now()})
	}
	if err != nil {
		i.t.Fatal(err)
	}
}

// revoked appends the end of a grant, of which this version knows the event but not
// the state beside it.
func (i *installation) revoked(key domain.Key) {
	i.t.Helper()
	l, ok := i.node.Commands.Grants.(eventlog.Log[grant.State, grant.Event])
	if !ok {
		i.t.Fatalf("the node's log is a %T", i.node.Commands.Grants)
	}
	stream, err := i.js().Stream(i.ctx(), i.node.Namespace.Events())
	if err != nil {
		i.t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(i.ctx(), l.Subject(key))
	if err != nil {
		i.t.Fatal(err)
	}
	l.StateVersion = 99
	at := commands.Loaded[grant.State]{Sequence: last.Sequence, Version: 1}
	if _, err := l.Append(i.ctx(), key, at, grant.Revoked{}, commands.Meta{CommandID: uuid.New(), Actor: "newer", Time: time.Now()}); err != nil {
		i.t.Fatal(err)
	}
}

// What a newer version wrote is set aside by each worker that cannot decode it, and
// the other links and grants are looked after as before.
func TestPoison(t *testing.T) {
	i, o := start(t), newOP(t, 2)
	ns, link := i.node.Namespace, uuid.New()
	newer(i, i.node.Commands.Links, "link", domain.Key{Link: link})
	poisoned := domain.Key{Link: link, Grant: uuid.New()}
	newer(i, i.node.Commands.Grants, "grant", poisoned)
	i.revoked(poisoned)
	if _, err := i.js().Publish(i.ctx(), string(ns)+".expiring.nobody.nothing", []byte("canary-foreign")); err != nil {
		t.Fatal(err)
	}
	after := uint64(3)
	id := i.createLink(o, "crm")
	o.mu.Lock()
	o.refresh = o.secret()
	first := o.refresh
	o.mu.Unlock()
	i.do("RecordTokenIssued", map[string]any{"link_id": id, "refresh_token": first})
	byWorker := map[string]int{}
	for _, e := range i.aside(dead.Filter{Kind: dead.Event}, 6) {
		byWorker[e.Consumer]++
		if s := i.show(e.Sequence); e.Source > after || s.Body != nil || !strings.Contains(e.Reason, "unknown event type") {
			t.Errorf("set aside as %+v", s)
		}
		if err := i.retry(e, false); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("retried: %v", err)
		}
	}
	if byWorker[bus.TimersConsumer] != 2 || byWorker[bus.WakeConsumer] != 1 || byWorker[bus.NoticesConsumer] != 2 || byWorker[bus.ErasureConsumer] != 1 {
		t.Errorf("set aside by %v", byWorker)
	}
	if e := i.aside(dead.Filter{Kind: dead.Expiry}, 1)[0]; e.Consumer != bus.RefreshConsumer || e.Subject != "outlink.expiring.nobody.nothing" {
		t.Errorf("set aside as %+v", e)
	}
	i.renewedTo(domain.Key{Link: id, Grant: grant.ID(id, grant.DefaultSubject)}, 4)
	i.do("DeleteLink", commands.DeleteLink{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	for _, consumer := range []string{bus.TimersConsumer, bus.WakeConsumer, bus.NoticesConsumer, bus.ErasureConsumer} {
		i.idle(ns.Events(), consumer)
	}
	i.idle(ns.Timers(), bus.RefreshConsumer)
	at, err := i.node.Commands.Grants.Load(i.ctx(), domain.Key{Link: id, Grant: grant.ID(id, grant.DefaultSubject)})
	if err != nil || !at.State.Shredded {
		t.Errorf("the grant is not erased: %+v, %v", at.State, err)
	}
}

// renewedTo waits until a grant has a generation. It reads no events: one
// that cannot be decoded stops who does.
func (i *installation) renewedTo(key domain.Key, generation uint64) {
	i.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		at, err := i.node.Commands.Grants.Load(i.ctx(), key)
		if err != nil {
			i.t.Fatal(err)
		}
		if at.State.Generation >= generation {
			return
		}
		if time.Now().After(deadline) {
			i.t.Fatalf("the grant stays at %+v", at.State)
		}
	}
}

// A grant that a newer version's event made undecodable keeps no worker busy for ever,
// and a command to it is set aside too.
func TestPoisonedGrant(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	i.do("RecordTokenIssued", map[string]any{"link_id": id, "refresh_token": "rt", "access_token": "at", "expires_at": time.Now().Add(time.Hour)})
	key := domain.Key{Link: id, Grant: grant.ID(id, grant.DefaultSubject)}
	newer(i, i.node.Commands.Grants, "grant", key)
	i.submit("SuspendGrant", commands.SuspendGrant{GrantRef: commands.GrantRef{Link: key.Link, Grant: key.Grant}})
	if _, err := i.js().Publish(i.ctx(), i.node.Namespace.Expiring(key.Link, key.Grant), nil); err != nil {
		t.Fatal(err)
	}
	if e := i.aside(dead.Filter{Kind: dead.Command}, 1)[0]; e.Code != domain.Internal || !strings.Contains(e.Reason, "unknown event type") {
		t.Errorf("the command is set aside as %+v", e)
	}
	i.aside(dead.Filter{Kind: dead.Expiry}, 1)
	i.idle(i.node.Namespace.Timers(), bus.RefreshConsumer)
	i.idle(i.node.Namespace.Events(), bus.TimersConsumer)
}

// An event that was set aside is worked on by the worker that could not: after an
// upgrade it can.
func TestDeadEventsAreRetried(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	out := i.do("RecordTokenIssued", map[string]any{"link_id": id, "refresh_token": "rt", "access_token": "at", "expires_at": time.Now().Add(time.Hour)})
	i.idle(i.node.Namespace.Events(), bus.TimersConsumer)
	timers, err := i.js().Stream(i.ctx(), i.node.Namespace.Timers())
	if err != nil {
		t.Fatal(err)
	}
	if err := timers.Purge(i.ctx()); err != nil {
		t.Fatal(err)
	}
	err = dead.Put(i.ctx(), i.js(), i.node.Namespace.Dead(dead.Event), dead.Letter{
		Subject: i.node.Namespace.GrantEvents(id, out.Grant), Sequence: out.Sequence, Consumer: bus.TimersConsumer, Reason: domain.ErrUndecodable,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.retry(i.aside(dead.Filter{}, 1)[0], false); err != nil {
		t.Fatal(err)
	}
	i.aside(dead.Filter{}, 0)
	if _, err := timers.GetLastMsgForSubject(i.ctx(), i.node.Namespace.Timer(id, out.Grant)); err != nil {
		t.Errorf("the grant has no timer: %v", err)
	}
}
