package refresh_test

import (
	"net/http"
	"testing"
)

// A provider that says when to come back is asked once, even where an ambiguous
// answer would be followed by another try at once.
func TestNoRetryAgainstTheProvidersWish(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.op.answer = func(rw http.ResponseWriter) bool {
		rw.Header().Set("Retry-After", "120")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	if err := w.workers[0].Handle(t.Context(), w.grants[0]); err != nil {
		t.Fatal(err)
	}
	if w.op.requests != 1 {
		t.Errorf("%d requests, want one", w.op.requests)
	}
}
