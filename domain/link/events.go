package link

import (
	"time"

	"outlink/domain"
)

// Event is something that happened to a link. Its kind is its name in the log,
// written once and never renamed; being unexported, it also closes the set.
type Event interface{ kind() string }

// Kinds is the set of a link's events.
var Kinds = domain.NewKinds("link", Event.kind,
	domain.As[Created, Event],
	domain.As[Updated, Event],
	domain.As[ClientSecretReplaced, Event],
	domain.As[Degraded, Event],
	domain.As[Recovered, Event],
	domain.As[Disabled, Event],
	domain.As[Enabled, Event],
	domain.As[Deleted, Event],
)

// StateVersion is the version of [State] as it travels beside each event. Raise
// it when State or Evolve changes: older messages are then folded again.
const StateVersion = 3

// Created brings a link into being.
type Created struct {
	Config
	SecretGeneration uint64    `json:"secret_generation"` // of the client secret in the vault; 0: none
	At               time.Time `json:"at"`
}

// Updated replaces the configuration.
type Updated struct {
	Config
	At time.Time `json:"at"`
}

// ClientSecretReplaced names the client secret that counts from now on.
type ClientSecretReplaced struct {
	Generation uint64    `json:"secret_generation"`
	At         time.Time `json:"at"`
}

// Degraded says that refreshing is paused or slowed for all grants.
type Degraded struct {
	Reason       Reason    `json:"reason"`
	ProviderCode string    `json:"provider_code,omitempty"` // the provider's error code, from an allow-list
	At           time.Time `json:"at"`
}

// Recovered ends what Degraded began.
type Recovered struct {
	At time.Time `json:"at"`
}

// Disabled takes a link out of service. Reason is the operator's.
type Disabled struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Enabled puts it back.
type Enabled struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Deleted ends a link; its grants are revoked and its keys shredded.
type Deleted struct {
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

func (Created) kind() string              { return "created" }
func (Updated) kind() string              { return "updated" }
func (ClientSecretReplaced) kind() string { return "client_secret_replaced" }
func (Degraded) kind() string             { return "degraded" }
func (Recovered) kind() string            { return "recovered" }
func (Disabled) kind() string             { return "disabled" }
func (Enabled) kind() string              { return "enabled" }
func (Deleted) kind() string              { return "deleted" }
