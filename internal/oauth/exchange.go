package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"outlink/domain/answer"
	"outlink/domain/provider"
	"outlink/internal/dpop"
)

type syscallConn = syscall.RawConn

// maxBody bounds an answer, in bytes. Tokens of a few kilobytes are
// large already, and the journal has room for what this allows.
const maxBody = 64 << 10

// exchange is one token request on the wire: it reads the whole answer, has it
// kept, and hands a normalised copy to the library.
type exchange struct {
	transport http.RoundTripper
	guard     func() error           // nil: none
	keep      func(answer.Raw) error // nil: the answer is not kept
	profile   provider.Provider
	params    url.Values                 // set in the form that the library made
	reprove   func() (url.Values, error) // makes them anew: an assertion is good for one request
	renews    bool                       // a token that is there already, not a new consent
	key       *dpop.Key                  // nil: no proof is sent
	bound     bool                       // a token may be bound to a key
	nonces    *dpop.Nonces

	refused    error // by the guard
	wrote      atomic.Bool
	status     int
	retryAfter time.Duration
	skew       time.Duration
	body       map[string]json.RawMessage // of a complete answer that is a JSON object
	issued     bool                       // there is an access token in it
	complete   bool
	problem    string
	failed     error // of the transport
}

// RoundTrip implements http.RoundTripper.
func (e *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	values, err := form(req)
	if err != nil {
		return nil, err
	}
	res, raw, err := e.try(req, values)
	if err == nil && e.wantsNonce(res, raw) && e.renewed() {
		res, raw, err = e.try(req, values)
	}
	if err != nil {
		return nil, err
	}
	return e.heard(res, raw)
}

// try sends the request and reads all of the answer.
func (e *exchange) try(req *http.Request, form url.Values) (*http.Response, []byte, error) {
	e.wrote.Store(false)
	req = e.traced(req)
	e.amend(req, form)
	req.Header.Set("Accept", "application/json")
	if err := e.proven(req); err != nil {
		return nil, nil, err
	}
	res, err := e.transport.RoundTrip(req)
	if err != nil {
		e.failed = err
		return nil, nil, err
	}
	defer res.Body.Close()
	e.remember(res)
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		e.failed = err
		return nil, nil, errors.New("the answer was cut")
	}
	return res, raw, nil
}

// heard has a complete answer kept, and gives the library what it can read.
func (e *exchange) heard(res *http.Response, raw []byte) (*http.Response, error) {
	e.status, e.complete = res.StatusCode, true
	e.skew = skew(res.Header.Get("Date"), time.Now())
	e.retryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	if e.status/100 == 2 && e.keep != nil {
		if err := e.keep(answer.Raw{Status: e.status, ContentType: res.Header.Get("Content-Type"), Body: raw}); err != nil {
			e.problem = "the answer could not be journalled"
		}
	}
	if len(raw) > maxBody {
		return nil, errors.New("the answer is too large")
	}
	e.body = object(raw, res.Header.Get("Content-Type"))
	if e.body != nil {
		normalise(e.body)
		e.unwrap()
		raw, _ = json.Marshal(e.body)
	}
	res.Header = http.Header{"Content-Type": {"application/json"}}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return res, nil
}

// traced asks the guard when the connection stands, and notes whether a byte of
// the request left. Both happen before the transport's RoundTrip returns.
func (e *exchange) traced(req *http.Request) *http.Request {
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) {
			if e.guard == nil {
				return
			}
			if e.refused = e.guard(); e.refused != nil {
				_ = c.Conn.Close()
			}
		},
		WroteHeaders: func() { e.wrote.Store(true) },
	}))
}

// answer puts what happened into its class.
func (e *exchange) answer(token *oauth2.Token, err error) answer.Answer {
	a := answer.Answer{HTTPStatus: e.status, RetryAfter: e.retryAfter, Skew: e.skew, Code: e.knownCode(), Problem: e.problem}
	switch {
	case e.refused != nil:
		a.Class, a.Problem = answer.NotSent, e.refused.Error()
	case !e.complete && !e.wrote.Load():
		a.Class, a.Problem, a.Blocked = answer.NotSent, unsent(e.failed), blocked(e.failed)
	case !e.complete:
		a.Class, a.Problem = answer.Ambiguous, "the answer did not come completely"
		if errors.Is(e.failed, context.DeadlineExceeded) {
			a.Problem = "the answer did not come in time"
		}
	case e.status/100 == 3:
		a.Class, a.Problem = answer.ConfigError, "the token endpoint redirects; give the address that it redirects to"
	case e.status/100 != 2 || e.code() != "":
		a.Class = e.class()
		a.Problem = e.refusal()
	case err != nil || token == nil:
		a.Class, a.Problem = answer.Unreadable, "the answer is successful and cannot be read"
	default:
		a.Class, a.Token, a.Problem = e.token(token.AccessToken)
	}
	return a
}

// class is what an answer without a token means. Where a used refresh token
// works on, "too many" is no reason for doubt, whoever says it.
func (e *exchange) class() answer.Class {
	kind := e.profile.Rotation.Kind
	if e.status == http.StatusTooManyRequests && (kind == provider.Stable || kind == provider.Grace) {
		return answer.RateLimited
	}
	if e.key != nil && e.code() == useNonce {
		return answer.Transient
	}
	return answer.Classify(e.status, e.code(), e.profile.Errors)
}

// object reads an answer as a JSON object, whatever it says it is: providers
// send JSON as text/plain, with a byte order mark, or a form (as GitHub does).
func object(raw []byte, contentType string) map[string]json.RawMessage {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	var m map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(raw)).Decode(&m) == nil && m != nil {
		return m
	}
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind != "application/x-www-form-urlencoded" && kind != "text/plain" {
		return nil
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil || !form.Has("access_token") && !form.Has("error") {
		return nil
	}
	m = map[string]json.RawMessage{}
	for k, v := range form {
		m[k], _ = json.Marshal(v[0])
	}
	return m
}

// normalise makes an answer readable for the library: lifetimes as whole
// numbers, optional members of a wrong type left out.
func normalise(m map[string]json.RawMessage) {
	for _, key := range []string{"access_token", "refresh_token", "token_type", "id_token", "error", "error_description", "error_uri"} {
		var s string
		if raw, ok := m[key]; ok && json.Unmarshal(raw, &s) != nil {
			delete(m, key)
		}
	}
	var scopes []string
	if json.Unmarshal(m["scope"], &scopes) == nil {
		m["scope"], _ = json.Marshal(strings.Join(scopes, " "))
	}
	if raw, ok := m["expires_in"]; ok {
		delete(m, "expires_in")
		if s := seconds(raw); s > 0 {
			m["expires_in"] = json.RawMessage(strconv.Itoa(int(s / time.Second)))
		}
	}
}

// maxLife clamps lifetimes that no token has.
const maxLife = 10 * 365 * 24 * time.Hour

// seconds reads a lifetime as providers write it: 3600, "3600", 3600.0, 3.6e3.
// What is missing, not positive or no number counts as not said.
func seconds(raw json.RawMessage) time.Duration {
	f, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(string(raw)), `"`), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	if f > maxLife.Seconds() {
		return maxLife
	}
	return time.Duration(f) * time.Second
}

// skew compares the Date header (RFC 9110 section 6.6.1) with this node's clock.
func skew(date string, now time.Time) time.Duration {
	t, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return t.Sub(now)
}

// retryAfter reads the header in both of its forms (RFC 9110 section 10.2.3), at
// most an hour.
func retryAfter(v string, now time.Time) time.Duration {
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(n, 0), 3600)) * time.Second // a huge number would overflow
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), time.Hour)
}
