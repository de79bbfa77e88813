package answer_test

import (
	"testing"

	"outlink/domain/answer"
)

func TestClassify(t *testing.T) {
	hubspot := map[string]answer.Class{"BAD_REFRESH_TOKEN": answer.GrantInvalid}
	zoho := map[string]answer.Class{"access_denied": answer.RateLimited, "invalid_code": answer.GrantInvalid}
	atlassian := map[string]answer.Class{"access_denied": answer.ClientRejected}

	for _, tt := range []struct {
		status    int
		code      string
		overrides map[string]answer.Class
		want      answer.Class
	}{
		// dead or stale refresh token
		{400, "invalid_grant", nil, answer.GrantInvalid},
		{401, "invalid_grant", nil, answer.GrantInvalid},
		{403, "invalid_grant", nil, answer.GrantInvalid},
		{200, "bad_refresh_token", nil, answer.GrantInvalid},
		{400, "bad_refresh_token", nil, answer.GrantInvalid},
		{200, "invalid_refresh_token", nil, answer.GrantInvalid},
		{400, "BAD_REFRESH_TOKEN", hubspot, answer.GrantInvalid},
		{200, "invalid_code", zoho, answer.GrantInvalid},
		// the client's credentials or registration
		{401, "invalid_client", nil, answer.ClientRejected},
		{400, "invalid_client", nil, answer.ClientRejected},
		{200, "incorrect_client_credentials", nil, answer.ClientRejected},
		{200, "bad_client_secret", nil, answer.ClientRejected},
		{401, "", nil, answer.ClientRejected},
		{400, "unauthorized_client", nil, answer.ClientRejected},
		{400, "unsupported_grant_type", nil, answer.ClientRejected},
		{401, "deleted_client", nil, answer.ClientDeleted},
		// the link's configuration
		{400, "invalid_scope", nil, answer.ScopeRejected},
		{400, "invalid_request", nil, answer.ConfigError},
		{400, "invalid_target", nil, answer.ConfigError},
		{400, "use_dpop_nonce", nil, answer.ConfigError},
		{301, "", nil, answer.ConfigError},
		{307, "invalid_grant", nil, answer.ConfigError},
		{404, "", nil, answer.ConfigError},
		{405, "", nil, answer.ConfigError},
		// the resource owner is needed
		{400, "interaction_required", nil, answer.InteractionRequired},
		{400, "consent_required", nil, answer.InteractionRequired},
		{400, "login_required", nil, answer.InteractionRequired},
		// refused, and what that means is the provider's secret
		{400, "access_denied", nil, answer.AccessDenied},
		{400, "access_denied", zoho, answer.RateLimited},
		{401, "access_denied", atlassian, answer.ClientRejected},
		{400, "something_new", nil, answer.AccessDenied},
		{200, "something_new", nil, answer.AccessDenied},
		// later
		{400, "slow_down", nil, answer.RateLimited},
		{429, "slow_down", nil, answer.RateLimited},
		{429, "", nil, answer.Ambiguous},
		{429, "something_new", nil, answer.Ambiguous},
		{429, "temporarily_unavailable", nil, answer.RateLimited},
		{429, "invalid_grant", nil, answer.RateLimited},
		{400, "temporarily_unavailable", nil, answer.Transient},
		{503, "temporarily_unavailable", nil, answer.Transient},
		// nobody knows what happened
		{500, "", nil, answer.Ambiguous},
		{500, "invalid_grant", nil, answer.Ambiguous},
		{500, "temporarily_unavailable", nil, answer.Ambiguous},
		{502, "", nil, answer.Ambiguous},
		{503, "", nil, answer.Ambiguous},
		{504, "", nil, answer.Ambiguous},
		{408, "", nil, answer.Ambiguous},
		{400, "server_error", nil, answer.Ambiguous},
		{400, "", nil, answer.Ambiguous},
		{403, "", nil, answer.Ambiguous},
		{0, "", nil, answer.Ambiguous},
		{100, "", nil, answer.Ambiguous},
		// success that is none
		{200, "", nil, answer.Unreadable},
		{204, "", nil, answer.Unreadable},
	} {
		if got := answer.Classify(tt.status, tt.code, tt.overrides); got != tt.want {
			t.Errorf("Classify(%d, %q, %v) = %s, want %s", tt.status, tt.code, tt.overrides, got, tt.want)
		}
	}
}

// Only a code that the provider sent may cost a person's consent.
func TestClassifyNeverAsksForConsentWithoutACode(t *testing.T) {
	for status := range 600 {
		switch got := answer.Classify(status, "", map[string]answer.Class{"": answer.GrantInvalid}); got {
		case answer.GrantInvalid, answer.InteractionRequired, answer.Issued:
			t.Errorf("Classify(%d, no code) = %s", status, got)
		}
	}
}

func TestKnownCode(t *testing.T) {
	for code, want := range map[string]string{
		"invalid_grant": "invalid_grant", "": "", "Bearer abc": "", "INVALID_GRANT": "",
	} {
		if got := answer.KnownCode(code); got != want {
			t.Errorf("KnownCode(%q) = %q, want %q", code, got, want)
		}
	}
}
