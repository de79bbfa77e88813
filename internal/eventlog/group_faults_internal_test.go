package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain/link"
)

// F15. A batch whose acknowledgement is lost is in the stream once, and everybody
// knows: the next try finds its own event.
func TestLostBatch(t *testing.T) {
	s := newSite(t)
	request, lost := s.group.request, 0
	var mu sync.Mutex
	s.group.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		reply, err := request(ctx, m)
		mu.Lock()
		defer mu.Unlock()
		if lost++; lost%2 == 1 {
			return nil, nats.ErrTimeout
		}
		return reply, err
	}
	s.whole(s.crowd(200, 5), 5)
	if lost == 0 {
		t.Error("there was no batch to lose")
	}
}

// A server that goes away in the middle of batches and comes back has every event
// that it acknowledged, and each writer's event once.
func TestRestart(t *testing.T) {
	s := newSite(t)
	address := strings.TrimPrefix(s.server.URL(), "nats://")
	request, batches := s.group.request, make(chan struct{}, 1000)
	s.group.request = func(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		batches <- struct{}{}
		return request(ctx, m)
	}
	done := make(chan map[uuid.UUID]commands.Loaded[link.State])
	go func() { done <- s.crowd(200, 10) }()
	for range 3 {
		<-batches
		s.server.Stop()
		s.start(address)
	}
	s.whole(<-done, 10)
}

// Who gives up while waiting is let go.
func TestGivesUp(t *testing.T) {
	s := newSite(t)
	s.group.flights = flights // none lands
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.group.PublishMsg(ctx, posted("a", 0).msg); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// What nobody waits for goes too, many in one batch.
func TestLater(t *testing.T) {
	s := newSite(t)
	const n = 2 * worth
	for i := range n {
		s.group.Later(posted(fmt.Sprint(i), 0).msg)
	}
	c, err := s.stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batches := map[string]bool{}
	for i := range n {
		m, err := c.Next(jetstream.FetchMaxWait(20 * time.Second))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		batches[m.Headers().Get("Nats-Batch-Id")] = true
	}
	if len(batches) != 1 || batches[""] {
		t.Errorf("%d messages went in batches %v", n, batches)
	}
}

// What nobody waits for is there at once when it is asked for, also what is on its
// way already, and what comes after that goes as before.
func TestFlush(t *testing.T) {
	s := newSite(t)
	sent := 0
	for _, n := range []int{0, 1, worth / 2, most + worth} {
		for range n {
			s.group.Later(posted(fmt.Sprint(sent), 0).msg)
			sent++
		}
		s.group.Flush(t.Context())
		if info, err := s.stream.Info(t.Context()); err != nil || info.State.Msgs != uint64(sent) {
			t.Fatalf("%d messages of %d are there, %v", info.State.Msgs, sent, err)
		}
	}
}

// A flush ends with its context, when what it waits for does not land.
func TestFlushGivesUp(t *testing.T) {
	l := losing{make(chan struct{})}
	g := &Group{single: l}
	g.Later(&nats.Msg{Subject: "lost"})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	g.Flush(ended)
	close(l.until)
	g.Flush(t.Context())
}

// slow takes a second for each message, and counts those that it has at once.
type slow struct {
	mu        sync.Mutex
	now, most int
}

func (p *slow) PublishMsg(context.Context, *nats.Msg, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	p.add(1)
	time.Sleep(time.Second)
	p.add(-1)
	return &jetstream.PubAck{}, nil
}

func (p *slow) add(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now += n
	p.most = max(p.most, p.now)
}

// Single messages go one at a time while a crowd lasts, and some at once again
// when nobody waits any more.
func TestCrowdGoesOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &slow{}
		g := &Group{single: p, crowded: true}
		send := func(n int) {
			for range n {
				go func() { _, _ = g.PublishMsg(t.Context(), &nats.Msg{Subject: uuid.NewString()}) }()
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		send(flights)
		if p.most != 1 || g.crowded {
			t.Errorf("%d messages at once in a crowd, which lasts: %t", p.most, g.crowded)
		}
		send(2 * flights)
		if p.most != flights {
			t.Errorf("%d messages at once without a crowd", p.most)
		}
	})
}

// losing publishes nothing to one subject, and never says so.
type losing struct{ until chan struct{} }

func (l losing) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if m.Subject == "lost" {
		<-l.until
	}
	return &jetstream.PubAck{}, nil
}

// Messages that are never acknowledged hold up nobody for long.
func TestLostMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := losing{make(chan struct{})}
		g := &Group{single: l}
		for range flights {
			go func() { _, _ = g.PublishMsg(t.Context(), &nats.Msg{Subject: "lost"}) }()
		}
		synctest.Wait()
		began := time.Now()
		if _, err := g.PublishMsg(t.Context(), &nats.Msg{Subject: "a"}); err != nil || time.Since(began) > landing {
			t.Errorf("the next one takes %s: %v", time.Since(began), err)
		}
		close(l.until)
		synctest.Wait()
		if g.flights != 0 {
			t.Errorf("%d flights are left", g.flights)
		}
	})
}
