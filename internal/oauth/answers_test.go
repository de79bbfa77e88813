package oauth_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(tokenEndpoint string) provider.Registration {
	return provider.Registration{
		ClientID: "c", ClientSecret: domain.NewSecret("canary-secret"), AuthStyle: link.Basic,
		TokenEndpoint: tokenEndpoint, RevocationEndpoint: tokenEndpoint,
	}
}

// server answers and counts.
func server(t *testing.T, answer http.HandlerFunc) (string, *atomic.Int32) {
	t.Helper()
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		_ = r.ParseForm()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, &requests
}

func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func refresh(t *testing.T, o oauth.Options, endpoint string) answer.Answer {
	t.Helper()
	return oauth.New(o).Refresh(t.Context(), at(endpoint), domain.NewSecret("canary-refresh"), nil, keepNothing)
}

var loopback = oauth.Options{Loopback: true}

// Every row is one request on the wire, whatever comes back.
func TestAnswers(t *testing.T) {
	ok := func(expiresIn string) http.HandlerFunc {
		return says(200, `{"access_token":"canary-at","token_type":"bearer","expires_in":`+expiresIn+`}`)
	}
	const plain = `{"access_token":"canary-at","expires_in":60}`
	for _, tt := range []struct {
		name     string
		handler  http.HandlerFunc
		class    answer.Class
		code     string
		lifetime time.Duration
	}{
		{"expires_in 3600", ok(`3600`), answer.Issued, "", time.Hour},
		{"expires_in a string", ok(`"3600"`), answer.Issued, "", time.Hour},
		{"expires_in 3600.0", ok(`3600.0`), answer.Issued, "", time.Hour},
		{"expires_in 3599.98", ok(`3599.98`), answer.Issued, "", 3599 * time.Second},
		{"expires_in 3.6e3", ok(`3.6e3`), answer.Issued, "", time.Hour},
		{"expires_in null", ok(`null`), answer.Issued, "", 0},
		{"expires_in 0", ok(`0`), answer.Issued, "", 0},
		{"expires_in -1", ok(`-1`), answer.Issued, "", 0},
		{"expires_in empty", ok(`""`), answer.Issued, "", 0},
		{"expires_in an object", ok(`{}`), answer.Issued, "", 0},
		{"expires_in of 20 digits", ok(`99999999999999999999`), answer.Issued, "", 10 * 365 * 24 * time.Hour},
		{"text/plain", says(200, plain, "Content-Type", "text/plain"), answer.Issued, "", time.Minute},
		{"text/html", says(200, plain, "Content-Type", "text/html"), answer.Issued, "", time.Minute},
		{"a byte order mark", says(200, "\xef\xbb\xbf"+plain), answer.Issued, "", time.Minute},
		{"trailing bytes", says(200, plain+"\n<!-- -->"), answer.Issued, "", time.Minute},
		{"a form", says(200, "access_token=canary-at&expires_in=60", "Content-Type", "application/x-www-form-urlencoded"), answer.Issued, "", time.Minute},
		{"optional members of wrong types", says(200, `{"access_token":"canary-at","expires_in":60,"refresh_token":false,"error":false,"token_type":1,"id_token":[]}`), answer.Issued, "", time.Minute},

		{"an access token of a wrong type", says(200, `{"access_token":7}`), answer.Unreadable, "", 0},
		{"no access token", says(200, `{"errcode":40030}`), answer.Unreadable, "", 0},
		{"an empty body", says(200, ""), answer.Unreadable, "", 0},
		{"a line break in the token", says(200, `{"access_token":"canary\r\nX: y"}`), answer.Unreadable, "", 0},
		{"a MAC token", says(200, `{"access_token":"canary-at","token_type":"mac"}`), answer.Unreadable, "", 0},
		{"more than 1 MiB", says(200, `{"access_token":"canary-at","x":"`+strings.Repeat("x", 1<<20)+`"}`), answer.Unreadable, "", 0},

		{"a cut body", says(200, plain, "Content-Length", "1000"), answer.Ambiguous, "", 0},
		{"no answer", hangUp, answer.Ambiguous, "", 0},
		{"500 HTML", says(500, "<h1>canary</h1>", "Content-Type", "text/html"), answer.Ambiguous, "", 0},
		{"400 text", says(400, "canary", "Content-Type", "text/plain"), answer.Ambiguous, "", 0},
		{"502", says(502, ""), answer.Ambiguous, "", 0},

		{"200 with an error", says(200, `{"error":"bad_refresh_token"}`), answer.GrantInvalid, "bad_refresh_token", 0},
		{"400 invalid_grant", says(400, `{"error":"invalid_grant"}`), answer.GrantInvalid, "invalid_grant", 0},
		{"401 invalid_client", says(401, `{"error":"invalid_client"}`), answer.ClientRejected, "invalid_client", 0},
		{"a stranger's code", says(400, `{"error":"canary\n","error_description":"canary"}`), answer.AccessDenied, "", 0},
		{"429", says(429, "", "Retry-After", "120"), answer.Ambiguous, "", 0},
		{"503 temporarily_unavailable", says(503, `{"error":"temporarily_unavailable"}`), answer.Transient, "temporarily_unavailable", 0},
		{"404", says(404, "not found"), answer.ConfigError, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			endpoint, requests := server(t, tt.handler)
			a := refresh(t, loopback, endpoint)
			if a.Class != tt.class || a.Code != tt.code {
				t.Fatalf("%s %q (%s), want %s %q", a.Class, a.Code, a.Problem, tt.class, tt.code)
			}
			if a.Class == answer.Issued && (a.Token.Lifetime != tt.lifetime || a.Token.AccessToken.Reveal() != "canary-at" || !a.Token.RefreshToken.IsZero()) {
				t.Errorf("token %q, lives %s, want %s", a.Token.AccessToken.Reveal(), a.Token.Lifetime, tt.lifetime)
			}
			if n := requests.Load(); n != 1 || a.Requests != 1 {
				t.Errorf("%d requests, counted as %d", n, a.Requests)
			}
			if printed := fmt.Sprintf("%+v %+v", a, a.Token); strings.Contains(printed, "canary") {
				t.Errorf("the answer prints a secret or a stranger's text: %s", printed)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "": 0, "-1": 0, "soon": 0, "86400": time.Hour, "9223372036854775": time.Hour,
		"Wed, 01 Jan 2020 00:00:00 GMT": 0, "Wed, 01 Jan 2200 00:00:00 GMT": time.Hour,
	} {
		endpoint, _ := server(t, says(429, "", "Retry-After", value))
		if a := refresh(t, loopback, endpoint); a.RetryAfter != want {
			t.Errorf("Retry-After %q: %s, want %s", value, a.RetryAfter, want)
		}
	}
}

func TestDeadline(t *testing.T) {
	endpoint, requests := server(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	o := oauth.Options{Loopback: true, Deadline: 50 * time.Millisecond}
	if a := refresh(t, o, endpoint); a.Class != answer.Ambiguous || a.Problem != "the answer did not come in time" || requests.Load() != 1 {
		t.Errorf("%+v after %d requests", a, requests.Load())
	}
	if err := oauth.New(o).Revoke(t.Context(), at(endpoint), domain.NewSecret("x"), "refresh_token"); err == nil {
		t.Error("Revoke had no deadline")
	}
}

// A redirect would take the client secret and the refresh token elsewhere.
func TestRedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		evil, seen := server(t, says(200, `{"access_token":"evil"}`))
		endpoint, _ := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, evil, status) })
		if a := refresh(t, loopback, endpoint); a.Class != answer.ConfigError {
			t.Errorf("%d: %s", status, a.Class)
		}
		if err := oauth.New(loopback).Revoke(t.Context(), at(endpoint), domain.NewSecret("x"), "refresh_token"); err == nil {
			t.Errorf("%d: Revoke took a redirect for a success", status)
		}
		if n := seen.Load(); n != 0 {
			t.Errorf("%d: the other host saw %d requests", status, n)
		}
	}
}

