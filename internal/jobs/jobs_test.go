package jobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain"
	"outlink/internal/jobs"
	"outlink/internal/testenv"
)

// queue is a stream with a durable consumer.
type queue struct {
	*testing.T
	url      string
	js       jetstream.JetStream
	consumer jetstream.Consumer
	log      *slog.Logger

	mu      sync.Mutex
	handled map[string]int
}

func newQueue(t *testing.T, messages int) *queue {
	t.Helper()
	q := &queue{T: t, url: testenv.NATS(t).URL(), log: slog.New(slog.DiscardHandler), handled: map[string]int{}}
	nc, err := q.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if q.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	stream, err := q.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "WORK", Subjects: []string{"work.>"}, Storage: jetstream.MemoryStorage})
	if err != nil {
		t.Fatal(err)
	}
	q.consumer, err = stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if _, err := q.js.PublishMsg(t.Context(), &nats.Msg{Subject: fmt.Sprintf("work.%d", i), Header: nats.Header{"A": {"1", "2"}}, Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func (q *queue) connect() (*nats.Conn, error) { return nats.Connect(q.url) }

// run consumes until ctx ends.
func (q *queue) run(ctx context.Context, handle func(jobs.Job) error) error {
	return jobs.Consumer{
		Connect: q.connect, Stream: "WORK", Durable: "worker", Parallel: 16, Drain: 10 * time.Second, Log: q.log,
		Handle: func(_ context.Context, j jobs.Job) error {
			q.mu.Lock()
			q.handled[j.Subject]++
			q.mu.Unlock()
			return handle(j)
		},
		SetAside: func(_ context.Context, j jobs.Job, d *jobs.Dead) error {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.handled["set aside: "+j.Subject+" "+d.Error()]++
			return nil
		},
	}.Run(ctx)
}

func (q *queue) state() (left, unacknowledged int) {
	q.Helper()
	info, err := q.consumer.Info(context.WithoutCancel(q.Context()))
	if err != nil {
		q.Fatal(err)
	}
	return int(info.NumPending), info.NumAckPending
}

// A consumer that is stopped while it is busy finishes and acknowledges the jobs
// in hand, gives back those that it has not begun, and does not panic. The
// library alone does neither: it leaves what is in hand without acknowledgement,
// and may send on a channel that it has closed.
func TestStopWhileBusy(t *testing.T) {
	const messages = 2000
	q := newQueue(t, messages)
	deadline := time.Now().Add(time.Minute) // a job that is neither acknowledged nor given back comes after five
	for round := 0; ; round++ {
		ctx, cancel := context.WithCancel(t.Context())
		stop := time.AfterFunc(time.Duration(20+round%17)*time.Millisecond, cancel)
		if err := q.run(ctx, func(jobs.Job) error { time.Sleep(time.Millisecond); return nil }); err != nil {
			t.Fatal(err)
		}
		stop.Stop()
		left, unacknowledged := q.state()
		if left+unacknowledged == 0 {
			t.Logf("stopped %d times", round+1)
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d jobs are left, %d without acknowledgement", left+unacknowledged, unacknowledged)
		}
	}
	for i := range messages {
		if n := q.handled[fmt.Sprintf("work.%d", i)]; n != 1 {
			t.Errorf("job %d was handled %d times", i, n)
		}
	}
}

// A consumer that is stopped while it starts, or whose server goes away then, ends,
// and what it was sent meanwhile is done by the next one.
func TestStopWhileStarting(t *testing.T) {
	q := newQueue(t, 40)
	fine := func(jobs.Job) error { return nil }
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
		ended := make(chan struct{})
		go func() { _ = q.run(ctx, fine); close(ended) }() // what it was asked to end with
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			t.Fatalf("stopped %d ms after its start, it does not end", i)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- q.run(ctx, fine) }()
	for ctx.Err() == nil {
		info, err := q.consumer.Info(ctx)
		if err == nil && info.NumPending == 0 && info.NumAckPending == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // the consumer works
	}
	if ctx.Err() != nil {
		t.Error("jobs are left")
	}
	cancel()
	<-ended
}

// A consumer that is told to end has nothing to complain of, and says nothing any
// more once it has ended. The library notices, now and then before it is closed,
// that all its handlers have stopped, and calls that an error, when it gets to it.
func TestStopsWithoutComplaint(t *testing.T) {
	q := newQueue(t, 0)
	var said bytes.Buffer // unguarded: whoever is late races with the end
	for range 100 {
		q.log = slog.New(slog.NewTextHandler(&said, nil))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := q.run(ctx, func(jobs.Job) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if said.Len() > 0 {
			t.Fatalf("it said %s", said.String())
		}
	}
}

// A consumer that does not exist is an error; a server that is not there is
// waited for.
func TestStart(t *testing.T) {
	q := newQueue(t, 1)
	c := jobs.Consumer{Connect: q.connect, Stream: "WORK", Durable: "nobody", Parallel: 2, Drain: time.Second, Log: slog.New(slog.DiscardHandler)}
	if err := c.Run(t.Context()); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("without the consumer: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	c.Durable, c.Connect = "worker", func() (*nats.Conn, error) {
		if tries++; tries < 2 {
			return nil, nats.ErrNoServers
		}
		return q.connect()
	}
	c.Handle = func(context.Context, jobs.Job) error { cancel(); return nil }
	if err := c.Run(ctx); err != nil || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

// A job that can never succeed is set aside with its reason; one that panics or
// fails is tried again, but not for ever if it panics or cannot be decoded.
func TestFailures(t *testing.T) {
	q := newQueue(t, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			if left, unacknowledged := q.state(); left+unacknowledged == 0 {
				cancel()
			}
			time.Sleep(20 * time.Millisecond) // the server counts
		}
	}()
	failed := map[string]bool{}
	err := q.run(ctx, func(j jobs.Job) error {
		q.mu.Lock()
		again := failed[j.Subject]
		failed[j.Subject] = true
		q.mu.Unlock()
		switch {
		case j.Subject == "work.0":
			return &jobs.Dead{Reason: errors.New("nonsense")}
		case j.Subject == "work.1" && !again:
			return errors.New("not now")
		case j.Subject == "work.2" && !again:
			panic("oops")
		case j.Subject == "work.3":
			panic("always")
		case j.Subject == "work.4":
			return fmt.Errorf("load it: %w", domain.ErrUndecodable)
		}
		if j.Sequence == 0 || j.Delivered == 0 || time.Since(j.At) > time.Minute {
			return fmt.Errorf("a message without its place: %+v", j)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]int{
		"work.0": 1, "work.1": 2, "work.2": 2, "work.3": 5, "work.4": 5, "set aside: work.0 nonsense": 1, "set aside: work.4 load it: it cannot be decoded": 1,
	} {
		if q.handled[subject] != want {
			t.Errorf("%s: %d times, want %d", subject, q.handled[subject], want)
		}
	}
}
