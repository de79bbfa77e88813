package natsconfig_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/commands/client"
	"outlink/domain"
	"outlink/internal/microapi"
	"outlink/internal/natsconfig"
	"outlink/internal/node"
)

// The replies to a reader whose key an operator registered are sealed to it: the
// reader opens them, whoever has another key, or none, does not.
func TestSealedReplies(t *testing.T) {
	l := lock(t, natsconfig.Installation.NKeys)
	l.migrate()
	id := uuid.New()
	l.admit(map[string][]string{"billing": {id.String()}})
	l.run(natsconfig.RoleNode, node.Roles()...)
	l.create(client.New(l.connect("crm").Conn, string(namespace)), "crm", id)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	billing := client.New(l.connect("billing").Conn, string(namespace))
	if _, err := billing.Token(ctx, id, "", 0); err != nil {
		t.Fatal(err)
	}
	pair, seed := curve(t)
	l.register(ctx, "billing", pair)
	raw := l.untilSealed(ctx, billing, id)

	own := reading(t, billing, seed)
	token, err := own.Token(ctx, id, "", 0)
	if err != nil || !strings.HasPrefix(token.AccessToken, "a-") || strings.Contains(raw, token.AccessToken) {
		t.Errorf("the reader got generation %d, %v", token.Generation, err)
	}
	again, err := own.TokenSource(ctx, id, "").Token()
	if err != nil || !strings.HasPrefix(again.AccessToken, "a-") {
		t.Errorf("from the source: %v", err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer a-") {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer api.Close()
	res, err := own.HTTPClient(id, "").Get(api.URL)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("over HTTPClient: %v", err)
	}
	_ = res.Body.Close()
	_, another := curve(t)
	for what, c := range map[string]client.Client{"another key": reading(t, billing, another), "no key": billing} {
		if token, err := c.Token(ctx, id, "", 0); domain.CodeOf(err) != domain.FailedPrecondition || token.AccessToken != "" {
			t.Errorf("with %s: %v", what, err)
		}
		if _, err := c.TokenSource(ctx, id, "").Token(); domain.CodeOf(err) != domain.FailedPrecondition {
			t.Errorf("from the source with %s: %v", what, err)
		}
	}
	if _, err := billing.WithReaderSeed(domain.NewSecret("SUACANARY")); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("a user's seed: %v", err)
	}
}

func curve(t *testing.T) (public string, seed domain.Secret) {
	t.Helper()
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, err = pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return public, domain.NewSecret(string(b))
}

func reading(t *testing.T, c client.Client, seed domain.Secret) client.Client {
	t.Helper()
	c, err := c.WithReaderSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// register registers a reader's key as an operator, with an operator's permissions.
func (l *locked) register(ctx context.Context, name, public string) {
	l.t.Helper()
	js, err := jetstream.New(l.connect("alice").Conn)
	if err != nil {
		l.t.Fatal(err)
	}
	kv, err := js.KeyValue(ctx, namespace.Readers())
	if err != nil {
		l.t.Fatal(err)
	}
	r := microapi.Registrations{KV: kv}
	if _, err := r.Register(ctx, name, public, false); err != nil {
		l.t.Fatal(err)
	}
	if _, err := r.Register(ctx, "other", public, false); err != nil {
		l.t.Fatal(err)
	}
	if err := r.Remove(ctx, "other"); err != nil {
		l.t.Fatal(err)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 1 || all[0].Name != name {
		l.t.Errorf("listed %+v, %v", all, err)
	}
}

// untilSealed asks until the node has heard of the registration, and returns the
// bytes of the reply.
func (l *locked) untilSealed(ctx context.Context, c client.Client, id uuid.UUID) string {
	l.t.Helper()
	for {
		reply, err := c.NC.RequestWithContext(ctx, namespace.Token(id.String()), []byte("{}"))
		if err != nil {
			l.t.Fatal(err)
		}
		if body := string(reply.Data); !strings.Contains(body, "access_token") {
			return body
		}
	}
}
