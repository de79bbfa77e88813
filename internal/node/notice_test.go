package node_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/notice"
	"outlink/internal/node"
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
		if _, err := i.node.Commands.DegradeLink(t.Context(), id, commands.Header{CommandID: uuid.New()}, commands.Refusal{ConfigVersion: 1, Class: "client_rejected", Code: "invalid_client"}); err != nil {
			t.Fatal(err)
		}
	}
	var message struct {
		Type string
		Data notice.Notice
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

// A projection that has stopped is told of: an event that this version cannot
// fold is in the log.
func TestStoppedProjectionIsTold(t *testing.T) {
	i := start(t)
	id := i.createLink(newOP(t, 3600), "crm")
	to, err := i.node.Feed.Restorer(t.Context())
	if err == nil {
		_, err = to.Append(t.Context(), domain.Record{
			ID: uuid.New(), Type: "outlink.link.painted.v1", Time: time.Now(), Actor: "test", Link: id, Version: 2, Data: json.RawMessage(`{"colour":"hush"}`),
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(i.nc)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	consumer, err := js.OrderedConsumer(t.Context(), "OUTLINK_NOTICES", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for len(told) < 2 {
		m, err := consumer.Next(jetstream.FetchMaxWait(20 * time.Second))
		if err != nil {
			t.Fatal("nothing is told: ", err)
		}
		var n notice.Notice
		if err := json.Unmarshal(m.Data(), &n); err != nil || n.Kind != notice.ProjectionStopped || !strings.Contains(n.Reason, "unknown event type") || strings.Contains(n.Reason, "hush") {
			t.Errorf("told %s, %v", m.Data(), err)
		}
		told[n.Projection] = true
	}
}
