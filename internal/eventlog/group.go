package eventlog

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher publishes a message, as [jetstream.JetStream] does.
type Publisher interface {
	PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error)
}

// Group publishes to one stream for many who wait. The server syncs each message
// by itself, but an atomic batch (ADR-50) once: so a few go singly, as they come,
// and what piles up behind them goes as one batch, one batch at a time.
//
// That a batch is atomic is of no use here: each message has an expectation of
// its own, and one that is stale fails all. Then each goes singly after all, and
// gets the answer that is its own. Options of a publish other than headers do
// not count in a batch.
type Group struct {
	single  Publisher
	request func(context.Context, *nats.Msg) (*nats.Msg, error)
	publish func(*nats.Msg) error

	mu      sync.Mutex
	flights int  // on their way
	batch   bool // one of them is a batch
	crowded bool // there was a batch, and somebody waits ever since
	queue   []*passenger
	later   []*passenger   // whom nobody waits for; a timer has them join the queue
	unasked sync.WaitGroup // those of them who have not landed
}

// NewGroup returns the group of whoever publishes to a stream over js.
func NewGroup(js jetstream.JetStream) *Group {
	return &Group{single: js, request: js.Conn().RequestMsgWithContext, publish: js.Conn().PublishMsg}
}

const (
	flights = 4                      // of single messages: with more, the server has a queue where there could be a batch
	worth   = 24                     // messages: a batch is staged in files of its own, which takes the server as long as 10 to 40 synced messages (measured)
	most    = 500                    // the server takes 1000
	landing = 2 * time.Second        // without an answer by then others need not wait any more, and a batch has an unknown fate
	linger  = 500 * time.Millisecond // of what nobody waits for: so long that under load it is a batch, and not a sync more for whoever is next
	backlog = 10_000                 // of what nobody waits for: more is dropped
)

// passenger is a message that waits, and who waits for it.
type passenger struct {
	ctx  context.Context
	msg  *nats.Msg
	opts []jetstream.PublishOpt
	done chan struct{}
	ack  *jetstream.PubAck
	err  error
	land func() // what follows; mostly nil
}

// PublishMsg publishes a message and returns its own acknowledgement. After an
// error that is no [jetstream.APIError] the message may be in the stream.
func (g *Group) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	p := &passenger{ctx: ctx, msg: m, opts: opts, done: make(chan struct{})}
	if g.board(p) {
		g.alone(p)
		return p.ack, p.err
	}
	select {
	case <-p.done:
		return p.ack, p.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// board says whether a message may go at once; if not, it is queued.
func (g *Group) board(p *passenger) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.full() {
		g.flights++
		return true
	}
	g.queue = append(g.queue, p)
	return false
}

// full says that nobody may go now. In a crowd single messages go one at a time:
// the more wait meanwhile, the sooner they are a batch again, and the larger.
func (g *Group) full() bool {
	return g.batch || g.flights >= flights || g.crowded && g.flights > 0
}

// Later publishes a message that nobody waits for, with others if there are any.
func (g *Group) Later(m *nats.Msg) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.later)+len(g.queue) >= backlog {
		return
	}
	if len(g.later) == 0 {
		time.AfterFunc(linger, g.depart)
	}
	g.unasked.Add(1)
	g.later = append(g.later, &passenger{ctx: context.Background(), msg: m, done: make(chan struct{}), land: g.unasked.Done})
}

// depart has those whom nobody waits for join the queue.
func (g *Group) depart() {
	g.mu.Lock()
	g.queue = append(g.queue, g.later...)
	g.later = nil
	g.flights++
	g.mu.Unlock()
	g.next(false)
}

// Flush publishes at once what nobody waits for, and waits for it after all.
func (g *Group) Flush(ctx context.Context) {
	g.depart()
	landed := make(chan struct{})
	go func() { defer close(landed); g.unasked.Wait() }()
	select {
	case <-landed:
	case <-ctx.Done():
	}
}

// next has those who wait follow a flight that has landed.
func (g *Group) next(batch bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if batch {
		g.batch = false
	}
	g.flights--
	for !g.full() {
		all := g.take()
		if len(all) == 0 {
			g.crowded = false
			return
		}
		g.flights++
		if len(all) > 1 {
			g.batch, g.crowded = true, true
		}
		go g.fly(all)
	}
}

