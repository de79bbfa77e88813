package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// What RFC 8628 section 3.2 says when the provider does not, or nearly.
const (
	pollInterval = 5 * time.Second
	deviceLife   = 10 * time.Minute
)

// AuthorizeDevice asks for a code that a person enters on another device (RFC
// 8628 section 3.1). The answer is Issued when there is one.
func (c *Client) AuthorizeDevice(ctx context.Context, r provider.Registration) (answer.Device, answer.Answer) {
	form := url.Values{}
	if len(r.Scopes) > 0 {
		form.Set("scope", strings.Join(config(r).Scopes, " "))
	}
	if len(r.Resources) > 0 {
		form["resource"] = r.Resources
	}
	r.DPoPKey = domain.Secret{} // the code is bound when it is exchanged
	body, ans := c.ask(ctx, r, r.DeviceEndpoint, form)
	if ans.Class != answer.Issued {
		return answer.Device{}, ans
	}
	d := answer.Device{
		Code: domain.NewSecret(text(body["device_code"])), UserCode: text(body["user_code"]),
		VerificationURI:         cmp.Or(text(body["verification_uri"]), text(body["verification_url"])), // Google's older name
		VerificationURIComplete: text(body["verification_uri_complete"]),
		Lifetime:                cmp.Or(seconds(body["expires_in"]), deviceLife), Interval: cmp.Or(seconds(body["interval"]), pollInterval),
	}
	if d.Code.IsZero() || d.UserCode == "" || d.VerificationURI == "" {
		return answer.Device{}, answer.Answer{Class: answer.Unreadable, Problem: "the answer has no code, or no place to enter it"}
	}
	return d, ans
}

// text reads a member that is shown to a person: what could not be is none.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil || !provider.Printable(s) {
		return ""
	}
	return s
}

// AskDevice asks whether the person has consented (RFC 8628 section 3.4).
func (c *Client) AskDevice(ctx context.Context, r provider.Registration, code domain.Secret) answer.Answer {
	r.Scopes = nil // they were asked for with the code
	return c.request(ctx, r, &exchange{}, requesting(r, link.DeviceCode, url.Values{"device_code": {code.Reveal()}}))
}
