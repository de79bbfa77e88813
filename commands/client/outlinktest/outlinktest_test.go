package outlinktest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"outlink/commands/client/outlinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A link is authorized when it is handed out, also for a second subject, and two
// installations do not know of each other.
func TestLink(t *testing.T) {
	t.Parallel()
	o, other := outlinktest.Start(t), outlinktest.StartWith(t, outlinktest.Options{TokenLifetime: 2 * time.Minute})
	id := o.Link(t, "crm")
	o.Authorize(t, id, "anna")
	for _, subject := range []string{"", "anna"} {
		token, err := o.Client().Token(t.Context(), id, subject, 0)
		if err != nil || token.AccessToken == "" || time.Until(token.ExpiresAt) < 50*time.Minute {
			t.Errorf("subject %q: a token until %s, %v", subject, token.ExpiresAt, err)
		}
	}
	if _, err := other.Client().Token(t.Context(), id, "", 0); err == nil {
		t.Error("a token of another installation's link")
	}
	token, err := other.Client().Token(t.Context(), other.Link(t, "crm"), "", 0)
	if err != nil || time.Until(token.ExpiresAt) > 2*time.Minute {
		t.Errorf("a token until %s, %v", token.ExpiresAt, err)
	}
}
