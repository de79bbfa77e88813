package httpapi_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outlink/internal/httpapi"
)

// The contracts are served as they are committed, and nothing beside them.
func TestContracts(t *testing.T) {
	mux := http.NewServeMux()
	(&httpapi.API{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}).Register(mux)
	for path, tt := range map[string]struct {
		status      int
		media, says string
	}{
		"/openapi.yaml":  {200, "application/yaml", "openapi: 3.1.0"},
		"/asyncapi.yaml": {200, "application/yaml", "asyncapi: 3.0.0"},
		"/schemas/outlink.command.DisableLink.v1.json": {200, "application/schema+json", "Takes a link out of service"},
		"/schemas/outlink.notice.v1.json":              {200, "application/schema+json", "advice"},
		"/schemas/nothing.json":                        {404, "application/problem+json", "there is no schema"},
		"/schemas/..%2fschemas.go":                     {404, "application/problem+json", "there is no schema"},
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != tt.status || w.Header().Get("Content-Type") != tt.media || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s: %d %s %.200s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}
