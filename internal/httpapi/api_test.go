package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"outlink/internal/httpapi"
)

// A probe comes by whatever address leads to this machine; all else only by the
// installation's own name.
func TestProtectHost(t *testing.T) {
	api := &httpapi.API{PublicURL: "https://outlink.example.com"}
	protected := api.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, tt := range []struct {
		host, path string
		status     int
	}{
		{"outlink.example.com", "/", http.StatusOK},
		{"127.0.0.1:8480", "/api/v1/links", http.StatusOK},
		{"evil.example.com", "/", http.StatusForbidden},
		{"10.2.3.4:8480", "/api/v1/links", http.StatusForbidden},
		{"10.2.3.4:8480", "/readyz", http.StatusOK},
		{"0.0.0.0:8480", "/livez", http.StatusOK},
		{"10.2.3.4:8480", "/readyz/more", http.StatusForbidden},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tt.path, nil)
		r.Host = tt.host
		protected.ServeHTTP(w, r)
		if w.Code != tt.status {
			t.Errorf("%s of host %s: %d, want %d", tt.path, tt.host, w.Code, tt.status)
		}
	}
}
