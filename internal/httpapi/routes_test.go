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
	(&httpapi.API{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}).Register(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
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
