package model_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"outlink/internal/testenv/model"
)

type client struct {
	t   *testing.T
	url string
}

func (c client) refresh(token string) (string, int) {
	c.t.Helper()
	res, err := http.PostForm(c.url+"/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {"id"}, "client_secret": {"s"}})
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	// To its end: the server takes an answer whose reader left early for cut off.
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	var answer struct {
		RefreshToken string `json:"refresh_token"`
	}
	_ = json.Unmarshal(body, &answer)
	return answer.RefreshToken, res.StatusCode
}

// clock is moved by the test and read by the server.
type clock struct{ seconds atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.seconds.Store(1e9)
	return c
}

func (c *clock) read() time.Time         { return time.Unix(c.seconds.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// What becomes of a refresh token that is used twice, by kind.
func TestRotation(t *testing.T) {
	for name, tt := range map[string]struct {
		kind   model.Kind
		later  time.Duration // between the two uses
		again  int           // status of the second use
		newest int           // status of the newest token's use after that
	}{
		"stable":              {model.Stable, time.Hour, 200, 200},
		"grace, in time":      {model.Grace, 5 * time.Second, 200, 200},
		"grace, too late":     {model.Grace, 11 * time.Second, 400, 200},
		"strict ends a grant": {model.Strict, 0, 400, 400},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			s := model.New(model.Options{Kind: tt.kind, Now: now.read})
			server := httptest.NewServer(s)
			t.Cleanup(server.Close)
			c := client{t, server.URL}
			first := s.Issue("a")
			second, status := c.refresh(first)
			if status != 200 || second == "" || (tt.kind == model.Stable) != (first == second) {
				t.Fatalf("the first use: %d", status)
			}
			now.advance(tt.later)
			newest, status := c.refresh(first)
			if status != tt.again {
				t.Errorf("the second use: %d, want %d", status, tt.again)
			}
			if newest == "" {
				newest = second
			}
			if _, status := c.refresh(newest); status != tt.newest || s.Alive("a") != (tt.newest == 200) {
				t.Errorf("the newest token: %d, alive: %t", status, s.Alive("a"))
			}
			if l := s.Ledger(); len(l) != 3 || l[0].Outcome != model.Issued || !l[0].Written || l[0].Subject != "a" {
				t.Errorf("ledger %+v", l)
			}
		})
	}
}

// Clients that are not known, tokens that never were, and too many requests.
func TestRefusals(t *testing.T) {
	now := newClock()
	s := model.New(model.Options{Kind: model.Strict, ClientID: "id", ClientSecret: "s", Rate: 2, Now: now.read})
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c := client{t, server.URL}
	token := s.Issue("a")
	if _, status := c.refresh("rt-unknown"); status != 400 {
		t.Errorf("an unknown token: %d", status)
	}
	s.SetSecret("other")
	if _, status := c.refresh(token); status != 401 || !s.Alive("a") {
		t.Errorf("a wrong secret: %d", status)
	}
	if _, status := c.refresh(token); status != 429 {
		t.Errorf("the third at once: %d", status)
	}
	now.advance(time.Second)
	s.SetSecret("s")
	if _, status := c.refresh(token); status != 200 {
		t.Errorf("a second later: %d", status)
	}
}
