package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The healthcheck of a node with HTTPS takes that node's certificate only.
func TestHealthcheckHTTPS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	cert, key := pemFiles(t, s)
	check := func(more ...string) int {
		var out, errOut bytes.Buffer
		args := append([]string{"healthcheck", "--http", s.Listener.Addr().String()}, more...)
		return run(t.Context(), args, func(string) string { return "" }, nil, &out, &errOut)
	}
	if code := check("--http-tls-cert", cert, "--http-tls-key", key); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if code := check(); code == 0 {
		t.Error("plain HTTP is taken for a node with HTTPS")
	}
	other := issue(t)
	if code := check("--http-tls-cert", other+".pem", "--http-tls-key", other+".key"); code == 0 {
		t.Error("another certificate is taken for the node's")
	}
}

func pemFiles(t *testing.T, s *httptest.Server) (cert, key string) {
	t.Helper()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "node")
	writePEM(t, base+".pem", "CERTIFICATE", pair.Certificate[0])
	writePEM(t, base+".key", "PRIVATE KEY", der)
	return base + ".pem", base + ".key"
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes a certificate that signs itself, and returns its files' base.
func issue(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "other")
	writePEM(t, base+".pem", "CERTIFICATE", cert)
	writePEM(t, base+".key", "PRIVATE KEY", der)
	return base
}

// The address that a node listens on may be all of the machine's; what it is asked
// by is this machine's own.
func TestHealthcheckAddress(t *testing.T) {
	var host string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer s.Close()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for listen, want := range map[string]string{
		"0.0.0.0:" + port: "127.0.0.1:" + port, "[::]:" + port: "127.0.0.1:" + port, ":" + port: "127.0.0.1:" + port,
		"localhost:" + port: "localhost:" + port,
	} {
		host = ""
		if code, _, errOut := cli(t, "healthcheck", "--http", listen); code != 0 || host != want {
			t.Errorf("%s: exit %d, asked by %q, want %q\n%s", listen, code, host, want, errOut)
		}
	}
	if code, _, errOut := cli(t, "healthcheck", "--http", "nonsense"); code != 2 || !strings.Contains(errOut, "host:port") {
		t.Errorf("no address: exit %d, %s", code, errOut)
	}
}
