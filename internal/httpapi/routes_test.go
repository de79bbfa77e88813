package httpapi_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outlink/internal/httpapi"
)

// asked is the answer of the API alone to a request.
func asked(t *testing.T, method, path string) (*http.Response, httpapi.Problem) {
	t.Helper()
	mux := http.NewServeMux()
	api := &httpapi.API{PublicURL: "http://example.com", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	api.Register(mux)
	w := httptest.NewRecorder()
	api.Protect(mux).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	var p httpapi.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Errorf("%s %s answered no JSON: %s", method, path, w.Body)
	}
	return w.Result(), p
}

// A parameter that a route does not have, or that is there twice, is refused: what
// was asked would be something else.
func TestParametersThatAreNone(t *testing.T) {
	for path, says := range map[string]string{
		"/api/v1/links?stauts=active":                      `unknown parameter "stauts"; /api/v1/links takes provider, status`,
		"/api/v1/links?limit=1&limit=2":                    "limit is given 2 times",
		"/api/v1/links?status=&status=active":              "status is given 2 times",
		"/api/v1/links?text=%zz":                           "not readable",
		"/api/v1/links/crm?link=erp":                       `unknown parameter "link"`,
		"/api/v1/projections?min_sequence=1":               "/api/v1/projections takes none",
		"/api/v1/providers?" + strings.Repeat("x", 10_000): "takes none",
	} {
		if res, p := asked(t, http.MethodGet, path); res.StatusCode != http.StatusBadRequest || !strings.Contains(p.Detail, says) || len(p.Detail) > 300 {
			t.Errorf("%.100s: %d %s", path, res.StatusCode, p.Detail)
		}
	}
}

// A wrong method is told from a wrong address, with the right one.
func TestMethods(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodDelete, "/api/v1/links/crm", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodPost, "/api/v1/links", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/api/v1/commands/DisableLink", http.StatusMethodNotAllowed, "POST"},
		{http.MethodPost, "/livez", http.StatusMethodNotAllowed, "GET, HEAD"},
		{strings.Repeat("X", 5000), "/openapi.yaml", http.StatusMethodNotAllowed, "GET, HEAD"},
		{http.MethodGet, "/api/v1/link", http.StatusNotFound, ""},
		{http.MethodPost, "/api/v1/links/crm/grant", http.StatusNotFound, ""},
	} {
		res, p := asked(t, tt.method, tt.path)
		if res.StatusCode != tt.status || p.Status != tt.status || res.Header.Get("Allow") != tt.allow || len(p.Detail) > 300 {
			t.Errorf("%.10s %s: %d, allowed %q, %s", tt.method, tt.path, res.StatusCode, res.Header.Get("Allow"), p.Detail)
		}
	}
}

// An address whose id was left out does not lead on to another one.
func TestAddressWithoutID(t *testing.T) {
	for _, path := range []string{"/api/v1/links//grants", "/api//v1/links", "/api/v1/links//"} {
		if res, p := asked(t, http.MethodGet, path); res.StatusCode != http.StatusNotFound || !strings.Contains(p.Detail, "left out") {
			t.Errorf("%s: %d %s", path, res.StatusCode, p.Detail)
		}
	}
	if res, p := asked(t, http.MethodGet, "/api/v1/links/a%2F%2Fb?foo=1"); res.StatusCode != http.StatusBadRequest {
		t.Errorf("a name with slashes: %d %s", res.StatusCode, p.Detail)
	}
}
