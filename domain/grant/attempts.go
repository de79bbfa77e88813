package grant

import (
	"time"

	"github.com/google/uuid"
)

// Past is an event of a grant's history with its place in the log.
type Past struct {
	Sequence uint64
	At       time.Time
	Event    Event
}

// Try is one attempt to refresh as the log tells it.
type Try struct {
	Attempt      uuid.UUID `json:"attempt_id"`
	Sequence     uint64    `json:"sequence"` // of its lease
	Node         string    `json:"node"`
	Generation   uint64    `json:"generation"` // of the refresh token that was sent
	TakeoverOf   uuid.UUID `json:"takeover_of,omitzero"`
	StartedAt    time.Time `json:"started_at"`
	EndedAt      time.Time `json:"ended_at,omitzero"`
	Outcome      Outcome   `json:"outcome"`
	Reason       string    `json:"reason,omitempty"` // why it was deferred, or why a person is needed
	ProviderCode string    `json:"provider_code,omitempty"`
	HTTPStatus   int       `json:"http_status,omitempty"`
	Requests     int       `json:"requests,omitempty"`
	Unknown      int       `json:"unknown,omitempty"`
	Problem      string    `json:"problem,omitempty"`
	Late         bool      `json:"late,omitempty"` // its token came after somebody else had taken over
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes.
const (
	OutcomeOpen        Outcome = "open"
	OutcomeIssued      Outcome = "issued"
	OutcomeFallback    Outcome = "fallback" // its refresh token is kept beside a later one
	OutcomeDeferred    Outcome = "deferred"
	OutcomeUnreadable  Outcome = "unreadable"
	OutcomeReauthorize Outcome = "reauthorization_required"
	OutcomeTakenOver   Outcome = "taken_over" // and no answer of it has come so far
	OutcomeEnded       Outcome = "ended"      // by something else: a new authorization, a revocation
)

// Tries tells a history's attempts, oldest first.
func Tries(history []Past) []Try {
	var tries []Try
	index := map[uuid.UUID]int{}
	end := func(attempt uuid.UUID, p Past, outcome Outcome) *Try {
		i, ok := index[attempt]
		if !ok {
			return &Try{} // not of a refresh, or before this history
		}
		t := &tries[i]
		t.Late = t.Outcome == OutcomeTakenOver
		t.EndedAt, t.Outcome = p.At, outcome
		return t
	}
	endOpen := func(p Past, outcome Outcome) {
		if n := len(tries); n > 0 && tries[n-1].Outcome == OutcomeOpen {
			tries[n-1].EndedAt, tries[n-1].Outcome = p.At, outcome
		}
	}
	for _, p := range history {
		switch e := p.Event.(type) {
		case RefreshStarted:
			endOpen(p, OutcomeTakenOver)
			index[e.Attempt] = len(tries)
			tries = append(tries, Try{
				Attempt: e.Attempt, Sequence: p.Sequence, Node: e.Node, Generation: e.Generation,
				TakeoverOf: e.TakeoverOf, StartedAt: e.At, Outcome: OutcomeOpen,
			})
		case TokenIssued:
			end(e.Exchange, p, OutcomeIssued)
			endOpen(p, OutcomeEnded)
		case FallbackKept:
			end(e.Attempt, p, OutcomeFallback)
		case RefreshDeferred:
			t := end(e.Attempt, p, OutcomeDeferred)
			t.Reason, t.ProviderCode, t.HTTPStatus, t.Requests, t.Unknown = string(e.Reason), e.ProviderCode, e.HTTPStatus, e.Requests, e.Unknown
			t.Problem = e.Problem
		case RefreshUnreadable:
			t := end(e.Attempt, p, OutcomeUnreadable)
			t.Reason, t.HTTPStatus = e.Problem, e.HTTPStatus
		case ReauthorizationRequired:
			t := end(e.Attempt, p, OutcomeReauthorize)
			t.Reason, t.ProviderCode = string(e.Reason), e.ProviderCode
		case Revoked:
			endOpen(p, OutcomeEnded)
		}
	}
	return tries
}
