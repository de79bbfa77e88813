package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/name"
	"outlink/internal/eventlog"
	"outlink/internal/node"
	"outlink/internal/testenv"
)

// forgetful has not stored an answer yet, or was killed before it did.
type forgetful struct{ commands.Outcomes }

func (forgetful) PutLater(uuid.UUID, commands.Answered) {}

// asked is a command to create a link of a name, as it travels.
func asked(t *testing.T, id uuid.UUID, name string) []byte {
	t.Helper()
	body, err := json.Marshal(map[string]any{
		"command_id": id, "name": name, "provider": "custom", "client_id": "id", "client_secret": "secret of " + name, "auth_style": "body",
		"scopes": []string{"a"}, "authorization_endpoint": "http://127.0.0.1:1/a", "token_endpoint": "http://127.0.0.1:1/t",
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func create(ctx context.Context, n *node.Node, body []byte) (commands.Outcome, error) {
	return n.Commands.Run(ctx, "CreateOutgoingLink", commands.Door{}, body)
}

// made checks that a command made one link, whose secret opens, and nothing else.
func made(t *testing.T, n *node.Node, id uuid.UUID, name string, events int) {
	t.Helper()
	stream, err := n.Feed.JS.Stream(t.Context(), n.Namespace.Events())
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, subject := range []string{n.Namespace.LinkEvents(id), n.Namespace.NameEvents(nameID(name))} {
		err = errors.Join(err, eventlog.History(t.Context(), stream, n.Feed.Guard, subject, func(r domain.Record) error { types = append(types, r.Type); return nil }))
	}
	if err != nil || len(types) != events || types[0] != "outlink.link.created.v1" {
		t.Errorf("%s: events %v, %v", name, types, err)
	}
	if secret, err := n.Vault.ClientSecret(t.Context(), id, 1); err != nil || secret.Reveal() != "secret of "+name {
		t.Errorf("%s: the secret does not open: %v", name, err)
	}
}

func nameID(s string) uuid.UUID { return name.ID(s) }

// A repeat of CreateOutgoingLink gets the same answer with one effect, also when
// the answer is not stored yet or never will be, whatever happened to the link.
func TestCreateAgain(t *testing.T) {
	server, dir := testenv.NATS(t), t.TempDir()
	n, other := testenv.Node(t, server, dir, "n"), testenv.Node(t, server, dir, "m")
	n.Commands.Outcomes = forgetful{n.Commands.Outcomes}
	id := uuid.New()
	body := asked(t, id, "crm")
	first, err := create(t.Context(), n, body)
	if err != nil || len(first.Events) != 1 || first.Version != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	update := commands.UpdateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Link: id}
	for step, change := range []func() error{
		func() error { return nil },
		func() error {
			_, err := n.Commands.DisableLink(t.Context(), commands.DisableLink{Header: update.Header, Link: id})
			return err
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*node.Node{n, other} {
			if again, err := create(t.Context(), n, body); err != nil || !reflect.DeepEqual(again, first) {
				t.Errorf("after %d changes %s answers %+v, %v; the first answer was %+v", step, n.Name, again, err, first)
			}
		}
		made(t, n, id, "crm", 2+step)
	}
	mine := commands.CreateOutgoingLink{}
	if err := json.Unmarshal(asked(t, uuid.New(), "crm"), &mine); err != nil {
		t.Fatal(err)
	}
	mine.Link = id
	if out, err := n.Commands.CreateOutgoingLink(t.Context(), mine); err != nil || len(out.Events) != 0 || out.Version != 2 {
		t.Errorf("another command that wants the same link gets %+v, %v", out, err)
	}
}

// Of many that are the same command at the same time, at two nodes, one has the
// effect, all get its answer, and the secret opens.
func TestCreateAtOnce(t *testing.T) {
	server, dir := testenv.NATS(t), t.TempDir()
	nodes := []*node.Node{testenv.Node(t, server, dir, "n"), testenv.Node(t, server, dir, "m")}
	for round := range 20 {
		id, start := uuid.New(), make(chan struct{})
		body := asked(t, id, fmt.Sprint("crm ", round))
		outs := make([]commands.Outcome, 8)
		var wg sync.WaitGroup
		for i := range outs {
			wg.Go(func() {
				<-start
				var err error
				if outs[i], err = create(t.Context(), nodes[i%2], body); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		for _, out := range outs {
			if !reflect.DeepEqual(out, outs[0]) || len(out.Events) != 1 {
				t.Fatalf("round %d: one is told %+v, another %+v", round, outs[0], out)
			}
		}
		made(t, nodes[0], id, fmt.Sprint("crm ", round), 2)
	}
}

// Of commands that want the same link at once with secrets of their own, one makes
// it, and the secret is the one that it brought.
func TestCreateCollides(t *testing.T) {
	server, dir := testenv.NATS(t), t.TempDir()
	nodes := []*node.Node{testenv.Node(t, server, dir, "n"), testenv.Node(t, server, dir, "m")}
	for round := range 30 {
		id, start, winners := uuid.New(), make(chan struct{}), make(chan string, 4)
		var wg sync.WaitGroup
		for i := range cap(winners) {
			called := fmt.Sprint("crm ", round, " ", i)
			var c commands.CreateOutgoingLink
			if err := json.Unmarshal(asked(t, uuid.New(), called), &c); err != nil {
				t.Fatal(err)
			}
			c.Link = id
			wg.Go(func() {
				<-start
				if out, err := nodes[i%2].Commands.CreateOutgoingLink(t.Context(), c); err == nil && len(out.Events) == 1 {
					winners <- called
				}
			})
		}
		close(start)
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("round %d: %d commands made the link", round, len(winners))
		}
		made(t, nodes[0], id, <-winners, 2)
	}
}

// A refusal is final: the repeat is refused too, though the name is free by then,
// and leaves nothing behind.
func TestCreateRefusedAgain(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	holder, id := uuid.New(), uuid.New()
	if _, err := create(t.Context(), n, asked(t, holder, "crm")); err != nil {
		t.Fatal(err)
	}
	_, first := create(t.Context(), n, asked(t, id, "crm"))
	if _, err := n.Commands.DeleteLink(t.Context(), commands.DeleteLink{Header: commands.Header{CommandID: uuid.New()}, Link: holder}); err != nil {
		t.Fatal(err)
	}
	_, again := create(t.Context(), n, asked(t, id, "crm"))
	if domain.CodeOf(first) != domain.AlreadyExists || again == nil || again.Error() != first.Error() {
		t.Errorf("refused with %v, and again with %v", first, again)
	}
	if _, err := n.Vault.ClientSecret(t.Context(), id, 1); err == nil {
		t.Error("the secret of a link that was refused is in the vault")
	}
	if held, err := n.Commands.Names.Load(t.Context(), domain.Key{Link: nameID("crm")}); err != nil || held.State.Link != holder {
		t.Errorf("the name is held by %s, %v", held.State.Link, err)
	}
}

// death is a process that is killed at one of the steps of a command.
type death struct {
	mu    sync.Mutex
	left  int  // steps until then
	after bool // the step is done, and nobody hears of it
}

var errKilled = errors.New("killed")

func (d *death) step(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left--
	switch {
	case d.left > 0:
		return do()
	case d.left == 0 && d.after:
		return errors.Join(do(), errKilled)
	}
	return errKilled
}

type dyingVault struct {
	commands.Vault
	*death
}

func (d dyingVault) StoreClientSecret(ctx context.Context, id uuid.UUID, generation uint64, s domain.Secret) error {
	return d.step(func() error { return d.Vault.StoreClientSecret(ctx, id, generation, s) })
}

type dyingLog[S, E any] struct {
	commands.Log[S, E]
	*death
	before func(domain.Key) error
}

func (d dyingLog[S, E]) Append(ctx context.Context, key domain.Key, after commands.Loaded[S], e E, m commands.Meta) (next commands.Loaded[S], err error) {
	err = d.step(func() (err error) {
		if err := d.before(key); err != nil {
			return err
		}
		next, err = d.Log.Append(ctx, key, after, e, m)
		return err
	})
	return next, err
}

// A command that is killed before or after any of its steps, and repeated, has
// one effect. The secret is in the vault before the event that names it.
func TestCreateKilled(t *testing.T) {
	server, dir := testenv.NATS(t), t.TempDir()
	healthy := testenv.Node(t, server, dir, "n")
	for i := range 40 {
		n := *healthy.Commands
		d := &death{left: i%5 + 1, after: i/5%2 == 1}
		n.Outcomes, n.Vault = forgetful{n.Outcomes}, dyingVault{n.Vault, d}
		n.Names = dyingLog[name.State, name.Event]{n.Names, d, func(domain.Key) error { return nil }}
		n.Links = dyingLog[link.State, link.Event]{n.Links, d, func(k domain.Key) error {
			_, err := healthy.Vault.ClientSecret(t.Context(), k.Link, 1)
			return err
		}}
		id, called := uuid.New(), fmt.Sprint("crm ", i)
		body := asked(t, id, called)
		if _, err := n.Run(t.Context(), "CreateOutgoingLink", commands.Door{}, body); err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		first, err := create(t.Context(), healthy, body)
		again, err2 := create(t.Context(), healthy, body)
		if err != nil || err2 != nil || len(first.Events) != 1 || !reflect.DeepEqual(first, again) {
			t.Errorf("killed at step %d: %+v, %v; then %+v, %v", i%5+1, first, err, again, err2)
		}
		made(t, healthy, id, called, 2)
	}
}

// The answer is kept after the reply, so that whoever uses the id for another
// command is told.
func TestCreateIsRemembered(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	id := uuid.New()
	if _, err := create(t.Context(), n, asked(t, id, "crm")); err != nil {
		t.Fatal(err)
	}
	kept, err := n.Feed.JS.KeyValue(t.Context(), n.Namespace.Outcomes())
	if err != nil {
		t.Fatal(err)
	}
	watch, err := kept.Watch(t.Context(), id.String(), jetstream.IgnoreDeletes())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Stop() }()
	for entry := range watch.Updates() {
		if entry != nil { // nil: that was all there is yet
			break
		}
	}
	body := fmt.Appendf(nil, `{"command_id":%q,"link_id":%q}`, id, id)
	if _, err := n.Commands.Run(t.Context(), "DisableLink", commands.Door{}, body); domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("an id that was used for CreateOutgoingLink is taken for another command: %v", err)
	}
}

// A node that is told to end keeps first what it left to be kept after the answers.
func TestCreateIsRememberedAtTheEnd(t *testing.T) {
	server, dir := testenv.NATS(t), t.TempDir()
	n, other := testenv.Node(t, server, dir, "n", "commands"), testenv.Node(t, server, dir, "m")
	ctx, end := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	id := uuid.New()
	if _, err := create(t.Context(), n, asked(t, id, "crm")); err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if kept, err := other.Commands.Outcomes.Get(t.Context(), id); err != nil || kept == nil || kept.Outcome.Link != id {
		t.Errorf("kept is %+v, %v", kept, err)
	}
}

// A foreign message in a link's place, or before its first event, changes nothing.
func TestCreateBehindAForeignMessage(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	n.Commands.Outcomes = forgetful{n.Commands.Outcomes}
	id := uuid.New()
	if _, err := n.Feed.JS.Publish(t.Context(), n.Namespace.LinkEvents(id), []byte("junk")); err != nil {
		t.Fatal(err)
	}
	first, err := create(t.Context(), n, asked(t, id, "crm"))
	again, err2 := create(t.Context(), n, asked(t, id, "crm"))
	if err != nil || err2 != nil || len(first.Events) != 1 || !reflect.DeepEqual(first, again) {
		t.Errorf("%+v, %v; then %+v, %v", first, err, again, err2)
	}
	made(t, n, id, "crm", 2)
}
