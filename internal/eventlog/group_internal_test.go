package eventlog

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/natsd"
)

// The server leaves goroutines of stores behind that it opened for batches which
// were on their way when it stopped.
func TestMain(m *testing.M) {
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(server+".(*msgBlock).flushLoop"), goleak.IgnoreAnyFunction(server+"/ats.Register.func1"))
}

// site is a stream of events, and whoever appends to it.
type site struct {
	*testing.T
	dir    string
	server *natsd.Server
	js     jetstream.JetStream
	stream jetstream.Stream
	group  *Group
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir()}
	s.start("127.0.0.1:0")
	s.connect(s.server.URL())
	return s
}

// connect makes the stream on a server.
func (s *site) connect(url string) {
	s.Helper()
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc); err != nil {
		s.Fatal(err)
	}
	if err := bus.Declare(s.Context(), s.js, bus.DefaultNamespace, 1); err != nil {
		s.Fatal(err)
	}
	if s.stream, err = s.js.Stream(s.Context(), bus.DefaultNamespace.Events()); err != nil {
		s.Fatal(err)
	}
	s.group = NewGroup(s.js)
}

func (s *site) start(address string) {
	s.Helper()
	server, err := natsd.Start(s.dir, address)
	if err != nil {
		s.Fatal(err)
	}
	s.server = server
	s.Cleanup(server.Stop)
}

func (s *site) log() Log[link.State, link.Event] {
	return Logs{JS: s.group, Stream: s.stream, Namespace: bus.DefaultNamespace}.Links()
}

// posted is a message that follows the given sequence of a subject of its own.
func posted(subject string, after uint64) *passenger {
	return &passenger{ctx: context.Background(), done: make(chan struct{}), msg: &nats.Msg{
		Subject: "outlink.events.link." + subject, Data: []byte(subject),
		Header: nats.Header{jetstream.MsgIDHeader: {uuid.NewString()}, jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(after, 10)}},
	}}
}

// flown has messages go as one flight.
func (s *site) flown(all ...*passenger) {
	s.group.flights++
	s.group.fly(all)
}

// at is the subject of the message at a sequence.
func (s *site) at(sequence uint64) *jetstream.RawStreamMsg {
	s.Helper()
	m, err := s.stream.GetMsg(s.Context(), sequence)
	if err != nil {
		s.Fatalf("message %d: %v", sequence, err)
	}
	return m
}

// Each message of a batch is told its own place.
func TestBatch(t *testing.T) {
	s := newSite(t)
	var all []*passenger
	for i := range 20 {
		all = append(all, posted(fmt.Sprint(i), 0))
	}
	s.flown(all...)
	batch := s.at(1).Header.Get("Nats-Batch-Id")
	for i, p := range all {
		if p.err != nil {
			t.Fatalf("%d: %v", i, p.err)
		}
		if m := s.at(p.ack.Sequence); p.ack.Sequence != uint64(i+1) || m.Subject != p.msg.Subject || m.Header.Get("Nats-Batch-Id") != batch || batch == "" {
			t.Errorf("%s is said to be at %d, where %s of batch %q is", p.msg.Subject, p.ack.Sequence, m.Subject, batch)
		}
	}
}

// One stale expectation, or one message that is there already, costs the others
// nothing, and each gets the answer that it would get alone.
func TestBatchWithConflict(t *testing.T) {
	s := newSite(t)
	first, once := posted("a", 0), posted("b", 0)
	s.flown(first, once)
	again := posted("b", 0)
	again.msg.Header = once.msg.Header
	stale, follows, fresh := posted("a", 0), posted("a", 1), posted("c", 0)
	s.flown(fresh, stale, again)
	if !bus.IsStale(stale.err) || !bus.IsStale(again.err) || fresh.err != nil || fresh.ack.Sequence != 3 {
		t.Errorf("stale: %v; again: %v; fresh: %v", stale.err, again.err, fresh.err)
	}
	s.flown(follows, posted("d", 0))
	if follows.err != nil || s.at(follows.ack.Sequence).Subject != follows.msg.Subject {
		t.Errorf("after the conflict: %v", follows.err)
	}
}

// A stream that takes no batches gets the messages one by one.
func TestBatchRefused(t *testing.T) {
	s := newSite(t)
	config := s.stream.CachedInfo().Config
	config.AllowAtomicPublish = false
	if _, err := s.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	one, other := posted("a", 0), posted("b", 0)
	s.flown(one, other)
	if one.err != nil || other.err != nil || one.ack.Sequence+other.ack.Sequence != 3 {
		t.Errorf("%v, %v", one.err, other.err)
	}
}

// Two messages to one subject are never in one batch, who gave up is in none,
// and who comes first goes first.
func TestTake(t *testing.T) {
	var g Group
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range worth {
		g.queue = append(g.queue, posted(fmt.Sprint(i), 0))
	}
	g.queue[3].ctx = gone
	g.queue = append(g.queue, posted("0", 0), posted("1", 0))
	first, second, third := g.take(), g.take(), g.take()
	if len(first) != worth-1 || first[3].msg.Subject != "outlink.events.link.4" || len(second) != 1 || len(third) != 1 || len(g.take()) != 0 {
		t.Errorf("%d, %d and %d go", len(first), len(second), len(third))
	}
}

// crowd appends to as many links at once as make batches, and returns them as
// they are after that.
func (s *site) crowd(n, events int) map[uuid.UUID]commands.Loaded[link.State] {
	s.Helper()
	log, links := s.log(), map[uuid.UUID]commands.Loaded[link.State]{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			key, at := domain.Key{Link: uuid.New()}, commands.Loaded[link.State]{}
			var err error
			for range events {
				if at, err = log.Append(s.Context(), key, at, link.Disabled{}, commands.Meta{CommandID: uuid.New(), Time: time.Now()}); err != nil {
					s.Error(err)
					return
				}
			}
			mu.Lock()
			defer mu.Unlock()
			links[key.Link] = at
		})
	}
	wg.Wait()
	return links
}

// whole checks that every link has the events that were acknowledged and no more.
func (s *site) whole(links map[uuid.UUID]commands.Loaded[link.State], events uint64) {
	s.Helper()
	for id, told := range links {
		at, err := s.log().Load(s.Context(), domain.Key{Link: id})
		if err != nil || at.Version != events || at.Sequence != told.Sequence || at.Event != told.Event {
			s.Errorf("link %s is at version %d, sequence %d; it was told %d, %d: %v", id, at.Version, at.Sequence, told.Version, told.Sequence, err)
		}
	}
	if info, err := s.stream.Info(s.Context()); err != nil || info.State.Msgs != uint64(len(links))*events {
		s.Errorf("%d events of %d links, %v", info.State.Msgs, len(links), err)
	}
}

// Under load events go in batches, and all of them are where they are said to be.
func TestCrowd(t *testing.T) {
	s := newSite(t)
	s.whole(s.crowd(200, 5), 5)
	for i := range uint64(1000) {
		if s.at(i+1).Header.Get("Nats-Batch-Id") != "" {
			return
		}
	}
	t.Error("200 writers at once made no batch")
}
