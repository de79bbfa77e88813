// Package httpapi is Outlink's door on HTTP: the pages' data, the commands, the
// OAuth callback and the probes.
//
// It translates and nothing more. Tokens are not served here, only over NATS.
package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/bus"
	"outlink/internal/eventlog"
	"outlink/internal/queries"
	"outlink/workers/authorize"
)

// API serves HTTP. All exported fields are required.
type API struct {
	Commands  *commands.Service
	Queries   *queries.Service
	Flow      *authorize.Flow
	Feed      eventlog.Feed
	PublicURL string
	Ready     func(ctx context.Context) error
	Ends      <-chan struct{} // closed when the server ends: streams would go on for ever
	Log       *slog.Logger

	streams atomic.Int64 // that are open
}

// Protect refuses cross-site posts from browsers (they carry no bearer here) and
// names that lead to this machine without being ours (DNS rebinding), and
// addresses of the API with a part left out.
func (a *API) Protect(next http.Handler) http.Handler {
	public, _ := url.Parse(a.PublicURL)
	sameOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !probe(r) && !ourHost(r.Host, public.Hostname()) {
			a.fail(w, domain.Errorf(domain.PermissionDenied, "the host %q is not this installation's; open %s", clip(r.Host), a.PublicURL))
			return
		}
		if err := sameOrigin.Check(r); err != nil {
			a.fail(w, domain.Errorf(domain.PermissionDenied, "a cross-origin request was refused; open %s itself", a.PublicURL))
			return
		}
		if path := r.URL.EscapedPath(); strings.HasPrefix(path, "/api/") && strings.Contains(path, "//") { // the mux would lead on to another address
			a.fail(w, domain.Errorf(domain.NotFound, "there is nothing at %s, where a part of the address is left out", clip(r.URL.Path)))
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// probe reports whether a request is for a route that tells no secret and changes
// nothing: load balancers ask by the address of the machine or pod.
func probe(r *http.Request) bool { return r.URL.Path == pathLive || r.URL.Path == pathReady }

func ourHost(hostport, public string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return host == public || host == "localhost" || err == nil && ip.IsLoopback()
}

func live(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") }

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.Ready(ctx); err != nil {
		a.fail(w, domain.Errorf(domain.Unavailable, "not ready"))
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

func (a *API) command(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, commands.MaxSize))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		a.failAs(w, http.StatusRequestEntityTooLarge, domain.Errorf(domain.InvalidArgument, "the command is too large: at most %d bytes are taken", commands.MaxSize))
		return
	case err != nil:
		a.fail(w, domain.Errorf(domain.InvalidArgument, "the command did not arrive completely"))
		return
	}
	out, err := a.Commands.Run(r.Context(), r.PathValue("command"), commands.Door{
		Traceparent: r.Header.Get("traceparent"), Again: r.Header.Get(bus.HeaderAgain) != "",
	}, body)
	a.answer(w, out, err)
}

func (a *API) answer(w http.ResponseWriter, out any, err error) {
	if err != nil {
		a.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out)
}

// Problem is an error as RFC 9457 wants it.
type Problem struct {
	Type   string         `json:"type"`   // "about:blank": Code says what it is
	Title  string         `json:"title"`  // the code, in words
	Status int            `json:"status"` // of the HTTP answer
	Detail string         `json:"detail"` // what was wrong, with what value, and what to do
	Code   domain.Code    `json:"code"`
	More   map[string]any `json:"details,omitempty"` // for programs
}

func (a *API) fail(w http.ResponseWriter, err error) {
	a.failAs(w, domain.Public(err).Code.HTTPStatus(), err)
}

// failAs is fail where HTTP has a status for more than the code says.
func (a *API) failAs(w http.ResponseWriter, status int, err error) {
	public := domain.Public(err)
	if public.Code == domain.Internal {
		a.Log.Error("a request failed", "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{
		Type: "about:blank", Title: strings.ReplaceAll(string(public.Code), "_", " "), Status: status,
		Detail: public.Message, Code: public.Code, More: public.Details,
	})
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
