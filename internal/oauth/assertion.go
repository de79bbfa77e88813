package oauth

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// assertionLife is how long an assertion counts: for one request, and clocks
// that differ a little.
const assertionLife = 2 * time.Minute

// clientAssertion proves the client by its key (RFC 7523 section 3). The issuer
// is the audience where the link knows it: one that names the token endpoint
// alone could be had from a client that was given a wrong one.
func clientAssertion(r provider.Registration, now time.Time) (string, error) {
	return sign(r.ClientSecret, jwt.Claims{
		Issuer: r.ClientID, Subject: r.ClientID, Audience: jwt.Audience{cmp.Or(r.Issuer, r.TokenEndpoint)},
		ID: uuid.NewString(), IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	})
}

// scopeClaim is where Google has the scopes of a request.
type scopeClaim struct {
	Scope string `json:"scope"`
}

// grantAssertion is the grant itself: the client says for whom it wants a token
// (RFC 7523 section 2.1).
func grantAssertion(r provider.Registration, now time.Time) (string, error) {
	issuer := cmp.Or(r.Assertion.Issuer, r.ClientID)
	claims := []any{jwt.Claims{
		Issuer: issuer, Subject: assertedSubject(r, issuer), Audience: jwt.Audience{cmp.Or(r.Assertion.Audience, r.Issuer, r.TokenEndpoint)},
		ID: uuid.NewString(), IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}}
	if r.Assertion.Scopes == link.InAssertion && len(r.Scopes) > 0 {
		claims = append(claims, scopeClaim{strings.Join(r.Scopes, cmp.Or(r.Provider.ScopeSeparator, " "))})
	}
	return sign(r.ClientSecret, claims...)
}

func assertedSubject(r provider.Registration, issuer string) string {
	switch {
	case r.Assertion.Subject != "":
		return r.Assertion.Subject
	case r.Subject != grant.DefaultSubject && r.Subject != "":
		return r.Subject
	case r.Assertion.NoSubject:
		return ""
	}
	return issuer
}

func sign(secret domain.Secret, claims ...any) (string, error) {
	key, err := readSigningKey(secret)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", errNoSigningKey
	}
	b := jwt.Signed(signer)
	for _, c := range claims {
		b = b.Claims(c)
	}
	signed, err := b.Serialize()
	if err != nil {
		return "", errNoSigningKey
	}
	return signed, nil
}

// errNoSigningKey quotes nothing: what it is about is a secret.
var errNoSigningKey = errors.New("the client secret is no private key in JWK or PEM for ES256, RS256 or PS256")

// readSigningKey reads a private key and how it signs. A JWK says that itself
// (alg), and names itself to the provider (kid); a PEM file signs ES256 or RS256.
func readSigningKey(secret domain.Secret) (jose.SigningKey, error) {
	var k jose.SigningKey
	if text := strings.TrimSpace(secret.Reveal()); strings.HasPrefix(text, "{") {
		var jwk jose.JSONWebKey
		_ = jwk.UnmarshalJSON([]byte(text)) // what is no key has no algorithm
		k = jose.SigningKey{Algorithm: algorithm(jwk.Key, jwk.Algorithm), Key: jwk}
	} else {
		key := readPEM([]byte(text))
		k = jose.SigningKey{Algorithm: algorithm(key, ""), Key: key}
	}
	if k.Algorithm == "" {
		return k, errNoSigningKey
	}
	return k, nil
}

// algorithm is what a key signs with, or "".
func algorithm(key any, named string) jose.SignatureAlgorithm {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve == elliptic.P256() && (named == "" || named == string(jose.ES256)) {
			return jose.ES256
		}
	case *rsa.PrivateKey:
		if a := jose.SignatureAlgorithm(cmp.Or(named, string(jose.RS256))); a == jose.RS256 || a == jose.PS256 {
			return a
		}
	}
	return ""
}

// readPEM finds the private key in a file that may hold certificates too.
func readPEM(text []byte) any {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if key, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key
		}
		if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key
		}
		if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key
		}
	}
	return nil
}
