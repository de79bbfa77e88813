package storetest

import (
	"time"

	"github.com/google/uuid"

	"outlink/domain/grant"
	"outlink/domain/link"
)

// created is a link's first event.
func created(name, provider string) link.Created {
	return link.Created{
		Config: link.Config{Name: name, Provider: provider, ClientID: "client", Scopes: []string{"read"}, AuthStyle: link.Basic},
		At:     Noon,
	}
}

// begun opens an authorization that dies after ten minutes.
func begun(subject string) grant.AuthorizationBegun {
	return grant.AuthorizationBegun{
		Authorization: numbered("authorization", 1), Subject: subject, ConfigVersion: 1, ExpiresAt: Noon.Add(10 * time.Minute), At: Noon,
	}
}

// issued brings a refreshable credential whose access token ends so long after
// noon, and is to be renewed five minutes before.
func issued(subject string, generation uint64, ends time.Duration) grant.TokenIssued {
	return grant.TokenIssued{
		Exchange: numbered("authorization", generation), Subject: subject, Cause: grant.ByAuthorization, Generation: generation,
		TokenType: "Bearer", Scopes: []string{"read"}, ReceivedAt: Noon, ExpiresAt: Noon.Add(ends), RefreshAt: Noon.Add(ends - 5*time.Minute),
		Refreshable: true,
	}
}

// started opens an attempt with a lease of a minute.
func started(n uint64) grant.RefreshStarted {
	return grant.RefreshStarted{Attempt: numbered("attempt", n), Generation: n, Node: "node", LeaseSeconds: 60, At: Noon.Add(30 * time.Minute)}
}

// deferred ends that attempt without a token.
func deferred(n uint64, why grant.DeferReason) grant.RefreshDeferred {
	return grant.RefreshDeferred{Attempt: numbered("attempt", n), Reason: why, RetryAt: Noon.Add(40 * time.Minute), At: Noon.Add(31 * time.Minute)}
}

func numbered(what string, n uint64) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, append([]byte(what), byte(n)))
}
