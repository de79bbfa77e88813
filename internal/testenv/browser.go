package testenv

import "outlink/internal/demoprovider"

// NewBrowser makes a browser that consents to everything, at the demo provider,
// at zitadel's example provider and at oidc-provider's development pages.
func NewBrowser() *demoprovider.Browser {
	return &demoprovider.Browser{
		Fields: []string{"decision", "username", "prompt", "user_code"},
		Fill: map[string]string{
			"username": "test-user@localhost", // of [Zitadel]
			"login":    "test-user",           // of [OIDCProvider], which takes any
			"password": "verysecure",
		},
	}
}
