package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/commands/client/outlinktest"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/notice"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
)

var errEnough = errors.New("enough")

func collect(t *testing.T, c client.Client, from uint64, f client.Filter, n int) []domain.Record {
	t.Helper()
	var got []domain.Record
	err := c.Subscribe(limited(t), from, f, func(_ context.Context, r domain.Record) error {
		if got = append(got, r); len(got) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("%d of %d events: %v", len(got), n, err)
	}
	return got
}

// What the client reads is what the nodes read, from any place, filtered or not.
func TestSubscribe(t *testing.T) {
	o := outlinktest.Start(t)
	c, first, second := o.Client(), o.Link(t, "one"), o.Link(t, "two")
	js, err := jetstream.New(c.NC)
	if err != nil {
		t.Fatal(err)
	}
	want, err := eventlog.Feed{JS: js, Namespace: bus.DefaultNamespace}.Range(limited(t), nil, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := collect(t, c, 0, client.Filter{}, len(want)); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if got := collect(t, c, want[2].Sequence, client.Filter{}, len(want)-3); !reflect.DeepEqual(got, want[3:]) {
		t.Errorf("resumed: got %v\nwant %v", got, want[3:])
	}
	for _, r := range collect(t, c, 0, client.Filter{Link: second}, 4) {
		if r.Link != second {
			t.Errorf("event %d is of link %s", r.Sequence, r.Link)
		}
	}
	typ := "outlink.link.created.v1"
	if got := collect(t, c, 0, client.Filter{Types: []string{typ}}, 2); got[0].Link != first || got[1].Link != second || got[1].Type != typ {
		t.Errorf("filtered by type: %v", got)
	}
}

// junk puts a message into the log that has not the form of an event, whatever it
// says of its authentication.
func junk(t *testing.T, c client.Client, id uuid.UUID) {
	t.Helper()
	m := nats.NewMsg(bus.DefaultNamespace.LinkEvents(id))
	m.Data, m.Header["ce-type"], m.Header["Outlink-MAC"] = []byte("hello"), []string{"outlink.link.created.v1"}, []string{"x"}
	if _, err := c.NC.RequestMsg(m, 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// What somebody puts into the log that is not even like an event holds up nobody.
func TestSubscribePassesJunk(t *testing.T) {
	o := outlinktest.Start(t)
	c, id := o.Client(), o.Link(t, "one")
	junk(t, c, id)
	out, err := c.DisableLink(limited(t), commands.DisableLink{Link: id})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range collect(t, c, 0, client.Filter{Link: id, Types: []string{"outlink.link.disabled.v1"}}, 1) {
		if r.Sequence != out.Sequence {
			t.Errorf("event %d, want %d", r.Sequence, out.Sequence)
		}
	}
}

// What has the form of an event and cannot be read may be a later version's: to pass
// over it would be to miss it.
func TestSubscribeStopsAtALaterVersion(t *testing.T) {
	o := outlinktest.Start(t)
	c, id := o.Client(), uuid.New()
	m := nats.NewMsg(bus.DefaultNamespace.LinkEvents(id))
	m.Header["ce-id"], m.Header["ce-type"], m.Header["Outlink-MAC"] = []string{uuid.NewString()}, []string{"outlink.link.created.v9"}, []string{"x"}
	if _, err := c.NC.RequestMsg(m, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	err := c.Subscribe(limited(t), 0, client.Filter{Link: id}, func(context.Context, domain.Record) error { return errEnough })
	var unread *domain.UnreadableError
	if !errors.As(err, &unread) || unread.Type != "outlink.link.created.v9" {
		t.Errorf("Subscribe: %v", err)
	}
	err = c.WatchLinks(limited(t), func(context.Context, []client.Link) error { return errEnough })
	if !errors.As(err, &unread) {
		t.Errorf("WatchLinks: %v", err)
	}
}

// A link is as its last event left it, whatever was put into the log behind that;
// and nobody hears of what changes nothing.
func TestWatchLinksPassesJunk(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	one, two := o.Link(t, "one"), o.Link(t, "two")
	out, err := c.DisableLink(ctx, commands.DisableLink{Link: one})
	if err != nil {
		t.Fatal(err)
	}
	junk(t, c, one)
	junk(t, c, uuid.New())
	var calls [][]client.Link
	err = c.WatchLinks(ctx, func(_ context.Context, links []client.Link) error {
		if calls = append(calls, links); len(calls) == 2 {
			return errEnough
		}
		junk(t, c, two)
		_, err := c.DisableLink(ctx, commands.DisableLink{Link: two})
		return err
	})
	if !errors.Is(err, errEnough) || len(calls) != 2 || len(calls[0]) != 2 || len(calls[1]) != 1 {
		t.Fatalf("%+v, %v", calls, err)
	}
	if list := calls[0]; list[0].ID != two || list[1].ID != one || list[1].Sequence != out.Sequence || list[1].State.Status() != link.StatusDisabled {
		t.Errorf("the list is %+v", list)
	}
	if change := calls[1][0]; change.ID != two || change.State.Status() != link.StatusDisabled {
		t.Errorf("the change is %+v", change)
	}
}

// proxy is a way to NATS that can be cut.
type proxy struct {
	net.Listener
	to string

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: strings.TrimPrefix(to, "nats://")}
	p.wg.Go(p.serve)
	t.Cleanup(func() { _ = l.Close(); p.cut(); p.wg.Wait() })
	return p
}

func (p *proxy) serve() {
	for {
		in, err := p.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		p.wg.Go(func() { pipe(in, out) })
		p.wg.Go(func() { pipe(out, in) })
	}
}

func pipe(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// The connection is cut again and again while events come: none is missed, none
// comes out of order.
func TestSubscribeSurvivesReconnects(t *testing.T) {
	const events = 30
	o := outlinktest.Start(t)
	p := newProxy(t, o.URL())
	nc, err := nats.Connect("nats://"+p.Addr().String(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	out, err := o.Client().CreateOutgoingLink(limited(t), commands.CreateOutgoingLink{Draft: o.Draft("crm"), ClientSecret: o.ClientSecret()})
	if err != nil {
		t.Fatal(err)
	}
	writing := make(chan error, 1)
	go func() { writing <- rename(limited(t), o.Client(), out.Link, events) }()
	var got []domain.Record
	err = client.New(nc, "").Subscribe(limited(t), 0, client.Filter{Link: out.Link}, func(_ context.Context, r domain.Record) error {
		if got = append(got, r); len(got)%7 == 0 {
			p.cut()
		}
		if len(got) == events+1 {
			return errEnough
		}
		return nil
	})
	if written := <-writing; !errors.Is(err, errEnough) || written != nil {
		t.Fatalf("%d events, %v, %v", len(got), err, written)
	}
	for i, r := range got {
		if r.Version != uint64(i+1) {
			t.Fatalf("event %d has version %d", i, r.Version)
		}
	}
}

func rename(ctx context.Context, c client.Client, id uuid.UUID, times int) error {
	for i := range times {
		name := fmt.Sprint("crm ", i)
		if _, err := c.UpdateOutgoingLink(ctx, commands.UpdateOutgoingLink{Link: id, Name: &name}); err != nil {
			return err
		}
	}
	return nil
}

func TestSubscribeToNothing(t *testing.T) {
	o := outlinktest.Start(t)
	err := client.New(o.Client().NC, "elsewhere").Subscribe(limited(t), 0, client.Filter{}, func(context.Context, domain.Record) error { return nil })
	if domain.CodeOf(err) != domain.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
}

// What would wait for ever, or has nobody to tell, is an error at once.
func TestSubscribeToWhatNeverComes(t *testing.T) {
	c := client.New(nil, "") // it is asked nothing
	told := func(context.Context, domain.Record) error { return nil }
	for _, tt := range []struct {
		err  error
		says string
	}{
		{c.Subscribe(t.Context(), 0, client.Filter{Grant: uuid.New()}, told), "without its link"},
		{c.Subscribe(t.Context(), 0, client.Filter{Types: []string{"outlink.grant.token_issued.v1", "token_issued"}}, told), `"token_issued" is`},
		{c.Subscribe(t.Context(), 0, client.Filter{Types: []string{"grant.token_issued"}}, told), `"grant.token_issued" is`},
		{c.Subscribe(t.Context(), 0, client.Filter{}, nil), "handle is missing"},
		{c.WatchLinks(t.Context(), nil), "handle is missing"},
		{c.Notices(t.Context(), 0, nil), "handle is missing"},
	} {
		if domain.CodeOf(tt.err) != domain.InvalidArgument || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%v; want one with %q", tt.err, tt.says)
		}
	}
}

// The list first, without what was deleted; then each change.
func TestWatchLinks(t *testing.T) {
	o := outlinktest.Start(t)
	c, ctx := o.Client(), limited(t)
	watch := func(until int, then func()) (calls [][]client.Link) {
		err := c.WatchLinks(ctx, func(_ context.Context, links []client.Link) error {
			if calls = append(calls, links); len(calls) == until {
				return errEnough
			}
			then()
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		return calls
	}
	if calls := watch(1, nil); len(calls[0]) != 0 {
		t.Errorf("a list of %d links before there is one", len(calls[0]))
	}
	one, two := o.Link(t, "one"), o.Link(t, "two")
	if _, err := c.DeleteLink(ctx, commands.DeleteLink{Link: one}); err != nil {
		t.Fatal(err)
	}
	calls := watch(2, func() {
		if _, err := c.DisableLink(ctx, commands.DisableLink{Link: two}); err != nil {
			t.Error(err)
		}
	})
	if list := calls[0]; len(list) != 1 || list[0].ID != two || list[0].State.Name != "two" || list[0].State.Status() != link.StatusActive {
		t.Errorf("the list is %+v", list)
	}
	if change := calls[1]; len(change) != 1 || change[0].ID != two || change[0].State.Status() != link.StatusDisabled {
		t.Errorf("the change is %+v", change)
	}
}

// A notice as the worker makes it reads back whole, and reading resumes.
func TestNotices(t *testing.T) {
	o := outlinktest.Start(t)
	js, err := jetstream.New(o.Client().NC)
	if err != nil {
		t.Fatal(err)
	}
	sent := notice.Notice{
		ID: uuid.New(), Kind: notice.LinkDegraded, Link: uuid.New(), LinkName: "crm", Grant: uuid.New(), Subject: "anna", Count: 3,
		Reason: "client_rejected", ProviderCode: "invalid_client", EndsAt: time.Now().UTC(), At: time.Now().UTC(), Sequence: 9,
	}
	sent.Advice.Why, sent.Advice.Fix = "why", "fix"
	body, _ := json.Marshal(sent)
	for range 2 {
		if _, err := js.Publish(limited(t), "outlink.notice.link_degraded."+sent.Link.String(), body); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range []int{2, 1} {
		var got []client.Notice
		err := o.Client().Notices(limited(t), uint64(from), func(_ context.Context, n client.Notice) error {
			if got = append(got, n); len(got) == want {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) || got[0].Position != uint64(from+1) {
			t.Fatalf("%+v, %v", got, err)
		}
		if back, _ := json.Marshal(got[0]); string(back) != string(body) {
			t.Errorf("%s\nwant %s", back, body)
		}
	}
}
