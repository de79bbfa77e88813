package main

import (
	"strings"
	"testing"
	"time"

	"outlink/domain"
)

// A token response as providers send it gives its ends, whatever else is in it.
func TestTokenFile(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		file            string
		access, refresh time.Duration // from now; 0: not said
		ignored         string
		fails           string
	}{
		"refresh token alone":  {"r3fresh\n", 0, 0, "", ""},
		"number":               {`{"refresh_token":"r","access_token":"a","expires_in":3599}`, 3599 * time.Second, 0, "", ""},
		"numeric string":       {`{"refresh_token":"r","access_token":"a","expires_in":"3600"}`, time.Hour, 0, "", ""},
		"exponent":             {`{"refresh_token":"r","access_token":"a","expires_in":3.6e3}`, time.Hour, 0, "", ""},
		"null":                 {`{"refresh_token":"r","expires_in":null}`, 0, 0, "", ""},
		"refresh token's end":  {`{"refresh_token":"r","refresh_token_expires_in":86400}`, 0, 24 * time.Hour, "", ""},
		"a time outweighs":     {`{"refresh_token":"r","expires_at":"2026-11-23T13:00:00Z","expires_in":5}`, time.Hour, 0, "", ""},
		"members of providers": {`{"refresh_token":"r","id_token":"x","ext_expires_in":9}`, 0, 0, `"ext_expires_in" "id_token"`, ""},
		"another case":         {`{"refresh_token":"r","Expires_In":9}`, 0, 0, `"Expires_In"`, ""},
		"below zero":           {`{"refresh_token":"r","expires_in":-1}`, 0, 0, "", "does not fit"},
		"no number":            {`{"refresh_token":"r","expires_in":"soon"}`, 0, 0, "", "does not fit"},
		"not a number":         {`{"refresh_token":"r","expires_in":"NaN"}`, 0, 0, "", "does not fit"},
		"cut off":              {`{"refresh_token":"s3cret`, 0, 0, "", "no JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			got, ignored, err := readTokenFile(domain.NewSecret(tt.file), now)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("read with %v, want an error with %q", err, tt.fails)
				}
				return
			}
			if err != nil || got.RefreshToken == "" || strings.Join(ignored, " ") != tt.ignored {
				t.Errorf("read with %v, ignored %q, want %q", err, ignored, tt.ignored)
			}
			for what, at := range map[string][2]time.Time{
				"access token": {got.ExpiresAt, from(now, tt.access)}, "refresh token": {got.RefreshTokenExpiresAt, from(now, tt.refresh)},
			} {
				if !at[0].Equal(at[1]) {
					t.Errorf("the %s ends at %s, want %s", what, at[0], at[1])
				}
			}
		})
	}
}

func from(now time.Time, d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return now.Add(d)
}
