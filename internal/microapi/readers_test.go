package microapi_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"outlink/domain"
	"outlink/internal/microapi"
	"outlink/internal/testenv"
)

// registrations are in a bucket of their own.
func registrations(t *testing.T) microapi.Registrations {
	t.Helper()
	nc, err := nats.Connect(testenv.NATS(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "READERS"})
	if err != nil {
		t.Fatal(err)
	}
	return microapi.Registrations{KV: kv}
}

func publicKey(t *testing.T) string {
	t.Helper()
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// A node that has just started sends nothing in clear before it knows who is
// registered.
func TestNothingInClearBeforeReadersAreKnown(t *testing.T) {
	r := registrations(t)
	if _, err := r.Register(t.Context(), "billing", publicKey(t), false); err != nil {
		t.Fatal(err)
	}
	readers := microapi.NewReaders(r.KV, slog.New(slog.DiscardHandler))
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if reply, err := readers.Seal(soon, "billing", "token"); domain.CodeOf(err) != domain.Unavailable || readers.Clear("billing") {
		t.Errorf("answered %v, %v", reply, err)
	}
	if reply, err := readers.Seal(soon, "", "token"); err != nil || reply != "token" || !readers.Clear("") {
		t.Errorf("somebody without a name got %v, %v", reply, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = readers.Run(ctx); close(ended) }()
	defer func() { stop(); <-ended }()
	reply, err := readers.Seal(t.Context(), "billing", "token")
	if sealed, ok := reply.(domain.Sealed); err != nil || !ok || len(sealed.Ciphertext) == 0 {
		t.Errorf("answered %v, %v", reply, err)
	}
	if reply, err := readers.Seal(t.Context(), "support", "token"); err != nil || reply != "token" || !readers.Clear("support") {
		t.Errorf("who is not registered got %v, %v", reply, err)
	}
}

func TestRegistrations(t *testing.T) {
	r, ctx := registrations(t), t.Context()
	first, second := publicKey(t), publicKey(t)
	for name, key := range map[string]string{"a.b": first, "": first, "a*": first, "billing": "XNOKEY", "support": "SXAKEY"} {
		if _, err := r.Register(ctx, name, key, false); domain.CodeOf(err) != domain.InvalidArgument {
			t.Errorf("%q with %q: %v", name, key, err)
		}
	}
	for _, step := range []struct {
		key     string
		replace bool
		want    domain.Code
	}{{first, false, ""}, {first, false, ""}, {second, false, domain.AlreadyExists}, {second, true, ""}} {
		got, err := r.Register(ctx, "billing", step.key, step.replace)
		if err != nil && domain.CodeOf(err) != step.want || err == nil && (step.want != "" || got.CurveKey != step.key || got.Fingerprint != microapi.Fingerprint(step.key)) {
			t.Errorf("%+v: %+v, %v", step, got, err)
		}
	}
	if _, err := r.Register(ctx, "accounting", first, false); err != nil {
		t.Fatal(err)
	}
	if all, err := r.List(ctx); err != nil || len(all) != 2 || all[0].Name != "accounting" || all[1].CurveKey != second {
		t.Errorf("listed %+v, %v", all, err)
	}
	if err := r.Remove(ctx, "billing"); err != nil {
		t.Error(err)
	}
	if err := r.Remove(ctx, "billing"); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := r.Register(ctx, "billing", first, false); err != nil {
		t.Errorf("registered anew: %v", err)
	}
}
