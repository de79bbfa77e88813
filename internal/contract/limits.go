package contract

import (
	"fmt"

	"outlink/commands"
	"outlink/domain/provider"
	"outlink/internal/queries"
	"outlink/internal/tokens"
	"outlink/projections"
)

// limits are what a schema says of the members that Outlink reads, beyond their
// types, by the path of the field.
var limits = map[string]schema{
	"outlink/commands.Header.Actor":               {"maxLength": commands.MaxLine},
	"outlink/commands.Header.Correlation":         {"maxLength": commands.MaxLine},
	"outlink/commands.Header.Reason":              {"maxLength": commands.MaxLine},
	"outlink/commands.Draft.Name":                 {"maxLength": provider.MaxName},
	"outlink/commands.UpdateOutgoingLink.Name":    {"maxLength": provider.MaxName},
	"outlink/commands.BeginAuthorization.Subject": {"maxLength": commands.MaxSubject},
	"outlink/commands.RecordTokenIssued.Subject":  {"maxLength": commands.MaxSubject},
	"outlink/commands.RequestToken.Subject":       {"maxLength": commands.MaxSubject},
	"outlink/commands.GrantRef.Subject":           {"maxLength": commands.MaxSubject},

	"outlink/internal/microapi.TokenRequest.Purpose": {"maxLength": tokens.MaxPurpose},

	"outlink/internal/queries.ListLinks.Limit":  {"minimum": 0, "maximum": projections.MaxPage},
	"outlink/internal/queries.ListGrants.Limit": {"minimum": 0, "maximum": projections.MaxPage},
	"outlink/internal/queries.ListEvents.Limit": {"minimum": 0, "maximum": projections.MaxPage},
}

// spans are limits that a schema has no words for: they are said of the member.
var spans = map[string]string{
	"outlink/internal/microapi.TokenRequest.MinTTL":  fmt.Sprintf("at most %gh", tokens.MaxMinTTL.Hours()),
	"outlink/internal/queries.Freshness.MinSequence": "it is waited for, " + queries.MaxWait.String() + " at most",
}
