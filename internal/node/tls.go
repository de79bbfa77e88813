package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// secure puts TLS before HTTP, when there is a certificate.
func (n *Node) secure() error {
	if n.HTTPCert == "" {
		return nil
	}
	own, err := tls.LoadX509KeyPair(n.HTTPCert, n.HTTPKey)
	if err != nil {
		return fmt.Errorf("read the certificate for HTTP: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	if n.HTTPClientCA != "" {
		pem, err := os.ReadFile(n.HTTPClientCA)
		if err != nil {
			return fmt.Errorf("read the authority of HTTP clients: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("read the authority of HTTP clients: %s holds no certificate in PEM", n.HTTPClientCA)
		}
	}
	n.listener = tls.NewListener(n.listener, config)
	return nil
}
