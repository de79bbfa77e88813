package webhook_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlink/domain"
	"outlink/internal/natsd"
	"outlink/internal/webhook"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiver checks every message as a stranger's library does, and answers with
// the statuses in turn, then with 204.
func receiver(t *testing.T, statuses ...int) (string, chan string) {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := hook.Verify(body, r.Header); err != nil {
			t.Errorf("the signature does not hold: %v", err)
		}
		status := http.StatusNoContent
		if len(statuses) > 0 {
			status, statuses = statuses[0], statuses[1:]
		}
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(status)
		got <- r.Header.Get("Webhook-Id") + " " + string(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func TestSend(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		ok     bool
		gone   bool
	}{
		"taken": {200, true, false}, "taken, no content": {204, true, false}, "gone": {410, false, true},
		"refused": {400, false, false}, "broken": {500, false, false}, "elsewhere": {307, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			url, got := receiver(t, tt.status)
			s, err := webhook.New(url, domain.NewSecret(secret))
			if err != nil {
				t.Fatal(err)
			}
			err = s.Send(t.Context(), "id-1", "outlink.link_degraded", time.Unix(0, 0), []byte(`{"link_name":"crm"}`))
			if (err == nil) != tt.ok || errors.Is(err, webhook.ErrGone) != tt.gone {
				t.Errorf("status %d: %v", tt.status, err)
			}
			if want := `id-1 {"type":"outlink.link_degraded","timestamp":"1970-01-01T00:00:00Z","data":{"link_name":"crm"}}`; <-got != want || len(got) != 0 {
				t.Errorf("not one message %s", want)
			}
		})
	}
}

// What cannot work is refused at the start, without showing the secret.
func TestNew(t *testing.T) {
	for url, secret := range map[string]string{
		"http://example.com/hook": secret, "ftp://example.com": secret, "https://me@example.com/": secret, "hook": secret,
		"https://example.com/hook": "canary!",
	} {
		if _, err := webhook.New(url, domain.NewSecret(secret)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A delivery that fails comes again by itself; one that fails to the end, or
// that the receiver wants no more, is set aside with its reason.
func TestDelivery(t *testing.T) {
	for name, tt := range map[string]struct {
		statuses []int
		sent     int
		dead     string
	}{
		"taken at once":       {nil, 1, ""},
		"taken in the end":    {[]int{500, 503}, 3, ""},
		"never taken":         {[]int{500, 500, 500, 500}, 3, "status 500"},
		"the receiver is off": {[]int{410}, 1, "410 Gone"},
	} {
		t.Run(name, func(t *testing.T) {
			js := stream(t)
			url, got := receiver(t, tt.statuses...)
			sender, err := webhook.New(url, domain.NewSecret(secret))
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				d := webhook.Delivery{JS: js, Stream: "N", Consumer: "webhook", Dead: "dead.notice", Sender: sender, Log: slog.New(slog.DiscardHandler)}
				if err := d.Run(t.Context()); err != nil {
					t.Errorf("the delivery ended: %v", err)
				}
			}()
			if _, err := js.Publish(t.Context(), "notice.x", []byte(`{"id":"7","kind":"link_degraded","at":"2026-11-23T12:00:00Z"}`)); err != nil {
				t.Fatal(err)
			}
			for range tt.sent {
				if m := <-got; !strings.HasPrefix(m, "7 ") {
					t.Errorf("sent %s", m)
				}
			}
			if tt.dead == "" {
				return
			}
			m := setAside(t, js)
			if reason := m.Headers().Get("Outlink-Dead-Reason"); !strings.Contains(reason, tt.dead) || len(got) != 0 {
				t.Errorf("set aside with %q, %d more were sent", reason, len(got))
			}
		})
	}
}

// setAside is the first message that was set aside.
func setAside(t *testing.T, js jetstream.JetStream) jetstream.Msg {
	t.Helper()
	dead, err := js.OrderedConsumer(t.Context(), "D", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := dead.Next(jetstream.FetchMaxWait(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A notice that cannot be read is set aside, and the next one is delivered.
func TestUnreadableNotice(t *testing.T) {
	js := stream(t)
	url, got := receiver(t)
	sender, err := webhook.New(url, domain.NewSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"nonsense", `{"id":"8","kind":"link_degraded"}`} {
		if _, err := js.Publish(t.Context(), "notice.x", []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		d := webhook.Delivery{JS: js, Stream: "N", Consumer: "webhook", Dead: "dead.notice", Sender: sender, Log: slog.New(slog.DiscardHandler)}
		if err := d.Run(t.Context()); err != nil {
			t.Errorf("the delivery ended: %v", err)
		}
	}()
	if m := <-got; !strings.HasPrefix(m, "8 ") {
		t.Errorf("sent %s", m)
	}
	m := setAside(t, js)
	if h := m.Headers(); h.Get("Outlink-Dead-Subject") != "notice.x" || h.Get("Outlink-Dead-Sequence") != "1" || !strings.Contains(h.Get("Outlink-Dead-Reason"), "not readable") {
		t.Errorf("set aside with %v", h)
	}
}

// A receiver that takes longer than the first pause is sent each notice once, also
// those that wait behind the first.
func TestSlowReceiver(t *testing.T) {
	js := stream(t)
	var mu sync.Mutex
	got := map[string]int{}
	all := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(350 * time.Millisecond) // more than three times the first pause
		mu.Lock()
		got[r.Header.Get("Webhook-Id")]++
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
		all <- struct{}{}
	}))
	t.Cleanup(s.Close)
	sender, err := webhook.New(s.URL, domain.NewSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	for id := range 4 {
		if _, err := js.Publish(t.Context(), "notice.x", fmt.Appendf(nil, `{"id":"%d","kind":"link_degraded"}`, id)); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		d := webhook.Delivery{JS: js, Stream: "N", Consumer: "webhook", Dead: "dead.notice", Sender: sender, Log: slog.New(slog.DiscardHandler)}
		_ = d.Run(t.Context())
	}()
	for range 4 {
		<-all
	}
	select {
	case <-all:
		t.Error("a notice was sent twice")
	case <-time.After(time.Second): // as long as all of the pauses together
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) != 4 {
		t.Errorf("sent: %v", got)
	}
}

// stream is a server with the streams of a delivery, three quick tries.
func stream(t *testing.T) jetstream.JetStream {
	t.Helper()
	server, err := natsd.Start(t.TempDir(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{"N": "notice.>", "D": "dead.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(t.Context(), "N", jetstream.ConsumerConfig{
		Durable: "webhook", AckPolicy: jetstream.AckExplicitPolicy, BackOff: []time.Duration{100 * time.Millisecond, 100 * time.Millisecond}, MaxDeliver: 3,
	}); err != nil {
		t.Fatal(err)
	}
	return js
}
