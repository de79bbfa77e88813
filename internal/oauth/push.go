package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/provider"
)

// ask sends a form to an endpoint that issues no token, and reads what it says.
// The answer is Issued when it is a success. Nothing is used up by the request.
func (c *Client) ask(ctx context.Context, r provider.Registration, endpoint string, form url.Values) (map[string]json.RawMessage, answer.Answer) {
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	res, err := c.post(ctx, r, endpoint, form)
	switch {
	case domain.CodeOf(err) == domain.InvalidArgument:
		return nil, answer.Answer{Class: answer.ConfigError, Problem: err.Error()}
	case err != nil:
		return nil, answer.Answer{Class: answer.NotSent, Problem: "the provider's endpoint did not answer"}
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if err != nil {
		return nil, answer.Answer{Class: answer.Ambiguous, Problem: "the answer did not come completely"}
	}
	e := exchange{body: object(raw, ""), profile: r.Provider}
	if res.StatusCode/100 == 2 && e.code() == "" {
		return e.body, answer.Answer{Class: answer.Issued, HTTPStatus: res.StatusCode}
	}
	return nil, answer.Answer{
		Class: answer.Classify(res.StatusCode, e.code(), r.Provider.Errors), HTTPStatus: res.StatusCode, Code: e.knownCode(),
		RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now()),
		Problem:    fmt.Sprintf("the provider's endpoint answered with status %d", res.StatusCode),
	}
}

// PushAuthorization sends the authorization request to the provider itself (RFC
// 9126), and gives the URL at which the browser names it: nobody on the way can
// read or change what is asked for.
func (c *Client) PushAuthorization(ctx context.Context, r provider.Registration, state, verifier string) (string, answer.Answer) {
	at := r.AuthorizationEndpoint
	r.AuthorizationEndpoint = "" // what its own query holds stays in the browser
	form, err := url.ParseQuery(strings.TrimPrefix(c.AuthorizationURL(r, state, verifier), "?"))
	if err != nil {
		return "", answer.Answer{Class: answer.ConfigError, Problem: "the authorization request is no form"}
	}
	body, ans := c.ask(ctx, r, r.PushEndpoint, form)
	if ans.Class != answer.Issued {
		return "", ans
	}
	name := text(body["request_uri"])
	if name == "" {
		return "", answer.Answer{Class: answer.Unreadable, Problem: "the answer names no request"}
	}
	join := "?"
	if strings.Contains(at, "?") {
		join = "&"
	}
	return at + join + url.Values{"client_id": {r.ClientID}, "request_uri": {name}}.Encode(), ans
}
