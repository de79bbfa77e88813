package dpop_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"outlink/domain"
	"outlink/internal/dpop"
)

// A proof says what RFC 9449 section 4.2 wants, is signed by the key in its own
// header, and that header has no private part.
func TestProof(t *testing.T) {
	k, now := dpop.NewKey(domain.NewSecret("seed")), time.Unix(1_800_000_000, 0)
	proof, err := k.Proof(dpop.Request{Method: "POST", URL: "https://api.example/v1/x%2Fy?q=1#f", Nonce: "n-1", Token: domain.NewSecret("the token")}, now)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := jwt.ParseSigned(proof, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	h := signed.Headers[0]
	if h.ExtraHeaders["typ"] != "dpop+jwt" || h.JSONWebKey == nil || !h.JSONWebKey.IsPublic() {
		t.Fatalf("header %+v", h)
	}
	var got map[string]any
	if err := signed.Claims(h.JSONWebKey, &got); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("the token"))
	want := map[string]any{
		"jti": got["jti"], "htm": "POST", "htu": "https://api.example/v1/x%2Fy", "iat": 1.8e9, "nonce": "n-1",
		"ath": base64.RawURLEncoding.EncodeToString(sum[:]),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || len(fmt.Sprint(got["jti"])) < 16 {
		t.Errorf("claims %v\nwant   %v", got, want)
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(proof, ".")[0])
	if err != nil || strings.Contains(string(raw), `"d"`) {
		t.Errorf("%v: the header is %s", err, raw)
	}
	if sum, _ := h.JSONWebKey.Thumbprint(crypto.SHA256); base64.RawURLEncoding.EncodeToString(sum) != k.Thumbprint() {
		t.Errorf("the thumbprint is %s", k.Thumbprint())
	}
}

// Without token and nonce there is no claim of theirs, and no two proofs are one.
func TestProofsDiffer(t *testing.T) {
	k := dpop.NewKey(domain.NewSecret("seed"))
	r := dpop.Request{Method: "POST", URL: "https://op.example/token"}
	one, _ := k.Proof(r, time.Now())
	two, _ := k.Proof(r, time.Now())
	if one == two {
		t.Error("a proof came twice")
	}
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(one, ".")[1])
	if err != nil || strings.Contains(string(body), "nonce") || strings.Contains(string(body), "ath") {
		t.Errorf("%v: %s", err, body)
	}
}

// A seed has one key, and no way of printing shows it.
func TestKey(t *testing.T) {
	k := dpop.NewKey(domain.NewSecret("seed"))
	if k.Thumbprint() != dpop.NewKey(domain.NewSecret("seed")).Thumbprint() || k.Thumbprint() == dpop.NewKey(domain.NewSecret("other")).Thumbprint() {
		t.Error("a seed and its key are not one to one")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, k); got != domain.Redacted {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func TestNonces(t *testing.T) {
	at := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	var n dpop.Nonces
	n.Put(at("https://a.example/token"), "one")
	n.Put(at("https://a.example/token"), "")
	for raw, want := range map[string]string{"https://a.example/other": "one", "https://a.example:444/token": "", "http://a.example/": "", "https://b.example/": ""} {
		if got := n.Get(at(raw)); got != want {
			t.Errorf("nonce of %s is %q, want %q", raw, got, want)
		}
	}
	for i := range 3000 {
		n.Put(at(fmt.Sprintf("https://%d.example", i)), "x")
	}
	if n.Get(at("https://2999.example")) != "x" {
		t.Error("the newest is forgotten")
	}
}
