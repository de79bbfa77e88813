package node

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/internal/bus"
	"outlink/workers/pace"
)

// pauses shares, over a bucket, what hosts ask of any node. Until is by the clock
// of the node that was asked: this is about manners, and an hour at most.
type pauses struct {
	kv    jetstream.KeyValue
	watch jetstream.KeyWatcher
	gates *pace.Gates
	asked chan pause
	log   *slog.Logger
}

// pause is an entry of the bucket; its key is the host, encoded.
type pause struct {
	Host  string    `json:"host"`
	Until time.Time `json:"until"`
}

// newPauses makes gates that know the pauses of before, and share theirs while
// run runs.
func newPauses(ctx context.Context, js jetstream.JetStream, bucket string, log *slog.Logger) (*pauses, error) {
	kv, err := bus.Bucket(ctx, js, bucket, log)
	if err != nil {
		return nil, err
	}
	p := &pauses{kv: kv, asked: make(chan pause, 64), log: log}
	p.gates = &pace.Gates{Closed: p.closed}
	if p.watch, err = bus.Watch(ctx, kv, log); err != nil {
		return nil, err
	}
	for entry := range p.watch.Updates() {
		if entry == nil { // all of before
			break
		}
		p.heed(entry)
	}
	return p, nil
}

// closed never waits: a pause that finds no room holds on this node alone.
func (p *pauses) closed(host string, until time.Time) {
	select {
	case p.asked <- pause{host, until}:
	default:
	}
}

// run passes pauses on, both ways, until the context ends.
func (p *pauses) run(ctx context.Context) {
	defer func() { _ = p.watch.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return
		case entry, ok := <-p.watch.Updates():
			if !ok {
				return
			}
			p.heed(entry)
		case asked := <-p.asked:
			p.tell(ctx, asked)
		}
	}
}

func (p *pauses) heed(entry jetstream.KeyValueEntry) {
	var said pause
	if entry != nil && json.Unmarshal(entry.Value(), &said) == nil {
		p.gates.Close(said.Host, said.Until)
	}
}

func (p *pauses) tell(ctx context.Context, asked pause) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	body, err := json.Marshal(asked)
	if err == nil {
		_, err = p.kv.Put(ctx, base64.RawURLEncoding.EncodeToString([]byte(asked.Host)), body)
	}
	if err != nil {
		p.log.Warn("other nodes are not told to leave a host alone", "host", asked.Host, "error", err)
	}
}