func TestNotSent(t *testing.T) {
	endpoint, requests := server(t, says(200, `{"access_token":"x"}`))
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(endpoint, "http://"))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	const refused = "the token endpoint has an address that is not allowed"
	for _, tt := range []struct {
		host    string
		options oauth.Options
		problem string
	}{
		{"127.0.0.1:" + port, oauth.Options{}, refused},
		{"localhost:" + port, oauth.Options{}, refused},
		{"[::1]:" + port, oauth.Options{}, refused},
		{"[::ffff:127.0.0.1]:" + port, oauth.Options{}, refused},
		{"[::ffff:a9fe:a9fe]:80", loopback, refused},
		{"[64:ff9b::7f00:1]:80", loopback, refused},
		{"169.254.169.254", loopback, refused},
		{"10.0.0.1", loopback, refused},
		{"0.0.0.0:" + port, oauth.Options{}, refused},
		{closed.Addr().String(), loopback, "the token endpoint could not be reached"},
	} {
		a := refresh(t, tt.options, "http://"+tt.host)
		if a.Class != answer.NotSent || a.Problem != tt.problem || a.Requests != 0 {
			t.Errorf("%s: %s (%s), %d requests", tt.host, a.Class, a.Problem, a.Requests)
		}
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// A proxy would dial for us, past the guard.
func TestProxyIsIgnored(t *testing.T) {
	proxy, seen := server(t, says(200, `{"access_token":"x"}`))
	t.Setenv("HTTP_PROXY", proxy)
	t.Setenv("http_proxy", proxy)
	if a := refresh(t, loopback, "http://192.0.2.1/token"); a.Class != answer.NotSent || seen.Load() != 0 {
		t.Errorf("%s, and the proxy saw %d requests", a.Class, seen.Load())
	}
}

// What came is kept as it came, before it is read, and only if it is a success.
func TestKeep(t *testing.T) {
	const odd = "\xef\xbb\xbf{not json"
	for _, tt := range []struct {
		status int
		body   string
		fails  error
		class  answer.Class
		kept   []string
	}{
		{200, odd, nil, answer.Unreadable, []string{odd}},
		{200, `{"access_token":"a"}`, nil, answer.Issued, []string{`{"access_token":"a"}`}},
		{200, `{"access_token":"a"}`, errors.New("disk full"), answer.Issued, []string{`{"access_token":"a"}`}},
		{400, `{"error":"invalid_grant"}`, nil, answer.GrantInvalid, nil},
	} {
		endpoint, _ := server(t, says(tt.status, tt.body))
		var kept []string
		a := oauth.New(loopback).Refresh(t.Context(), at(endpoint), domain.NewSecret("x"), nil, func(raw answer.Raw) error {
			kept = append(kept, string(raw.Body))
			return tt.fails
		})
		if a.Class != tt.class || !slices.Equal(kept, tt.kept) {
			t.Errorf("%d %q: %s, kept %q", tt.status, tt.body, a.Class, kept)
		}
		if tt.fails != nil && a.Problem != "the answer could not be journalled" {
			t.Errorf("the failure to keep is not told: %q", a.Problem)
		}
	}
}

// The guard is asked when the connection stands; what it refuses never leaves.
func TestGuard(t *testing.T) {
	endpoint, requests := server(t, says(200, `{"access_token":"a"}`))
	over := errors.New("the lease is half over")
	a := oauth.New(loopback).Refresh(t.Context(), at(endpoint), domain.NewSecret("x"), func() error { return over }, keepNothing)
	if a.Class != answer.NotSent || a.Problem != over.Error() || a.Requests != 0 || requests.Load() != 0 {
		t.Errorf("refused by the guard: %s (%s), %d requests counted, %d came", a.Class, a.Problem, a.Requests, requests.Load())
	}
	if a := oauth.New(loopback).Refresh(t.Context(), at(endpoint), domain.NewSecret("x"), func() error { return nil }, keepNothing); a.Class != answer.Issued {
		t.Errorf("let through by the guard: %s", a.Class)
	}
}

// An answer that was kept reads as it did when it came.
func TestRead(t *testing.T) {
	for _, raw := range []answer.Raw{
		{Status: 200, ContentType: "application/json", Body: []byte(`{"access_token":"a","refresh_token":"b","expires_in":"60"}`)},
		{Status: 200, ContentType: "text/plain", Body: []byte("access_token=a&refresh_token=b&expires_in=60")},
		{Status: 200, ContentType: "text/html", Body: []byte("<html>")},
		{Status: 200, ContentType: "application/json", Body: []byte(`{"error":"bad_refresh_token"}`)},
	} {
		endpoint, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", raw.ContentType)
			_, _ = w.Write(raw.Body)
		})
		var kept answer.Raw
		c := oauth.New(loopback)
		came := c.Refresh(t.Context(), at(endpoint), domain.NewSecret("x"), nil, func(r answer.Raw) error { kept = r; return nil })
		read := c.Read(at(endpoint), kept)
		if read.Class != came.Class || read.Code != came.Code || (read.Token == nil) != (came.Token == nil) {
			t.Errorf("%s: came as %s, read as %s", raw.Body, came.Class, read.Class)
		}
		if read.Token != nil && (!read.Token.RefreshToken.Equal(came.Token.RefreshToken) || read.Token.Lifetime != came.Token.Lifetime) {
			t.Errorf("%s: the token reads otherwise", raw.Body)
		}
	}
}

