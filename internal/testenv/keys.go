package testenv

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"outlink/domain"
)

// ClientKey makes a signing key: as PEM when the algorithm is what a PEM file
// signs by itself, else as JWK. The other result is what a client registers.
func ClientKey(t testing.TB, algorithm jose.SignatureAlgorithm) (domain.Secret, map[string]any) {
	t.Helper()
	var key crypto.Signer
	var err error
	if algorithm == jose.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	public := jose.JSONWebKey{Key: key.Public(), KeyID: "one", Use: "sig", Algorithm: string(algorithm)}
	registered := map[string]any{"jwks": map[string]any{"keys": []any{public}}, "token_endpoint_auth_signing_alg": algorithm}
	if algorithm == jose.PS256 {
		b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "one", Algorithm: string(algorithm)})
		if err != nil {
			t.Fatal(err)
		}
		return domain.NewSecret(string(b)), registered
	}
	return domain.NewSecret(keyPEM(t, key)), registered
}

func keyPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}))
}

// Certificate is a self-signed certificate of that common name, good for
// 127.0.0.1.
type Certificate struct {
	PEM, Key string
	X509     *x509.Certificate
}

// NewCertificate makes one.
func NewCertificate(t testing.TB, name string) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return Certificate{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), Key: keyPEM(t, key), X509: parsed}
}

// Secret is the certificate as a link's client secret.
func (c Certificate) Secret() domain.Secret { return domain.NewSecret(c.PEM + c.Key) }

// Pool trusts the certificate alone.
func (c Certificate) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.X509)
	return pool
}

// JWKS is the certificate as a client registers it.
func (c Certificate) JWKS() map[string]any {
	return map[string]any{"keys": []any{jose.JSONWebKey{Key: c.X509.PublicKey, KeyID: "one", Use: "sig", Certificates: []*x509.Certificate{c.X509}}}}
}
