// Package model is an authorization server's token endpoint whose rules for
// refresh tokens are known exactly, and which keeps a ledger of what it did: the
// provider's side of the truth, to hold the log against.
package model

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Kind says what happens to a refresh token that was used.
type Kind string

// The kinds.
const (
	Stable Kind = "stable" // it stays
	Grace  Kind = "grace"  // a new one is issued; the old one works for a while after its first use
	Strict Kind = "strict" // a new one is issued; the old one is dead, and using it again ends the grant
)

// Options configure a Server.
type Options struct {
	Kind         Kind
	Grace        time.Duration // how long a used token works; 0 means 10 s
	Lifetime     time.Duration // of access tokens; 0 means 5 s
	ClientID     string        // "" takes any client
	ClientSecret string
	Rate         float64              // requests a second, above which it answers 429; 0: any
	Think        func() time.Duration // how long it takes from acting to answering; nil: no time
	Now          func() time.Time
}

// Outcome is what the server made of a token request.
type Outcome string

// The outcomes.
const (
	Issued       Outcome = "issued"
	Dead         Outcome = "dead"  // invalid_grant: the grant had ended already
	Reuse        Outcome = "reuse" // invalid_grant: a used token; on a strict server it ended the grant
	UnknownToken Outcome = "unknown_token"
	WrongClient  Outcome = "wrong_client"
	TooMany      Outcome = "too_many"
)

// Entry is a row of the ledger.
type Entry struct {
	Subject    string
	Presented  int // generation of the refresh token
	Outcome    Outcome
	Generation int  // of the one that was issued
	Written    bool // the response was handed to the connection completely
	At         time.Time
	WrittenAt  time.Time
}

// Server is a token endpoint at /token, and a revocation endpoint at /revoke
// (RFC 7009). It is an http.Handler.
type Server struct {
	o Options

	mu     sync.Mutex
	grants map[string]*grant
	tokens map[[32]byte]held // by digest: a server that is asked need not keep tokens
	ledger []Entry
	room   float64
	filled time.Time
}

type grant struct {
	newest int
	dead   bool
}

type held struct {
	subject    string
	generation int
	used       time.Time
}

// New makes a server without grants.
func New(o Options) *Server {
	o.Grace, o.Lifetime = cmp.Or(o.Grace, 10*time.Second), cmp.Or(o.Lifetime, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, grants: map[string]*grant{}, tokens: map[[32]byte]held{}, room: o.Rate}
}

// Serve answers on a loopback address until the listener is closed.
func (s *Server) Serve(l net.Listener) { _ = http.Serve(l, s) } //nolint:gosec // a test's

// Issue makes a grant and returns its refresh token.
func (s *Server) Issue(subject string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants[subject] = &grant{newest: 1}
	return s.token(subject, 1)
}

func (s *Server) token(subject string, generation int) string {
	token := "rt-" + rand.Text()
	s.tokens[sha256.Sum256([]byte(token))] = held{subject: subject, generation: generation}
	return token
}

// Alive reports whether a grant can still be refreshed by somebody who has its
// newest token.
func (s *Server) Alive(subject string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.grants[subject]
	return g != nil && !g.dead
}

// Generation is that of a grant's newest refresh token.
func (s *Server) Generation(subject string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants[subject].newest
}

// Revoke ends a grant, as its owner would.
func (s *Server) Revoke(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants[subject].dead = true
}

// Ledger is everything that was asked so far.
func (s *Server) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Entry(nil), s.ledger...)
}

// Unanswered is how many requests it has acted upon and not answered yet.
func (s *Server) Unanswered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.ledger {
		if e.WrittenAt.IsZero() {
			n++
		}
	}
	return n
}

// Count is how often a request came to an outcome.
func (s *Server) Count(o Outcome) int {
	n := 0
	for _, e := range s.Ledger() {
		if e.Outcome == o {
			n++
		}
	}
	return n
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	switch r.URL.Path {
	case "/token":
		s.refresh(w, r)
	case "/revoke":
		s.revoke(r.PostForm.Get("token"))
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	row, token, e := s.decide(r)
	if s.o.Think != nil {
		time.Sleep(s.o.Think())
	}
	switch e.Outcome {
	case Issued:
		body, _ := json.Marshal(map[string]any{
			"access_token": "at-" + rand.Text(), "token_type": "Bearer", "expires_in": int(s.o.Lifetime / time.Second), "refresh_token": token,
		})
		w.Header().Set("Content-Type", "application/json")
		_, err := w.Write(body)
		if f, ok := w.(http.Flusher); ok && err == nil {
			f.Flush()
		}
		s.written(row, err == nil && r.Context().Err() == nil)
		return
	case TooMany:
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "slow_down")
	case WrongClient:
		refuse(w, http.StatusUnauthorized, "invalid_client")
	default:
		refuse(w, http.StatusBadRequest, "invalid_grant")
	}
	s.written(row, true)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":%q}`, code)
}

// decide settles a request in one step, and writes it down.
func (s *Server) decide(r *http.Request) (row int, token string, e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.At = s.o.Now()
	e, token = s.judge(r, e)
	s.ledger = append(s.ledger, e)
	return len(s.ledger) - 1, token, e
}

func (s *Server) judge(r *http.Request, e Entry) (Entry, string) {
	switch {
	case s.crowded(e.At):
		e.Outcome = TooMany
		return e, ""
	case !s.known(r):
		e.Outcome = WrongClient
		return e, ""
	}
	digest := sha256.Sum256([]byte(r.PostForm.Get("refresh_token")))
	h, ok := s.tokens[digest]
	if !ok {
		e.Outcome = UnknownToken
		return e, ""
	}
	e.Subject, e.Presented = h.subject, h.generation
	g := s.grants[h.subject]
	switch {
	case g.dead:
		e.Outcome = Dead
		return e, ""
	case s.spent(h, g, e.At):
		g.dead = g.dead || s.o.Kind == Strict
		e.Outcome = Reuse
		return e, ""
	}
	if h.used.IsZero() {
		h.used = e.At
		s.tokens[digest] = h
	}
	e.Outcome = Issued
	if s.o.Kind == Stable {
		e.Generation = h.generation
		return e, r.PostForm.Get("refresh_token")
	}
	g.newest++
	e.Generation = g.newest
	return e, s.token(h.subject, g.newest)
}

// spent reports whether a token was used and works no more.
func (s *Server) spent(h held, g *grant, now time.Time) bool {
	switch s.o.Kind {
	case Strict:
		return h.generation != g.newest
	case Grace:
		return !h.used.IsZero() && now.Sub(h.used) > s.o.Grace
	}
	return false
}

func (s *Server) crowded(now time.Time) bool {
	if s.o.Rate == 0 {
		return false
	}
	s.room = min(s.o.Rate, s.room+s.o.Rate*now.Sub(s.filled).Seconds())
	s.filled = now
	if s.room < 1 {
		return true
	}
	s.room--
	return false
}

func (s *Server) known(r *http.Request) bool {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return s.o.ClientID == "" || id == s.o.ClientID && secret == s.o.ClientSecret
}

func (s *Server) written(row int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger[row].Written, s.ledger[row].WrittenAt = ok, s.o.Now()
}

func (s *Server) revoke(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h, ok := s.tokens[sha256.Sum256([]byte(strings.TrimSpace(token)))]; ok {
		s.grants[h.subject].dead = true
	}
}

// SetSecret changes the client's secret, as an administrator of the provider would.
func (s *Server) SetSecret(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.ClientSecret = secret
}

// Which is the generation of a refresh token, or 0 for one that never was.
func (s *Server) Which(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[sha256.Sum256([]byte(token))].generation
}
