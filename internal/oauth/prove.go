package oauth

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"outlink/domain"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// proof is what a client is recognised by beside its id and password.
type proof struct {
	params    url.Values // of the form
	transport http.RoundTripper
}

// prove makes the proof of one request: an assertion is good for one.
func (c *Client) prove(r provider.Registration, now time.Time) (proof, error) {
	p := proof{params: url.Values{}, transport: c.transport}
	if r.GrantType == link.JWTBearer {
		signed, err := grantAssertion(r, now)
		if err != nil {
			return proof{}, err
		}
		p.params.Set("assertion", signed)
		if r.Assertion.Alone {
			return p, nil
		}
	}
	if r.GrantType == link.TokenExchange {
		exchanging(p.params, r)
	}
	switch r.AuthStyle {
	case link.PrivateKeyJWT:
		signed, err := clientAssertion(r, now)
		if err != nil {
			return proof{}, err
		}
		p.params.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		p.params.Set("client_assertion", signed)
	case link.TLSClientAuth, link.SelfSignedTLSAuth:
		certificate, err := clientCertificate(r.ClientSecret)
		if err != nil {
			return proof{}, err
		}
		p.transport = transport(c.options, c.presenting(certificate))
	}
	return p, nil
}

// exchanging sets what is given and what is wanted (RFC 8693 section 2.1).
func exchanging(params url.Values, r provider.Registration) {
	params.Set("subject_token", r.SubjectToken.Reveal())
	params.Set("subject_token_type", cmp.Or(r.Exchange.SubjectTokenType, link.AccessTokenType))
	if t := r.Exchange.RequestedTokenType; t != "" {
		params.Set("requested_token_type", t)
	}
	if a := r.Exchange.Audience; a != "" {
		params.Set("audience", a)
	}
}

// presenting is a TLS configuration of its own, and so is the transport made of
// it: a connection that one link's certificate opened is never another link's.
func (c *Client) presenting(certificate tls.Certificate) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: c.options.RootCAs,
		// Certificates would keep it back from a server that does not name its issuer.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil },
	}
}

// clientCertificate reads a certificate, what else its chain needs, and its key.
func clientCertificate(secret domain.Secret) (tls.Certificate, error) {
	pem := []byte(secret.Reveal())
	c, err := tls.X509KeyPair(pem, pem)
	if err != nil { // its text may quote the key
		return tls.Certificate{}, errors.New("the client secret is no certificate with its private key in PEM")
	}
	return c, nil
}

// CheckSecret refuses a client secret that the client authentication cannot use.
func CheckSecret(style link.AuthStyle, secret domain.Secret) error {
	var err error
	switch style {
	case link.PrivateKeyJWT:
		_, err = readSigningKey(secret)
	case link.TLSClientAuth, link.SelfSignedTLSAuth:
		_, err = clientCertificate(secret)
	case link.Basic, link.Body:
		if _, notKey := readSigningKey(secret); notKey == nil || strings.Contains(secret.Reveal(), "PRIVATE KEY-----") {
			err = errors.New("the client secret is a private key and would be sent to the provider, instead of the password")
		}
	}
	if err != nil {
		return domain.Errorf(domain.InvalidArgument, "%v, which auth_style %q needs", err, style)
	}
	return nil
}

// post sends a form to another endpoint of the provider, as the client, with
// proofs where the registration has a key (RFC 9449 section 10.1).
func (c *Client) post(ctx context.Context, r provider.Registration, endpoint string, form url.Values) (*http.Response, error) {
	e := exchange{params: url.Values{}}
	c.bind(&e, r)
	res, err := c.postOnce(ctx, &e, r, endpoint, form)
	if err != nil || e.key == nil {
		return res, err
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	if e.wantsNonce(res, raw) {
		return c.postOnce(ctx, &e, r, endpoint, form)
	}
	res.Body = io.NopCloser(bytes.NewReader(raw))
	return res, nil
}

func (c *Client) postOnce(ctx context.Context, e *exchange, r provider.Registration, endpoint string, form url.Values) (*http.Response, error) {
	p, err := c.prove(r, time.Now())
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "%v", err)
	}
	maps.Copy(form, p.params)
	if r.AuthStyle != link.Basic {
		form.Set("client_id", r.ClientID)
	}
	if r.AuthStyle == link.Body {
		form.Set("client_secret", r.ClientSecret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "the endpoint is no URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if r.AuthStyle == link.Basic {
		req.SetBasicAuth(url.QueryEscape(r.ClientID), url.QueryEscape(r.ClientSecret.Reveal()))
	}
	if err := e.proven(req); err != nil {
		return nil, err
	}
	res, err := p.transport.RoundTrip(req)
	if err == nil {
		e.remember(res)
	}
	return res, err
}
