package eventlog_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/link"
	"outlink/internal/eventlog"
	"outlink/internal/testenv"
)

// deaf publishes, and does not hear of it the first few times.
type deaf struct {
	eventlog.Publisher
	times     int
	published func()
}

func (d *deaf) PublishMsg(ctx context.Context, m *nats.Msg, o ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := d.Publisher.PublishMsg(ctx, m, o...)
	if d.times--; d.times < 0 || err != nil {
		return ack, err
	}
	if d.published != nil {
		d.published()
	}
	return nil, nats.ErrTimeout
}

// F15. An append whose acknowledgement is lost knows its own event when it reads
// back: there is one event, and nobody is said to have overtaken it, also when
// another event has followed it meanwhile: deciding again would be a second effect.
func TestLostAcknowledgement(t *testing.T) {
	n := testenv.Node(t, testenv.NATS(t), t.TempDir(), "n")
	log, ok := n.Commands.Links.(eventlog.Log[link.State, link.Event])
	if !ok {
		t.Fatalf("the node's log is a %T", n.Commands.Links)
	}
	for followed, want := range map[bool]uint64{false: 1, true: 2} {
		key := domain.Key{Link: uuid.New()}
		mine := log
		mine.JS = &deaf{Publisher: log.JS, times: 1, published: func() {
			if at, err := log.Load(t.Context(), key); followed && err == nil {
				_, _ = log.Append(t.Context(), key, at, link.Disabled{}, meta())
			}
		}}
		got, err := mine.Append(t.Context(), key, commands.Loaded[link.State]{}, created("crm"), meta())
		if err != nil {
			t.Errorf("followed by another: %t; %v", followed, err)
		}
		at, loadErr := log.Load(t.Context(), key)
		if loadErr != nil || at.Version != want || !followed && at.Sequence != got.Sequence || followed && at.Sequence <= got.Sequence || got.Sequence == 0 {
			t.Errorf("version %d at %d, returned %d (%v)", at.Version, at.Sequence, got.Sequence, loadErr)
		}
	}
}
