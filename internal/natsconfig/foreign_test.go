package natsconfig_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain/notice"
	"outlink/internal/eventlog"
	"outlink/internal/history"
	"outlink/internal/natsconfig"
	"outlink/internal/node"
	"outlink/internal/vault"
	"outlink/projections"
)

// Who has the bus's right to write events, and not the key, changes nothing: not
// what commands decide on, nor the read model; there are alarms, and the link goes
// on (A22).
func TestForeignMessagesAreIgnored(t *testing.T) {
	a := attack(t)
	other := uuid.New()
	a.create(client.Client{NC: a.connect("crm").Conn, Namespace: string(namespace)}, "other", other)
	projector := a.run(natsconfig.RoleProjector, node.RoleProjections)
	a.run(natsconfig.RoleWorker, node.RoleTimers)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := a.rows(ctx)

	at := a.injected(ctx, other)
	if after := a.rows(ctx); after != before {
		t.Errorf("the read model was\n%s\nand is\n%s", before, after)
	}
	for _, sequence := range at {
		projector.alarmed(ctx, t, sequence)
	}
	a.told(ctx)
	crm := client.Client{NC: a.connect("crm").Conn, Namespace: string(namespace)}
	if out := a.do(crm, "DisableLink", commands.DisableLink{Header: commands.Header{CommandID: uuid.New(), Reason: "test"}, Link: a.link}); out.Version != 2 {
		t.Errorf("the next event of the link has version %d, want 2", out.Version)
	}
	report, err := history.Verify(ctx, a.guarded(ctx), nil)
	if err != nil || len(report.Problems) != len(at) {
		t.Errorf("%d problems, want one of each of %v: %v, %v", len(report.Problems), at, report.Problems, err)
	}
	for i, p := range report.Problems {
		if p.Sequence != at[i] {
			t.Errorf("problem %d is of %d, want %d: %s", i, p.Sequence, at[i], p.Problem)
		}
	}
}

// injected puts messages into the log of the attacked link: as the user api, and
// an answer of JetStream to the projector. It returns their sequences.
func (a *attacked) injected(ctx context.Context, other uuid.UUID) (at []uint64) {
	a.t.Helper()
	s := a.connect(natsconfig.RoleAPI)
	subject := namespace.LinkEvents(a.link)
	own, moved := a.last(ctx, subject), a.last(ctx, namespace.LinkEvents(other))
	moved.Subject = subject
	forged := &nats.Msg{Subject: subject, Header: maps.Clone(own.Header), Data: own.Data}
	forged.Header["Outlink-State"] = []string{strings.Replace(own.Header["Outlink-State"][0], "/token", "/mine", 1)}
	for what, m := range map[string]*nats.Msg{"junk": {Subject: subject, Data: []byte("junk")}, "moved": moved, "forged": forged, "again": own} {
		reply, err := s.RequestMsg(m, 5*time.Second)
		var ack jetstream.PubAck
		if err == nil {
			err = json.Unmarshal(reply.Data, &ack)
		}
		if err != nil || ack.Sequence == 0 {
			a.t.Fatalf("%s: %s, %v", what, reply.Data, err)
		}
		at = append(at, ack.Sequence)
	}
	if err := a.connect(natsconfig.RoleProjector).PublishRequest("$JS.API.STREAM.INFO."+namespace.Events(), subject, nil); err != nil {
		a.t.Fatal(err)
	}
	for next := at[len(at)-1] + 1; a.state().LastSeq < next && ctx.Err() == nil; { // it has no acknowledgement
		time.Sleep(5 * time.Millisecond)
	}
	return append(at, a.state().LastSeq)
}

// last is the last message of a subject, to be published anew.
func (a *attacked) last(ctx context.Context, subject string) *nats.Msg {
	a.t.Helper()
	stream, err := a.js(natsconfig.RoleAPI).Stream(ctx, namespace.Events())
	if err != nil {
		a.t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		a.t.Fatal(err)
	}
	for name := range m.Header {
		if strings.HasPrefix(name, "Nats-") {
			delete(m.Header, name)
		}
	}
	return &nats.Msg{Subject: subject, Header: m.Header, Data: m.Data}
}

func (l *locked) js(user string) jetstream.JetStream {
	l.t.Helper()
	js, err := jetstream.New(l.connect(user).Conn)
	if err != nil {
		l.t.Fatal(err)
	}
	return js
}

// rows is the read model as soon as it has seen the whole log.
func (a *attacked) rows(ctx context.Context) string {
	a.t.Helper()
	store, err := node.OpenStore(ctx, "sqlite:"+filepath.Join(a.dir, "read.db"))
	if err != nil {
		a.t.Fatal(err)
	}
	defer store.Close()
	for head := a.state().LastSeq; ; time.Sleep(10 * time.Millisecond) {
		positions, err := store.Positions(ctx)
		if err != nil {
			a.t.Fatal(err)
		}
		seen := 0
		for _, p := range positions {
			if p.Sequence >= head {
				seen++
			}
		}
		if seen == len(projections.All()) {
			break
		}
	}
	links, grants, err := projections.Dump(ctx, store)
	if err != nil {
		a.t.Fatal(err)
	}
	timeline, err := store.Activity(ctx, projections.ActivityFilter{Link: a.link, Limit: 500})
	if err != nil {
		a.t.Fatal(err)
	}
	b, err := json.Marshal([]any{links, grants, timeline})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(b)
}

// alarmed waits for the node's alarm of a message.
func (l *logged) alarmed(ctx context.Context, t *testing.T, sequence uint64) {
	t.Helper()
	for words := fmt.Sprintf(`"sequence":%d,"subject"`, sequence); !strings.Contains(l.String(), words); time.Sleep(5 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("no alarm %q: %s", words, l)
		}
	}
}

// told waits for the notice, which is one for all.
func (a *attacked) told(ctx context.Context) {
	a.t.Helper()
	stream, err := a.js(natsconfig.RoleMigrate).Stream(ctx, namespace.Notices())
	if err != nil {
		a.t.Fatal(err)
	}
	for ; ; time.Sleep(10 * time.Millisecond) {
		m, err := stream.GetLastMsgForSubject(ctx, namespace.Notice(string(notice.ForeignMessage), a.link))
		if err == nil {
			var n notice.Notice
			if err := json.Unmarshal(m.Data, &n); err != nil || n.LinkName != "crm" || n.Reason == "" || n.Sequence == 0 {
				a.t.Errorf("%s, %v", m.Data, err)
			}
			return
		}
		if ctx.Err() != nil {
			a.t.Fatal("there is no notice")
		}
	}
}

// guarded is the log as outlink events verify reads it, as the user migrate.
func (a *attacked) guarded(ctx context.Context) eventlog.Feed {
	a.t.Helper()
	js := a.js(natsconfig.RoleMigrate)
	kek, err := vault.OpenKEKFile(filepath.Join(a.dir, "kek.json"), false)
	if err != nil {
		a.t.Fatal(err)
	}
	bucket, err := js.KeyValue(ctx, namespace.Keys())
	if err != nil {
		a.t.Fatal(err)
	}
	stream, err := js.Stream(ctx, namespace.Events())
	if err != nil {
		a.t.Fatal(err)
	}
	keys := vault.NewEventKeys(kek, bucket, string(namespace))
	return eventlog.Feed{JS: js, Namespace: namespace, Guard: &eventlog.Guard{Stream: stream, Keys: keys.Keys, Log: slog.New(slog.DiscardHandler)}}
}
