// Package faults is a proxy in front of a token endpoint that breaks requests
// and answers as networks, load balancers and providers do.
package faults

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Answer is a complete answer on its way back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Fault is what happens to one request. The zero Fault lets it pass.
type Fault struct {
	Name string

	CutBefore bool                  // the connection ends before the server hears of it
	Instead   *Answer               // answered without asking the server
	Hold      <-chan struct{}       // the answer waits until this is closed
	Change    func(a Answer) Answer // after the server has acted
	CutAfter  bool                  // the connection ends without a byte of the answer
	CutMiddle bool                  // or in the middle of it
}

// The faults that have a name everywhere.
var (
	CutBefore = Fault{Name: "request cut before the server", CutBefore: true}
	CutAfter  = Fault{Name: "response cut after the server acted", CutAfter: true}
	CutMiddle = Fault{Name: "response cut in the middle", CutMiddle: true}
)

// Says answers without asking the server.
func Says(status int, body string, header ...string) Fault {
	a := Answer{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
	for i := 0; i+1 < len(header); i += 2 {
		a.Header.Set(header[i], header[i+1])
	}
	return Fault{Name: fmt.Sprintf("answers %d %s", status, body), Instead: &a}
}

// Rewrites changes the body and the content type of the server's answer.
func Rewrites(name, contentType string, body func([]byte) []byte) Fault {
	return Fault{Name: name, Change: func(a Answer) Answer {
		a.Header.Set("Content-Type", contentType)
		a.Body = body(a.Body)
		return a
	}}
}

// Proxy forwards to one server. Its faults are taken in order, one a request;
// when there is none left, requests pass.
type Proxy struct {
	*httptest.Server
	to       string
	acted    chan struct{}
	mu       sync.Mutex
	next     []Fault
	requests int
}

// New starts a proxy in front of the server at a URL, such as http://127.0.0.1:7.
func New(t testing.TB, to string) *Proxy {
	t.Helper()
	p := &Proxy{to: to, acted: make(chan struct{}, 1000)}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(func() {
		p.CloseClientConnections()
		p.Close()
	})
	return p
}

// Next queues faults.
func (p *Proxy) Next(all ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, all...)
}

// Requests is how many came.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// Acted waits until the server has answered one more request.
func (p *Proxy) Acted(ctx context.Context) error {
	select {
	case <-p.acted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Proxy) take() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if len(p.next) == 0 {
		return Fault{}
	}
	f := p.next[0]
	p.next = p.next[1:]
	return f
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f := p.take()
	if f.CutBefore {
		cut(w)
		return
	}
	a := Answer{}
	if f.Instead != nil {
		a = *f.Instead
	} else if a, err = p.forward(r, body); err != nil {
		http.Error(w, "the server behind the proxy does not answer", http.StatusBadGateway)
		return
	}
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-r.Context().Done():
		}
	}
	if f.Change != nil {
		a = f.Change(a)
	}
	if f.CutAfter {
		cut(w)
		return
	}
	a.write(w, f.CutMiddle)
}

// forward asks the server, whatever becomes of the one who asked.
func (p *Proxy) forward(r *http.Request, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, p.to+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header, req.Host = r.Header.Clone(), r.Host // what a proof is for
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	all, err := io.ReadAll(res.Body)
	p.acted <- struct{}{}
	return Answer{res.StatusCode, res.Header, all}, err
}

func (a Answer) write(w http.ResponseWriter, half bool) {
	for k, v := range a.Header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(a.Body)))
	w.WriteHeader(a.Status)
	if !half {
		_, _ = w.Write(a.Body)
		return
	}
	_, _ = w.Write(a.Body[:len(a.Body)/2])
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler) // ends the connection
}

func cut(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close()
	}
}
