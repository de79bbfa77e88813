package faults_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outlink/internal/testenv/faults"
)

// What a client and the server see of each fault.
func TestFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault faults.Fault
		body  string // "" means that the client gets no complete answer
		acted int
	}{
		"none":     {faults.Fault{}, "answer", 1},
		"before":   {faults.CutBefore, "", 0},
		"after":    {faults.CutAfter, "", 1},
		"middle":   {faults.CutMiddle, "", 1},
		"instead":  {faults.Says(503, "busy"), "busy", 0},
		"rewrites": {faults.Rewrites("loud", "text/plain", func(b []byte) []byte { return []byte(strings.ToUpper(string(b))) }), "ANSWER", 1},
	} {
		t.Run(name, func(t *testing.T) {
			acted := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				acted++
				_, _ = io.WriteString(w, "answer")
			}))
			t.Cleanup(server.Close)
			p := faults.New(t, server.URL)
			p.Next(tt.fault)
			body := ""
			res, err := http.Post(p.URL+"/token", "text/plain", strings.NewReader("x"))
			if err == nil {
				b, readErr := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if readErr == nil {
					body = string(b)
				}
			}
			if body != tt.body || acted != tt.acted {
				t.Errorf("the client read %q and the server acted %d times, want %q and %d", body, acted, tt.body, tt.acted)
			}
		})
	}
}

// A held answer comes when it is let go; the server has acted before.
func TestHold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }))
	t.Cleanup(server.Close)
	p := faults.New(t, server.URL)
	hold := make(chan struct{})
	p.Next(faults.Fault{Hold: hold})
	answered := make(chan int, 1)
	go func() {
		res, err := http.Get(p.URL)
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
		answered <- res.StatusCode
	}()
	if err := p.Acted(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(answered) != 0 {
		t.Error("answered while held")
	}
	close(hold)
	if status := <-answered; status != 204 {
		t.Errorf("status %d", status)
	}
}