// take is who goes next: all, where that is worth a batch. Who gave up stays
// behind, and so does a second message to a subject, which the server would refuse.
func (g *Group) take() []*passenger {
	var all, rest []*passenger
	limit := 1
	if len(g.queue) >= worth {
		limit = most
	}
	subjects := map[string]bool{}
	for _, p := range g.queue {
		switch {
		case p.ctx.Err() != nil:
		case len(all) < limit && !subjects[p.msg.Subject]:
			subjects[p.msg.Subject] = true
			all = append(all, p)
		default:
			rest = append(rest, p)
		}
	}
	g.queue = rest
	return all
}

func (g *Group) fly(all []*passenger) {
	if len(all) == 1 {
		g.alone(all[0])
		return
	}
	g.flight(true, func() {
		if !g.together(all) {
			apart(g.single, all)
		}
	})
}

// alone publishes one message.
func (g *Group) alone(p *passenger) { g.flight(false, func() { p.fly(g.single) }) }

// flight has others follow when it lands, or is overdue: a message whose
// acknowledgement is lost holds up nobody behind it.
func (g *Group) flight(batch bool, fly func()) {
	overdue := time.AfterFunc(landing, func() { g.next(batch) })
	fly()
	if overdue.Stop() {
		g.next(batch)
	}
}

func (p *passenger) fly(with Publisher) {
	p.ack, p.err = with.PublishMsg(p.ctx, p.msg, p.opts...)
	p.landed()
}

func (p *passenger) landed() {
	close(p.done)
	if p.land != nil {
		p.land()
	}
}

// apart publishes each message by itself.
func apart(with Publisher, all []*passenger) {
	var wg sync.WaitGroup
	for _, p := range all {
		wg.Go(func() { p.fly(with) })
	}
	wg.Wait()
}

// together publishes a batch. It reports false when the server refused it, whole:
// nothing of it is in the stream.
func (g *Group) together(all []*passenger) bool {
	ctx, cancel := context.WithTimeout(context.Background(), landing)
	defer cancel()
	ack, err := g.commit(ctx, all)
	if err == nil && ack.Error != nil {
		return false
	}
	for i, p := range all {
		p.err = err
		if err == nil {
			p.ack = &jetstream.PubAck{Stream: ack.Stream, Sequence: ack.Sequence - uint64(len(all)-1-i)}
		}
		p.landed()
	}
	return true
}

// batchAck is the server's answer to the last message of a batch.
type batchAck struct {
	Stream   string              `json:"stream"`
	Sequence uint64              `json:"seq"` // of the last message; the others are right before it
	Count    int                 `json:"count"`
	Error    *jetstream.APIError `json:"error"`
}

// commit sends the messages of a batch, and waits for the answer to the last one.
func (g *Group) commit(ctx context.Context, all []*passenger) (ack batchAck, err error) {
	id := uuid.NewString()
	for i, p := range all[:len(all)-1] {
		if err := g.publish(inBatch(p.msg, id, i+1)); err != nil {
			return ack, fmt.Errorf("publish a batch: %w", err)
		}
	}
	last := inBatch(all[len(all)-1].msg, id, len(all))
	last.Header["Nats-Batch-Commit"] = []string{"1"}
	reply, err := g.request(ctx, last)
	if err != nil {
		return ack, fmt.Errorf("commit a batch: %w", err)
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return ack, fmt.Errorf("read the answer to a batch: %w", err)
	}
	if ack.Error == nil && ack.Count != len(all) {
		return ack, fmt.Errorf("commit a batch: the server counts %d messages of %d", ack.Count, len(all))
	}
	return ack, nil
}

// inBatch is a copy of a message: it may have to go by itself later.
func inBatch(m *nats.Msg, id string, place int) *nats.Msg {
	header := maps.Clone(m.Header)
	if header == nil {
		header = nats.Header{}
	}
	header["Nats-Batch-Id"], header["Nats-Batch-Sequence"] = []string{id}, []string{strconv.Itoa(place)}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Data}
}
