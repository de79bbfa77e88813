package database

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Secure starts a PostgreSQL that takes connections by TLS only, and from clients
// with a certificate of its authority only. It returns the URL of a server whose
// certificate a client must check, and the directory of the client's files:
// ca.crt, client.crt, client.key; other.crt is of another authority. The server
// ends with the process.
func Secure(t testing.TB) (server, dir string) {
	t.Helper()
	ours, others := newAuthority(t), newAuthority(t)
	cert, key := ours.issue(t, "127.0.0.1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	options := "-h 127.0.0.1 -p " + port + " -c ssl=on -c ssl_cert_file=../server.crt -c ssl_key_file=../server.key -c ssl_ca_file=../ca.crt"
	_, err = newCluster(options, map[string][]byte{
		"server.crt": cert, "server.key": key, "ca.crt": ours.pem,
		"pg_hba.conf": []byte("hostssl all all 127.0.0.1/32 cert\n"),
	})
	if errors.Is(err, errNotInstalled) && os.Getenv("CI") != "true" {
		t.Skipf("not run on PostgreSQL: %v", err)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL with TLS: %v", err)
	}
	dir = t.TempDir()
	cert, key = ours.issue(t, "postgres")
	for name, content := range map[string][]byte{"ca.crt": ours.pem, "client.crt": cert, "client.key": key, "other.crt": others.pem} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	query := url.Values{
		"sslmode": {"verify-full"}, "sslrootcert": {filepath.Join(dir, "ca.crt")},
		"sslcert": {filepath.Join(dir, "client.crt")}, "sslkey": {filepath.Join(dir, "client.key")},
	}
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%s/postgres?%s", port, query.Encode()), dir
}

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	a := authority{cert: template("an authority")}
	a.cert.IsCA, a.cert.BasicConstraintsValid, a.cert.KeyUsage = true, true, x509.KeyUsageCertSign
	a.key = newKey(t)
	a.pem = a.sign(t, a.cert, a.key)
	return a
}

// issue makes a certificate for a name, which is a client's or a server's address.
func (a authority) issue(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	c, k := template(name), newKey(t)
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return a.sign(t, c, k), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a authority) sign(t testing.TB, c *x509.Certificate, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
