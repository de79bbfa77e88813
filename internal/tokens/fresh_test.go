package tokens

import (
	"testing"
	"time"

	"outlink/domain/grant"
)

// A caller's wish leads to a refresh where that brings a token that lives longer
// by enough; without one the schedule comes first.
func TestFresh(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		life, left time.Duration
		request    Request
		fresh      bool
	}{
		"no wish, much left":            {time.Hour, 31 * time.Second, Request{}, true},
		"no wish, too little":           {time.Hour, 30 * time.Second, Request{}, false},
		"no wish, a short life":         {20 * time.Second, 10 * time.Second, Request{}, true},
		"wish below what is left":       {time.Hour, 31 * time.Minute, Request{MinTTL: 30 * time.Minute}, true},
		"wish above what is left":       {time.Hour, 29 * time.Minute, Request{MinTTL: 30 * time.Minute}, false},
		"wish near the whole life":      {time.Hour, 55 * time.Minute, Request{MinTTL: 59 * time.Minute}, true},
		"wish above the life, new":      {time.Hour, 55 * time.Minute, Request{MinTTL: 2 * time.Hour}, true},
		"wish above the life, not new":  {time.Hour, 53 * time.Minute, Request{MinTTL: 2 * time.Hour}, false},
		"wish above a life of seconds":  {2 * time.Second, time.Second, Request{MinTTL: time.Minute}, true},
		"wish above a life of a minute": {time.Minute, 53 * time.Second, Request{MinTTL: time.Hour}, false},
		"any token":                     {time.Hour, time.Second, Request{Asked: true}, true},
		"any token, over":               {time.Hour, 0, Request{Asked: true}, false},
	} {
		c := &grant.TokenIssued{ReceivedAt: now.Add(tt.left - tt.life), ExpiresAt: now.Add(tt.left)}
		if got := fresh(c, now, tt.request.wish()); got != tt.fresh {
			t.Errorf("%s: fresh is %t", name, got)
		}
	}
}
