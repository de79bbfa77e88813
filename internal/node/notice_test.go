package node_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/node"
	"outlink/workers/notify"
)

// What a person should know reaches the operator's URL from a running node, once.
func TestNoticeReachesTheWebhook(t *testing.T) {
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	t.Cleanup(receiver.Close)
	i := startWith(t, func(c *node.Config) {
		c.WebhookURL, c.WebhookSecret = receiver.URL, domain.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	})
	id := i.createLink(newOP(t, 3600), "crm")
	for range 2 { // a repeat is no news
		if _, err := i.node.Commands.DegradeLink(t.Context(), id, commands.Header{CommandID: uuid.New()}, "client_rejected", "invalid_client", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var message struct {
		Type string
		Data notify.Notice
	}
	select {
	case body := <-got:
		if err := json.Unmarshal([]byte(body), &message); err != nil || message.Type != "outlink.link_degraded" || message.Data.LinkName != "crm" || message.Data.Advice.Fix == "" {
			t.Errorf("sent %s, %v", body, err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
	}
	i.stop()
	if len(got) != 0 {
		t.Errorf("%d more were sent", len(got))
	}
}
