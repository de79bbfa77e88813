package natsconfig_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"outlink/internal/bus"
	"outlink/internal/node"
)

// authority signs certificates for loopback.
type authority struct {
	t    *testing.T
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, dir, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, name: name}
	a.cert, a.key = a.sign(name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes a certificate and its key.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	a.sign(name, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return a.file(name + ".pem"), a.file(name + ".key")
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) sign(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return signed, key
}

// tlsServer demands a certificate from whoever connects.
func tlsServer(t *testing.T, a *authority) string {
	t.Helper()
	cert, key := a.issue("server")
	conf := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\ntls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\n",
		t.TempDir(), cert, key, a.file("ca.pem"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL()
}

// A node talks to NATS over mutual TLS and serves HTTPS; who has no certificate
// of the authority gets in nowhere, and neither does a server.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, other := newAuthority(t, dir, "ca"), newAuthority(t, dir, "other-ca")
	url := tlsServer(t, ca)
	cert, key := ca.issue("node")
	foreignCert, foreignKey := other.issue("foreign")
	config := func(access bus.Access) node.Config {
		return node.Config{
			Namespace: namespace, NATS: url, Access: access, Database: "sqlite:" + filepath.Join(dir, "read.db"), HTTP: "127.0.0.1:0",
			HTTPCert: cert, HTTPKey: key, HTTPClientCA: ca.file("ca.pem"), KEKFile: filepath.Join(dir, "kek.json"),
			Name: "n1", Roles: []string{node.RoleAPI}, Replicas: 1, Dev: true, Migrate: true,
		}
	}
	_, log := (&locked{t: t, dir: dir}).config("n1", "n1", &logged{})
	for what, access := range map[string]bus.Access{
		"no certificate":        {CA: ca.file("ca.pem")},
		"a foreign certificate": {CA: ca.file("ca.pem"), Cert: foreignCert, Key: foreignKey},
		"a foreign server":      {CA: other.file("other-ca.pem"), Cert: cert, Key: key},
		"an unknown server":     {Cert: cert, Key: key},
	} {
		if n, err := node.Open(t.Context(), config(access), log); err == nil {
			n.Close()
			t.Errorf("%s: the node connected", what)
		}
	}
	n, err := node.Open(t.Context(), config(bus.Access{CA: ca.file("ca.pem"), Cert: cert, Key: key}), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- n.Run(ctx, func() { close(ready) }) }()
	<-ready
	for what, tt := range map[string]struct {
		cert, key string
		ok        bool
	}{"with its certificate": {cert, key, true}, "with a foreign one": {foreignCert, foreignKey, false}, "without": {"", "", false}} {
		res, err := browser(t, ca, tt.cert, tt.key).Get(n.URL() + "/livez")
		if (err == nil) != tt.ok {
			t.Errorf("HTTPS %s: %v", what, err)
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func browser(t *testing.T, a *authority, cert, key string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if cert != "" {
		own, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}
