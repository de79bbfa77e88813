package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/natsd"
	"outlink/internal/node"
	"outlink/internal/testenv/steps"
)

var kills = flag.Int("kills", 12, "how often TestSubmittedCommandsSurvive kills the handler")

const ns = bus.DefaultNamespace

// handler is the real binary that handles submitted commands, behind a proxy that
// can stop its world at any step.
type handler struct {
	*rig
	proxy  *steps.Proxy
	js     jetstream.JetStream
	kill   func()
	killed map[string]int // by where
}

func newHandler(t *testing.T) *handler {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir()}
	r.database = "sqlite:" + filepath.Join(r.dir, "outlink.db")
	var err error
	if r.nats, err = natsd.Start(filepath.Join(r.dir, "nats"), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.nats.Stop() })
	h := &handler{rig: r, proxy: steps.New(t, strings.TrimPrefix(r.nats.URL(), "nats://"), step), killed: map[string]int{}}
	r.env = []string{"OUTLINK_SERVER=" + h.proxy.URL()}
	if out, err := r.outlink("migrate", r.flags("n")...).CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	if r.nc, err = nats.Connect(r.nats.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	r.c = client.New(r.nc, string(ns))
	if h.js, err = jetstream.New(r.nc); err != nil {
		t.Fatal(err)
	}
	h.impatient()
	h.up()
	return h
}

// step reports whether a message changes something.
func step(subject string) bool {
	for _, prefix := range []string{"outlink.events.", "outlink.dead.", "$KV.", "$JS.ACK.OUTLINK_SUBMITTED."} {
		if strings.HasPrefix(subject, prefix) {
			return true
		}
	}
	return false
}

// impatient has what a killed handler had in hand delivered again soon.
func (h *handler) impatient() {
	h.Helper()
	consumer, err := h.js.Consumer(h.Context(), ns.Submitted(), bus.CommandsConsumer)
	if err != nil {
		h.Fatal(err)
	}
	config := consumer.CachedInfo().Config
	config.AckWait = time.Second
	if _, err = h.js.UpdateConsumer(h.Context(), ns.Submitted(), config); err != nil {
		h.Fatal(err)
	}
}

// up starts the handler, and returns when it serves.
func (h *handler) up() {
	h.Helper()
	c := h.outlink("serve", append(h.flags("n"), "--roles", "commands", "--public-url", "http://localhost:8480")...)
	out, ended := h.start(c)
	h.kill = func() { _ = c.Process.Kill(); <-ended }
	for deadline := time.Now().Add(time.Minute); !strings.Contains(out.String(), "serves"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("the handler does not come up:\n%s", tail(out.String()))
		}
	}
}

func (h *handler) submit(command any) uuid.UUID {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	id, err := h.c.Submit(ctx, command)
	if err != nil {
		h.Fatal(err)
	}
	return id
}

func (h *handler) isIdle() bool {
	h.Helper()
	stream, err := h.js.Stream(h.Context(), ns.Submitted())
	if err != nil {
		h.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs == 0 // a work queue: what is acknowledged is gone
}

// idle waits until nothing submitted is left.
func (h *handler) idle() {
	h.Helper()
	for deadline := time.Now().Add(time.Minute); !h.isIdle(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatal("submitted commands are left after a minute")
		}
	}
}

// killAt kills the handler at the n-th step that a command takes, if it has so many;
// or, for step 0, at some moment.
func (h *handler) killAt(n int, after bool, submit func()) {
	h.Helper()
	stopped, where := (<-chan string)(nil), "at a random moment"
	if n > 0 {
		stopped, where = h.proxy.Stop(n, after), "when it was done"
	}
	submit()
	moment := time.After(time.Minute)
	if n == 0 {
		moment = time.After(rand.N(40 * time.Millisecond)) // the moment is the test's input
	}
	for waiting := true; waiting; {
		select {
		case subject := <-stopped:
			where, waiting = map[bool]string{true: "after ", false: "before "}[after]+place(subject), false
		case <-moment:
			waiting = false
		case <-time.After(10 * time.Millisecond): // another process works
			waiting = n == 0 || !h.isIdle()
		}
	}
	h.kill()
	h.proxy.Reset()
	h.killed[where]++
}

// place is a subject without its ids.
func place(subject string) string {
	tokens := strings.Split(strings.TrimPrefix(subject, "outlink."), ".")
	return strings.Join(tokens[:2], ".")
}

// trial is a command that is killed, and another to the same aggregate that runs
// before it comes again.
type trial struct {
	name     string
	steps    int  // it takes: the name, the keys, the vault, the event, the outcome, the acknowledgement
	prepared bool // the link exists, with a grant
	x, y     func(h commands.Header, id uuid.UUID) any
}

func ref(id uuid.UUID) commands.GrantRef {
	return commands.GrantRef{Link: id, Grant: grant.ID(id, grant.DefaultSubject)}
}

func create(h commands.Header, id uuid.UUID) any {
	return commands.CreateOutgoingLink{
		Header: h, Link: id, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("secret")}, Draft: commands.Draft{
			Name: "new " + id.String(), Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: "https://127.0.0.1:1/authorize", TokenEndpoint: "https://127.0.0.1:1/token",
		},
	}
}

func imported(h commands.Header, id uuid.UUID) any {
	return commands.RecordTokenIssued{
		Header: h, Link: id, RefreshToken: domain.SecretInput{Clear: domain.NewSecret(uuid.NewString())},
		AccessToken: domain.SecretInput{Clear: domain.NewSecret(uuid.NewString())}, ExpiresAt: time.Now().Add(time.Hour),
	}
}

