package answer

// codes gives every error code that Outlink knows its meaning. It is also the
// allow-list of what may be logged: any other code is a stranger's text.
//
// The codes are those of RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 8707,
// RFC 9449 and OpenID Connect Core section 3.1.2.6, and those that providers
// made up and that mean one thing wherever they occur. What means different
// things at different providers belongs into the catalogue.
var codes = map[string]Class{
	"invalid_grant":         GrantInvalid,
	"bad_refresh_token":     GrantInvalid, // GitHub, with status 200
	"invalid_refresh_token": GrantInvalid, // Slack
	"expired_token":         GrantInvalid, // a device code

	"interaction_required":       InteractionRequired,
	"consent_required":           InteractionRequired,
	"login_required":             InteractionRequired,
	"account_selection_required": InteractionRequired,

	"invalid_client":               ClientRejected,
	"incorrect_client_credentials": ClientRejected, // GitHub
	"bad_client_secret":            ClientRejected, // Slack
	"unauthorized_client":          ClientRejected,
	"unsupported_grant_type":       ClientRejected,
	"deleted_client":               ClientDeleted, // Google

	"invalid_scope":             ScopeRejected,
	"invalid_request":           ConfigError,
	"invalid_target":            ConfigError,
	"unsupported_response_type": ConfigError,
	"redirect_uri_mismatch":     ConfigError, // GitHub, Google
	"use_dpop_nonce":            ConfigError, // without a proof; internal/oauth answers it where it sends one
	"invalid_dpop_proof":        ConfigError, // clocks that differ, or no proof where one is demanded

	"slow_down":               RateLimited,
	"authorization_pending":   Transient,
	"temporarily_unavailable": Transient,
	"server_error":            Ambiguous,
	"access_denied":           AccessDenied,
}

// KnownCode returns code if it is on the allow-list, else "".
func KnownCode(code string) string {
	if _, ok := codes[code]; ok {
		return code
	}
	return ""
}

// Classify says what a complete answer without a token means, by its HTTP status
// and the error code in its body ("" if it has none). A provider's overrides
// count before everything else, for they say what it means by a code.
//
// Without a code the status decides, and a doubtful status is Ambiguous: a
// refresh token may have been used up by a request that went wrong later.
// A class that costs a person's consent is never reached without a code.
func Classify(status int, code string, overrides map[string]Class) Class {
	if c, ok := overrides[code]; ok && code != "" {
		return c
	}
	switch {
	case status >= 300 && status < 400: // misconfigured, or an attack
		return ConfigError
	case status == 429 && codes[code] == "": // maybe of somebody in front, who knows nothing of what happened behind
		return Ambiguous
	case status == 429:
		return RateLimited
	case status == 503 && codes[code] == Transient: // the provider says so itself
		return Transient
	case status < 200, status == 408, status >= 500:
		return Ambiguous
	}
	if c, ok := codes[code]; ok {
		return c
	}
	if code != "" {
		return AccessDenied
	}
	return byStatus(status)
}

// byStatus judges an answer without an error code.
func byStatus(status int) Class {
	switch {
	case status < 300:
		return Unreadable
	case status == 401: // RFC 6749 section 5.2 knows one reason for it
		return ClientRejected
	case status == 404, status == 405, status == 410: // no token endpoint
		return ConfigError
	}
	return Ambiguous
}
