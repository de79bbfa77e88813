package node_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/grant"
)

// thumbprint is that of the key by which a proof is signed.
func thumbprint(t *testing.T, proof string) string {
	t.Helper()
	signed, err := jwt.ParseSigned(proof, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	if err := signed.Claims(signed.Headers[0].JSONWebKey, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	return of(t, signed.Headers[0].JSONWebKey.Key)
}

func of(t *testing.T, public any) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// A grant's DPoP key signs all its proofs, shows nowhere, and ends with the grant:
// an authorization after that has another one.
func TestDPoPKeyShowsNowhere(t *testing.T) {
	i, o := start(t), newOP(t, 4)
	stop := i.overNATS()
	id := i.createLinkWith(o, "crm", func(d *commands.Draft) { d.DPoP = true })
	key := domain.Key{Link: id, Grant: grant.ID(id, "default")}
	authorize := func() {
		t.Helper()
		begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: id})
		jar, _ := cookiejar.New(nil)
		if status, page := browse(t, jar, begun.AuthorizationURL); status != http.StatusOK {
			t.Fatalf("the callback answered %d: %s", status, page)
		}
	}
	authorize()
	i.eventually("renewed", issued(3))
	token, err := i.c.BoundToken(i.ctx(), id, "", client.Proof{Method: "GET", URL: "https://api.example/me?secret=1"})
	if err != nil || token.TokenType != "DPoP" {
		t.Fatalf("%s, %v", token.TokenType, err)
	}
	if plain, err := i.c.Token(i.ctx(), id, "", 0); err != nil || plain.DPoPProof != "" {
		t.Errorf("a proof that nobody asked for: %v", err)
	}
	seed, err := i.node.Commands.DPoPKey(i.ctx(), key)
	if err != nil {
		t.Fatal(err)
	}
	private := sha256.Sum256([]byte(seed.Reveal()))
	signer, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), private[:])
	if err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	proofs := append([]string{token.DPoPProof}, o.proofs...)
	o.mu.Unlock()
	for _, proof := range proofs {
		if thumbprint(t, proof) != of(t, signer.Public()) {
			t.Error("a proof by another key: the test looks for the wrong one")
		}
	}
	i.do("RevokeGrant", commands.RevokeGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: id}})
	i.eventually("erased", func(r domain.Record) bool { return r.Type == "outlink.grant.erased.v1" })
	authorize()
	o.mu.Lock()
	next := o.proofs[len(o.proofs)-1]
	secrets := append([]string{seed.Reveal(), string(private[:])}, o.secrets...)
	o.mu.Unlock()
	if len(proofs) < 4 || thumbprint(t, next) == thumbprint(t, proofs[0]) {
		t.Errorf("after %d proofs and the erasure the key is the same", len(proofs))
	}
	traffic := stop() // it has access tokens for their reader, and no key
	for _, s := range secrets[:2] {
		if form := holds(traffic, s); form != "" || len(traffic) < 1000 {
			t.Errorf("%d bytes over NATS hold the key as %s", len(traffic), form)
		}
	}
	i.noSecret(secrets, nil)
}
