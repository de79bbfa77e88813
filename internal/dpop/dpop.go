// Package dpop proves that a token is used by whom it was issued to (RFC 9449).
//
// A key never leaves the process, and is not kept: it is made of a grant's own
// seed each time, so that it ends with the grant's data key. What leaves is a
// proof, good for one request.
package dpop

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"outlink/domain"
)

// Key is a private key for ES256. Nothing prints it.
type Key struct{ private *ecdsa.PrivateKey }

// NewKey makes the key of a seed: always the same one. A number that is no
// private key is as rare as one in 2^32, and gives way to the next one.
func NewKey(seed domain.Secret) *Key {
	for d := sha256.Sum256([]byte(seed.Reveal())); ; d = sha256.Sum256(d[:]) {
		if private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d[:]); err == nil {
			return &Key{private}
		}
	}
}

// String hides the key from whoever prints what holds it.
func (*Key) String() string { return domain.Redacted }

// GoString hides it as String does.
func (*Key) GoString() string { return domain.Redacted }

// Thumbprint is the JWK thumbprint by which a server knows the key: jkt of RFC
// 9449 section 6.1, and dpop_jkt of section 10.
func (k *Key) Thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: k.private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // only for keys that have none
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// Request is the one that a proof is for.
type Request struct {
	Method string
	URL    string        // query and fragment are left out of the proof (RFC 9449 section 4.2)
	Nonce  string        // what the server asked for last; "": nothing
	Token  domain.Secret // the access token that the request carries; zero: none, as at a token endpoint
}

// claims are those of RFC 9449 section 4.2.
type claims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URL      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Nonce    string           `json:"nonce,omitempty"`
	Token    string           `json:"ath,omitempty"`
}

// errNoProof quotes nothing: a URL may hold what a log should not.
var errNoProof = errors.New("no DPoP proof can be made for this request")

// Proof signs what is asked for and when.
func (k *Key) Proof(r Request, now time.Time) (string, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", errNoProof
	}
	u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = "", false, "", ""
	u.Path = cmp.Or(u.Path, "/")
	c := claims{ID: uuid.NewString(), Method: r.Method, URL: u.String(), IssuedAt: jwt.NewNumericDate(now), Nonce: r.Nonce}
	if !r.Token.IsZero() {
		sum := sha256.Sum256([]byte(r.Token.Reveal()))
		c.Token = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.private}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return "", errNoProof
	}
	proof, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		return "", errNoProof
	}
	return proof, nil
}
