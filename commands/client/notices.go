package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain/notice"
)

// Notice is something that a person should know, at its place in the stream of
// notices: begin after that next time.
type Notice struct {
	notice.Notice
	Position uint64 `json:"-"`
}

// Notices delivers the notices after a position, 0 for all that are kept (30
// days), and goes on with new ones as [Client.Subscribe] does.
func (c Client) Notices(ctx context.Context, from uint64, handle func(context.Context, Notice) error) error {
	if err := told(handle == nil); err != nil {
		return err
	}
	return c.follow(ctx, "NOTICES", jetstream.OrderedConsumerConfig{}, from, func(m jetstream.Msg, position uint64) error {
		n := Notice{Position: position}
		if err := json.Unmarshal(m.Data(), &n); err != nil {
			return fmt.Errorf("decode notice %d: %w", position, err)
		}
		return handle(ctx, n)
	})
}
