package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"outlink/domain"
)

// tokenFile is a token that another system held: a token response (RFC 6749
// section 5.1), or nothing but the refresh token. Its end is a time, because
// expires_in counts from when the provider answered, which the file does not say.
type tokenFile struct {
	RefreshToken string    `json:"refresh_token"`
	AccessToken  string    `json:"access_token"`
	TokenType    string    `json:"token_type"`
	Scope        string    `json:"scope"`
	ExpiresAt    time.Time `json:"expires_at"`

	RefreshTokenExpiresAt time.Time `json:"refresh_token_expires_at"`

	ExpiresIn             seconds `json:"expires_in"`
	RefreshTokenExpiresIn seconds `json:"refresh_token_expires_in"`
}

// seconds is a lifetime: a number, or a string of one as some providers send.
type seconds struct{ time.Duration }

// longest is the longest lifetime taken, in seconds: a century is a mistake.
const longest = 100 * 365 * 24 * 3600

func (s *seconds) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		return nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= longest) {
		return errors.New("a lifetime is a number of seconds, not below zero")
	}
	s.Duration = time.Duration(n * float64(time.Second))
	return nil
}

// tokenMembers are the members that are read.
var tokenMembers = []string{
	"refresh_token", "access_token", "token_type", "scope", "expires_at", "expires_in", "refresh_token_expires_at", "refresh_token_expires_in",
}

// readTokenFile reads the file, whose relative ends count from now: who imports a
// token has just got it, and a renewal too early costs less than one too late.
// Members that are not read are named: providers add their own.
func readTokenFile(raw domain.Secret, now time.Time) (t tokenFile, ignored []string, err error) {
	text := strings.TrimSpace(raw.Reveal())
	if !strings.HasPrefix(text, "{") {
		return tokenFile{RefreshToken: text}, nil, nil
	}
	members := map[string]json.RawMessage{}
	if json.Unmarshal([]byte(text), &members) != nil {
		return t, nil, usage("the token file is no JSON object")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(tokenMembers, name) {
			ignored = append(ignored, fmt.Sprintf("%.60q", name))
		}
	}
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { return !slices.Contains(tokenMembers, name) })
	exact, _ := json.Marshal(members) // it was just decoded; the decoder below would take Expires_In too
	if json.Unmarshal(exact, &t) != nil {
		return tokenFile{}, nil, usage("a member of the token file does not fit: tokens, token_type and scope are strings, expires_in and refresh_token_expires_in seconds, expires_at and refresh_token_expires_at times (RFC 3339)")
	}
	t.ExpiresAt = end(t.ExpiresAt, t.ExpiresIn, now)
	t.RefreshTokenExpiresAt = end(t.RefreshTokenExpiresAt, t.RefreshTokenExpiresIn, now)
	return t, ignored, nil
}

// end is the time at which something ends, however that was said. A lifetime of
// zero says nothing.
func end(at time.Time, in seconds, now time.Time) time.Time {
	if at.IsZero() && in.Duration > 0 {
		return now.Add(in.Duration)
	}
	return at
}

// scopes are those of the response, or nil: then they are as requested.
func (t tokenFile) scopes() []string {
	if strings.TrimSpace(t.Scope) == "" {
		return nil
	}
	return strings.Fields(t.Scope)
}
