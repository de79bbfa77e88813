package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/domain/advice"
)

// Notice is something that a person should know, in words that hold no secret.
type Notice struct {
	Position     uint64        `json:"-"`    // in the stream of notices: begin after it next time
	ID           uuid.UUID     `json:"id"`   // the same for a repeat
	Kind         string        `json:"kind"` // such as "reauthorization_required", "link_degraded"
	Link         uuid.UUID     `json:"link_id"`
	LinkName     string        `json:"link_name"`
	Grant        uuid.UUID     `json:"grant_id,omitzero"` // absent when the notice is about the link, or about many grants
	Subject      string        `json:"subject,omitempty"`
	Count        int           `json:"count,omitempty"` // of grants, when one notice speaks for many
	Reason       string        `json:"reason,omitempty"`
	ProviderCode string        `json:"provider_code,omitempty"`
	EndsAt       time.Time     `json:"ends_at,omitzero"` // of a consent
	Advice       advice.Advice `json:"advice"`
	At           time.Time     `json:"at"`
	Sequence     uint64        `json:"sequence"` // of the event that it is about, in the log
}

// Notices delivers the notices after a position, 0 for all that are kept (30
// days), and goes on with new ones as [Client.Subscribe] does.
func (c Client) Notices(ctx context.Context, from uint64, handle func(context.Context, Notice) error) error {
	return c.follow(ctx, "NOTICES", jetstream.OrderedConsumerConfig{}, from, func(m jetstream.Msg, position uint64) error {
		n := Notice{Position: position}
		if err := json.Unmarshal(m.Data(), &n); err != nil {
			return fmt.Errorf("decode notice %d: %w", position, err)
		}
		return handle(ctx, n)
	})
}
