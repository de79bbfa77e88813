package node_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
)

// holds reports in which form content holds a secret, or "".
func holds(content []byte, secret string) string {
	percent := ""
	for _, b := range []byte(secret) {
		percent += fmt.Sprintf("%%%02X", b)
	}
	forms := map[string]string{"plain text": secret, "hex": hex.EncodeToString([]byte(secret)), "percent-encoding": percent, "a query": url.QueryEscape(secret)}
	for shift := range 3 { // where it begins within three bytes changes what base64 makes of it
		padded := []byte(strings.Repeat("x", shift) + secret)
		padded = padded[:len(padded)/3*3]
		for name, encoding := range map[string]*base64.Encoding{"base64": base64.StdEncoding, "base64url": base64.URLEncoding} {
			forms[fmt.Sprint(name, shift)] = encoding.EncodeToString(padded)[4*min(shift, 1):]
		}
	}
	for name, form := range forms {
		if bytes.Contains(content, []byte(form)) {
			return name
		}
	}
	return ""
}

// The search finds what it is to find.
func TestHolds(t *testing.T) {
	secret := "canary-" + strings.Repeat("s3cret?", 4)
	for _, before := range []string{"", "a", "ab", "abc", "abcd"} {
		for name, encoded := range map[string]string{
			"plain": before + secret, "base64": base64.StdEncoding.EncodeToString([]byte(before + secret + "end")),
			"base64url": base64.RawURLEncoding.EncodeToString([]byte(before + secret + "e")), "query": url.QueryEscape(before + secret), "hex": hex.EncodeToString([]byte(before + secret)),
		} {
			if holds([]byte("…"+encoded+"…"), secret) == "" {
				t.Errorf("%s after %q is not found", name, before)
			}
		}
	}
	if holds([]byte("nothing"), secret) != "" {
		t.Error("found in nothing")
	}
}

// watcher is a browser's way to the network: it keeps what pages said, and the
// cookies, which are secrets.
type watcher struct {
	host    string
	mu      sync.Mutex
	cookies []string
	bodies  bytes.Buffer
}

func (w *watcher) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || r.URL.Port() != w.host {
		return res, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range res.Cookies() {
		if c.Value != "" {
			w.cookies = append(w.cookies, c.Value)
		}
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSeeOther { // that is the way to the provider, with its state
		w.bodies.Write(body)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, err
}

// overNATS keeps everything that goes over NATS until stop is called.
func (i *installation) overNATS() (stop func() []byte) {
	i.t.Helper()
	nc, err := nats.Connect(i.nats.URL())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(nc.Close)
	var mu sync.Mutex
	var all bytes.Buffer
	if _, err := nc.Subscribe(">", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if !bytes.Contains(m.Data, []byte("?ticket=")) { // the answer of BeginAuthorization is to hold it
			fmt.Fprintf(&all, "%s %v %s\n", m.Subject, m.Header, m.Data)
		}
	}); err != nil {
		i.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		i.t.Fatal(err)
	}
	return func() []byte {
		nc.Close()
		mu.Lock()
		defer mu.Unlock()
		return bytes.Clone(all.Bytes())
	}
}

// live is what a live page is sent first.
func (i *installation) live(path string) []byte {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.node.URL()+path, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer res.Body.Close()
	b := make([]byte, 64<<10)
	n, _ := io.ReadAtLeast(res.Body, b, 1)
	return b[:n]
}

// No secret shows anywhere: not the provider's that were refused or that nobody
// could read, not the ticket or the cookie; in no page, query, live update,
// answer of a callback or message of the bus, and in no file.
func TestNoSecretShows(t *testing.T) {
	i, o := start(t), newOP(t, 4)
	stop := i.overNATS()
	id := i.createLink(o, "crm")
	jar, _ := cookiejar.New(nil)
	w := &watcher{host: i.node.URL()[strings.LastIndexByte(i.node.URL(), ':')+1:]}
	browser := &http.Client{Jar: jar, Transport: w}
	var tickets []string
	authorize := func(want int) {
		t.Helper()
		begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: id})
		_, ticket, _ := strings.Cut(begun.AuthorizationURL, "?ticket=")
		tickets = append(tickets, ticket)
		res, err := browser.Get(begun.AuthorizationURL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != want {
			t.Fatalf("the callback answered %d, want %d", res.StatusCode, want)
		}
	}
	o.mu.Lock()
	o.odd = append(o.odd, func(w http.ResponseWriter, secret string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"the code %s is over","error_uri":"https://example.com/%s"}`, secret, secret)
	})
	o.mu.Unlock()
	authorize(http.StatusPreconditionFailed)
	authorize(http.StatusOK)
	o.mu.Lock()
	o.odd = append(o.odd, func(w http.ResponseWriter, secret string) {
		_, _ = fmt.Fprintf(w, `{"access_token":"%s","token_type":`, secret)
	})
	o.mu.Unlock()
	i.eventually("an answer that nobody can read", func(r domain.Record) bool { return r.Type == "outlink.grant.refresh_unreadable.v1" })

	seen := map[string][]byte{}
	for _, path := range []string{
		"/", "/links/new", "/links/" + id.String(), "/api/v1/links/" + id.String(), "/api/v1/links/" + id.String() + "/grants",
		"/api/v1/grants/" + grant.ID(id, "default").String() + "/explanation", "/links/nobody",
	} {
		_, body := browse(t, jar, i.node.URL()+path)
		seen[path] = []byte(body)
	}
	for _, path := range []string{"/live/links", "/live/links/" + id.String()} {
		seen[path] = i.live(path)
	}
	i.do("RevokeGrant", commands.RevokeGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: id}})
	seen["NATS"], seen["pages on the way"] = stop(), w.bodies.Bytes()
	if len(w.cookies) < 2 || len(tickets) != 2 || len(seen["NATS"]) < 1000 || w.bodies.Len() == 0 {
		t.Fatalf("%d cookies, %d bytes over NATS: the test looks in the wrong place", len(w.cookies), len(seen["NATS"]))
	}
	o.mu.Lock()
	secrets := append(append(o.secrets, w.cookies...), tickets...)
	o.mu.Unlock()
	i.noSecret(secrets, seen)
}
