package web

import (
	"fmt"
	"strings"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
)

// told is what an event says, in a few words chosen field by field: the data
// itself is never shown.
func told(r domain.Record) string {
	if r.OfGrant() {
		e, err := grant.Kinds.Decode(r.Type, r.Data)
		if err != nil {
			return "this node cannot read the event"
		}
		return toldOfGrant(e)
	}
	e, err := link.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return "this node cannot read the event"
	}
	return toldOfLink(e)
}

func toldOfLink(e link.Event) string {
	switch e := e.(type) {
	case link.Created:
		return "as " + e.Name
	case link.Updated:
		return "configuration of " + e.Name
	case link.ClientSecretReplaced:
		return fmt.Sprintf("client secret %d counts from now on", e.Generation)
	case link.Degraded:
		return words(string(e.Reason), e.ProviderCode)
	case link.Disabled:
		return e.Reason
	case link.Enabled:
		return e.Reason
	case link.Deleted:
		return e.Reason
	}
	return ""
}

func toldOfGrant(e grant.Event) string {
	switch e := e.(type) {
	case grant.AuthorizationBegun:
		return "a person was sent to the provider"
	case grant.AuthorizationFailed:
		return words(string(e.Reason), e.ProviderCode)
	case grant.TokenIssued:
		text := fmt.Sprintf("by %s, generation %d, for %s", e.Cause, e.Generation, span(e.ExpiresAt.Sub(e.ReceivedAt)))
		if e.Rotated {
			text += ", new refresh token"
		}
		return text
	case grant.TokenRequested:
		return "without a person, by " + string(e.GrantType)
	case grant.RefreshRequested:
		return e.Reason
	case grant.RefreshStarted:
		return "by node " + e.Node
	case grant.RefreshDeferred:
		return words(string(e.Reason), e.ProviderCode)
	case grant.RefreshUnreadable:
		return e.Problem
	case grant.ReauthorizationRequired:
		return words(string(e.Reason), e.ProviderCode)
	case grant.Suspended:
		return e.Reason
	case grant.Resumed:
		return e.Reason
	case grant.Revoked:
		return e.Reason
	case grant.Erased:
		if e.RevokedAtProvider {
			return "the provider confirmed"
		}
		return e.Problem
	}
	return ""
}

func words(reason, code string) string {
	reason = strings.ReplaceAll(reason, "_", " ")
	if code != "" {
		return reason + " (" + code + ")"
	}
	return reason
}
