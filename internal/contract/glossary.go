package contract

// glossary is what a member means wherever it occurs, by its name in JSON, so
// that no field has to repeat it. A field's own comment goes before it.
var glossary = map[string]string{
	// who and what
	"link_id":          "the link's id",
	"grant_id":         "the grant's id",
	"subject":          "whose account the grant is for; a link has one grant for each",
	"link":             "the link's id or name",
	"name":             "the link's name; no other living link may have it",
	"link_name":        "the link's name",
	"attempt_id":       "the attempt to refresh",
	"authorization_id": "the authorization",
	"takeover_of":      "the dead attempt that this one takes over from",
	"node":             "the node that did it",
	"purpose":          "what the reader says that the token is for",
	"actor":            "who does it, for the log; what the transport knows outweighs it",
	"correlation_id":   "ties together what belongs to one piece of work; the command's id if none is given",
	"reason":           "why, in a word or a person's line",

	// a link's configuration
	"provider":               "the provider's key in the catalogue, or custom",
	"client_id":              "the client's id at the provider",
	"client_secret":          "the client's secret; left out for a public client",
	"client_secret_set":      "whether there is a client secret",
	"scopes":                 "the scopes (RFC 6749 section 3.3)",
	"authorization_endpoint": "where a person's browser is sent (RFC 6749 section 3.1)",
	"token_endpoint":         "where tokens are asked for (RFC 6749 section 3.2)",
	"revocation_endpoint":    "where tokens are revoked (RFC 7009)",
	"issuer":                 "the authorization server's issuer identifier (RFC 9207)",
	"authorization_params":   "further parameters of the authorization request",
	"redirect_url":           "the link's redirect URL, to be registered at the provider",
	"config_version":         "the version of the link's configuration",
	"secret_generation":      "of the client secret in the vault",

	// tokens
	"access_token":             "the access token",
	"refresh_token":            "the refresh token",
	"token_type":               "how the token is used: mostly Bearer",
	"generation":               "grows by one with each token that the provider issues",
	"refreshable":              "whether there is a refresh token",
	"refresh_token_hash":       "the beginning of the refresh token's hash, to recognise it by",
	"expires_at":               "when it ends",
	"received_at":              "when it was asked for: lifetimes count from here",
	"refresh_token_expires_at": "when the refresh token ends",
	"ends_at":                  "when the consent ends",
	"next_expiry":              "when the first of its access tokens ends",

	// what went wrong
	"provider_code":       "the provider's error code",
	"http_status":         "of the provider's answer",
	"problem":             "what is the matter",
	"failures":            "attempts that failed since the last success",
	"retry_at":            "when it is tried again",
	"lease_seconds":       "how long nobody else may try",
	"revoked_at_provider": "whether the provider confirmed",
	"advice":              "why it is so, and what a person can do",
	"message":             "what was wrong, with what value, and what to do",
	"details":             "for programs",

	// when and in what order
	"at":         "when it happened",
	"created_at": "when it came into being",
	"updated_at": "when it last changed",
	"from":       "the beginning",
	"to":         "the end",
	"version":    "of the link or grant; give it as expected_version",
	"sequence":   "of the last event, in the log",

	// lists
	"after":       "where the page begins: next of the page before",
	"limit":       "how many at most",
	"next":        "what comes next",
	"links":       "the links",
	"grants":      "the grants",
	"providers":   "the providers",
	"projections": "the projections",
	"counts":      "how many of each",
	"total":       "how many in all",
	"reads":       "how often",
	"link_status": "the link's status",

	// an installation
	"namespace": "the first token of all its subjects",
	"curve_key": "public: what is sealed to it, only this installation reads",
	"commands":  "the commands that it takes",
	"queries":   "the queries that it answers",
}
