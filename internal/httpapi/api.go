// Package httpapi is Outlink's door on HTTP: the pages' data, the commands, the
// OAuth callback and the probes.
//
// It translates and nothing more. Tokens are not served here, only over NATS.
package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"outlink/commands"
	"outlink/domain"
	"outlink/internal/queries"
	"outlink/workers/authorize"
)

// API serves HTTP. All fields are required.
type API struct {
	Commands  *commands.Service
	Queries   *queries.Service
	Flow      *authorize.Flow
	PublicURL string
	Ready     func(ctx context.Context) error
	Log       *slog.Logger
}

// Register adds the routes.
func (a *API) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /oauth/start/{link}", a.start)
	mux.HandleFunc("GET /oauth/callback/{link}", a.callback)
	mux.HandleFunc("POST /api/v1/commands/{command}", a.command)
	mux.HandleFunc("GET /api/v1/links", a.query("ListLinks", func(r *http.Request) any {
		q := r.URL.Query()
		limit, _ := strconv.Atoi(q.Get("limit"))
		return map[string]any{"provider": q.Get("provider"), "status": q.Get("status"), "text": q.Get("text"), "health": q.Get("health"), "expiring_within": q.Get("expiring_within"), "after": q.Get("after"), "limit": limit, "min_sequence": minSequence(r)}
	}))
	mux.HandleFunc("GET /api/v1/counts", a.query("CountLinks", func(r *http.Request) any { return map[string]any{"min_sequence": minSequence(r)} }))
	mux.HandleFunc("GET /api/v1/links/{link}", a.query("ShowLink", func(r *http.Request) any {
		return map[string]any{"link": r.PathValue("link"), "min_sequence": minSequence(r)}
	}))
	mux.HandleFunc("GET /api/v1/links/{link}/grants", a.query("ListGrants", func(r *http.Request) any {
		return map[string]any{"link_id": r.PathValue("link"), "after": r.URL.Query().Get("after"), "min_sequence": minSequence(r)}
	}))
	mux.HandleFunc("GET /api/v1/grants/{grant}/explanation", a.query("ExplainGrant", func(r *http.Request) any {
		return map[string]any{"grant_id": r.PathValue("grant"), "min_sequence": minSequence(r)}
	}))
	mux.HandleFunc("GET /api/v1/providers", a.query("ListProviders", nil))
	mux.HandleFunc("GET /api/v1/projections", a.query("ProjectionStatus", nil))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, domain.Errorf(domain.NotFound, "there is nothing at %s %s", r.Method, clip(r.URL.Path)))
	})
}

// Protect refuses cross-site posts from browsers (they carry no bearer here) and
// names that lead to this machine without being ours (DNS rebinding).
func (a *API) Protect(next http.Handler) http.Handler {
	public, _ := url.Parse(a.PublicURL)
	sameOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ourHost(r.Host, public.Hostname()) {
			a.fail(w, domain.Errorf(domain.PermissionDenied, "the host %q is not this installation's; open %s", clip(r.Host), a.PublicURL))
			return
		}
		if err := sameOrigin.Check(r); err != nil {
			a.fail(w, domain.Errorf(domain.PermissionDenied, "a cross-origin request was refused; open %s itself", a.PublicURL))
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func ourHost(hostport, public string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return host == public || host == "localhost" || err == nil && ip.IsLoopback()
}

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
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, commands.MaxSize+1))
	if err != nil {
		a.fail(w, domain.Errorf(domain.InvalidArgument, "the command did not arrive completely, or is too large: at most %d bytes are taken", commands.MaxSize))
		return
	}
	out, err := a.Commands.Run(r.Context(), r.PathValue("command"), commands.Door{Traceparent: r.Header.Get("traceparent")}, body)
	a.answer(w, out, err)
}

func (a *API) query(name string, body func(*http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var raw []byte
		if body != nil {
			raw, _ = json.Marshal(body(r)) // strings and numbers
		}
		out, err := a.Queries.Run(r.Context(), name, raw)
		a.answer(w, out, err)
	}
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

// problem is an error as RFC 9457 wants it.
type problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail"`
	Code   domain.Code    `json:"code"`
	More   map[string]any `json:"details,omitempty"`
}

func (a *API) fail(w http.ResponseWriter, err error) {
	public := domain.Public(err)
	if public.Code == domain.Internal {
		a.Log.Error("a request failed", "error", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(public.Code.HTTPStatus())
	_ = json.NewEncoder(w).Encode(problem{
		Type: "about:blank", Title: strings.ReplaceAll(string(public.Code), "_", " "), Status: public.Code.HTTPStatus(),
		Detail: public.Message, Code: public.Code, More: public.Details,
	})
}

func minSequence(r *http.Request) uint64 {
	n, _ := strconv.ParseUint(r.URL.Query().Get("min_sequence"), 10, 64)
	return n
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
