// Package webhook sends notices to one URL, signed as Standard Webhooks 1.0.0
// says, so that a receiver can check them with any of its libraries.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"outlink/domain"
)

// Sender posts messages. Make one with New.
type Sender struct {
	url    string
	hook   *standardwebhooks.Webhook
	client *http.Client
}

// ErrGone says that the receiver wants no more of these (410).
var ErrGone = errors.New("the receiver answered 410 Gone: it wants no more messages")

// New makes a sender. The secret is "whsec_" and base64, or base64 alone, of 24
// to 64 random bytes. The URL is HTTPS, or on this machine.
func New(to string, secret domain.Secret) (*Sender, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("the webhook URL is no URL without user and fragment, such as https://example.com/outlink")
	}
	local := u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1"
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return nil, errors.New("the webhook URL is not HTTPS")
	}
	hook, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil {
		return nil, errors.New(`the webhook secret is not "whsec_" followed by base64; make one: echo whsec_$(openssl rand -base64 32)`)
	}
	return &Sender{url: to, hook: hook, client: &http.Client{
		Timeout:       20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// message is the payload that Standard Webhooks recommends.
type message struct {
	Type      string          `json:"type"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// Send posts a message once; nil means that the receiver took it. The same id
// tells the receiver that it is a repeat.
func (s *Sender) Send(ctx context.Context, id, kind string, at time.Time, data []byte) error {
	body, err := json.Marshal(message{Type: kind, Timestamp: at.UTC(), Data: data})
	if err != nil {
		return fmt.Errorf("encode a webhook message: %w", err)
	}
	now := time.Now()
	signature, err := s.hook.Sign(id, now, body)
	if err != nil {
		return fmt.Errorf("sign a webhook message: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", fmt.Sprint(now.Unix()))
	req.Header.Set("Webhook-Signature", signature)
	res, err := s.client.Do(req)
	if err != nil {
		return errors.New("the receiver did not answer") // the error would name the URL, and that may hold a token
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode == http.StatusGone:
		return ErrGone
	}
	return fmt.Errorf("the receiver answered with status %d", res.StatusCode)
}