// Status 429 without a word of OAuth leaves it open whether the refresh token was
// used, where that matters.
func TestTooManyByRotation(t *testing.T) {
	for kind, want := range map[provider.RotationKind]answer.Class{
		provider.Stable: answer.RateLimited, provider.Grace: answer.RateLimited, provider.Strict: answer.Ambiguous, provider.Unknown: answer.Ambiguous,
	} {
		endpoint, _ := server(t, says(429, "slow down, please"))
		r := at(endpoint)
		r.Provider.Rotation.Kind = kind
		got := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), r, domain.NewSecret("rt"), func() error { return nil }, func(answer.Raw) error { return nil })
		if got.Class != want {
			t.Errorf("%s: %s, want %s", kind, got.Class, want)
		}
	}
}

// The clock of the provider is compared with this node's.
func TestSkew(t *testing.T) {
	for date, want := range map[string]time.Duration{
		time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat): 10 * time.Minute, "yesterday": 0,
	} {
		endpoint, _ := server(t, says(400, `{"error":"invalid_grant"}`, "Date", date))
		got := oauth.New(oauth.Options{Loopback: true}).Refresh(t.Context(), at(endpoint), domain.NewSecret("rt"), func() error { return nil }, func(answer.Raw) error { return nil })
		if (got.Skew - want).Abs() > 5*time.Second {
			t.Errorf("Date %q: %s", date, got.Skew)
		}
	}
}

// An address that is not allowed, and a certificate that is not valid, are told
// apart from a network that fails.
func TestBlocked(t *testing.T) {
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(untrusted.Close)
	for endpoint, tt := range map[string]struct {
		loopback, want bool
	}{
		untrusted.URL: {true, true}, "https://127.0.0.1:1/token": {false, true}, "http://127.0.0.1:1/token": {true, false},
	} {
		got := oauth.New(oauth.Options{Loopback: tt.loopback}).Refresh(t.Context(), at(endpoint), domain.NewSecret("rt"), func() error { return nil }, func(answer.Raw) error { return nil })
		if got.Class != answer.NotSent || got.Blocked != tt.want {
			t.Errorf("%s: %+v", endpoint, got)
		}
	}
}