func changed(h commands.Header, id uuid.UUID) any {
	other := h.CommandID.String()
	return commands.UpdateOutgoingLink{Header: h, Link: id, ClientID: &other}
}

func renamed(h commands.Header, id uuid.UUID) any {
	other := "renamed " + id.String()
	return commands.UpdateOutgoingLink{Header: h, Link: id, Name: &other}
}

func secret(h commands.Header, id uuid.UUID) any {
	return commands.ReplaceClientSecret{Header: h, Link: id, ClientSecret: domain.SecretInput{Clear: domain.NewSecret(uuid.NewString())}}
}

var trials = []trial{
	{"create", 6, false, create, changed},
	{"disable", 3, true, func(h commands.Header, id uuid.UUID) any { return commands.DisableLink{Header: h, Link: id} },
		func(h commands.Header, id uuid.UUID) any { return commands.EnableLink{Header: h, Link: id} }},
	{"import", 5, true, imported, imported},
	{"rename", 4, true, renamed, changed},
	{"replace the secret", 4, true, secret, secret},
	{"suspend", 3, true, func(h commands.Header, id uuid.UUID) any { return commands.SuspendGrant{Header: h, GrantRef: ref(id)} },
		func(h commands.Header, id uuid.UUID) any { return commands.ResumeGrant{Header: h, GrantRef: ref(id)} }},
	{"begin", 4, true, func(h commands.Header, id uuid.UUID) any { return commands.BeginAuthorization{Header: h, Link: id} },
		func(h commands.Header, id uuid.UUID) any { return commands.BeginAuthorization{Header: h, Link: id} }},
	{"delete", 3, true, func(h commands.Header, id uuid.UUID) any { return commands.DeleteLink{Header: h, Link: id} }, changed},
}

// tried is what a trial has to answer for.
type tried struct {
	trial
	link, x, y uuid.UUID
}

// The binary that handles submitted commands is killed before and after each of
// its steps. Each command has one effect, also when another one came to the same
// link or grant before it was delivered again, and its outcome is remembered.
func TestSubmittedCommandsSurvive(t *testing.T) {
	t.Parallel()
	h := newHandler(t)
	var all []tried
	for i := range *kills {
		kind := i % len(trials)
		places := 2*trials[kind].steps + 1      // before and after each, and one by chance
		at := (i/len(trials) + 2*kind) % places // another one for each kind, so that few kills are at many places
		tr := tried{trials[kind], uuid.New(), uuid.New(), uuid.New()}
		if tr.prepared {
			h.submit(create(commands.Header{}, tr.link))
			h.idle()
			h.submit(imported(commands.Header{}, tr.link))
			h.idle()
		}
		h.killAt((at+1)/2, at%2 == 0, func() { h.submit(tr.trial.x(commands.Header{CommandID: tr.x}, tr.link)) })
		h.submit(tr.trial.y(commands.Header{CommandID: tr.y}, tr.link))
		h.up()
		h.idle()
		all = append(all, tr)
	}
	h.judge(h.inspect(), all)
	where, _ := json.Marshal(h.killed)
	t.Logf("%d kills: %s", *kills, where)
}

func (h *handler) judge(n *node.Node, all []tried) {
	h.Helper()
	records, err := n.Feed.Range(h.Context(), nil, 0, 1e6)
	if err != nil {
		h.Fatal(err)
	}
	effects := map[uuid.UUID][]string{}
	for _, r := range records {
		effects[cause(h, r)] = append(effects[cause(h, r)], r.Type)
	}
	kv, err := h.js.KeyValue(h.Context(), ns.Outcomes())
	if err != nil {
		h.Fatal(err)
	}
	for _, tr := range all {
		outcome, err := eventlog.Outcomes{KV: eventlog.Bucket{KeyValue: kv}}.Get(h.Context(), tr.x)
		if err != nil || outcome == nil || outcome.Outcome == nil || len(effects[tr.x]) != 1 {
			h.Errorf("%s: effects %v, outcome %+v, %v", tr.name, effects[tr.x], outcome, err)
		}
		if other, err := (eventlog.Outcomes{KV: eventlog.Bucket{KeyValue: kv}}).Get(h.Context(), tr.y); err != nil || other == nil || len(effects[tr.y]) > 1 {
			h.Errorf("%s: the other command: effects %v, outcome %+v, %v", tr.name, effects[tr.y], other, err)
		}
		h.reserved(n, tr)
	}
	if !h.isIdle() {
		h.Error("submitted commands are left")
	}
}

// cause is the command whose effect an event is. A token that reached the vault is
// made to count by whoever comes next, and is its exchange's.
func cause(h *handler, r domain.Record) uuid.UUID {
	h.Helper()
	if e, err := grant.Kinds.Decode(r.Type, r.Data); err == nil {
		if e, ok := e.(grant.TokenIssued); ok {
			return e.Exchange
		}
	}
	id, err := uuid.Parse(r.Causation)
	if err != nil {
		h.Errorf("event %d has no cause: %v", r.Sequence, err)
	}
	return id
}

// reserved checks that a name was reserved once, by its link.
func (h *handler) reserved(n *node.Node, tr tried) {
	h.Helper()
	wanted := map[string]string{"create": "new ", "rename": "renamed "}[tr.name]
	if wanted == "" {
		return
	}
	at, err := n.Commands.Names.Load(h.Context(), domain.Key{Link: name.ID(fmt.Sprint(wanted, tr.link))})
	if err != nil || at.Version != 1 || at.State.Link != tr.link {
		h.Errorf("%s: the name was reserved %d times, for %s, %v", tr.name, at.Version, at.State.Link, err)
	}
}
