package oauth

import (
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/provider"
)

// unwrap brings the token to where RFC 6749 section 5.1 has it. An error beside
// the token of a success says nothing: some providers always send the member.
func (e *exchange) unwrap() {
	var inner map[string]json.RawMessage
	if name := e.profile.Response.Nested; name != "" && str(e.body["access_token"]) == "" && json.Unmarshal(e.body[name], &inner) == nil {
		normalise(inner)
		if str(inner["access_token"]) != "" {
			maps.Copy(e.body, inner)
		}
	}
	if e.status/100 == 2 && str(e.body["access_token"]) != "" {
		e.issued = true
		delete(e.body, "error")
	}
}

// str reads a JSON string; anything else is "".
func str(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// code is the error code of an answer without a token. In a member that is no
// standard's it counts only with a known meaning: "status" may hold anything.
func (e *exchange) code() string {
	if e.issued {
		return ""
	}
	if code := str(e.body["error"]); code != "" {
		return code
	}
	if member := e.profile.Response.ErrorMember; member != "" {
		return e.known(str(e.body[member]))
	}
	return ""
}

// knownCode is the error code if it is safe to log.
func (e *exchange) knownCode() string { return e.known(e.code()) }

// known returns a code that Outlink or the catalogue names, else "".
func (e *exchange) known(code string) string {
	if _, ok := e.profile.Errors[code]; ok {
		return code
	}
	return answer.KnownCode(code)
}

// token is what was issued. The refresh token is the body's own: the library
// puts the one that was sent where the answer has none.
func (e *exchange) token(access string) (answer.Class, *answer.Token, string) {
	refresh, kind := str(e.body["refresh_token"]), str(e.body["token_type"])
	switch {
	case !provider.Printable(access) || !provider.Printable(refresh):
		return answer.Unreadable, nil, "the token has characters that RFC 6749 does not allow"
	case e.tokenType(kind) == "":
		return answer.Unreadable, nil, "the token type is not one that was asked for"
	}
	issued := &answer.Token{
		AccessToken: domain.NewSecret(access), TokenType: e.tokenType(kind), Lifetime: seconds(e.body["expires_in"]), Scopes: e.scopes(),
	}
	if refresh != "" {
		issued.RefreshToken = domain.NewSecret(refresh)
	}
	issued.RefreshTokenLifetime = e.refreshTokenLifetime(refresh != "")
	return answer.Issued, issued, e.problem
}

// scopes are split at spaces and at the provider's separator; nil when not said.
func (e *exchange) scopes() []string {
	scope, separator := str(e.body["scope"]), e.profile.Response.ScopeSeparator
	scopes := strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || strings.ContainsRune(separator, r) })
	if len(scopes) == 0 {
		return nil
	}
	return scopes
}

// refreshMembers are the names that providers give to the refresh token's life:
// Google, LinkedIn and others; Keycloak; QuickBooks.
var refreshMembers = []string{"refresh_token_expires_in", "refresh_expires_in", "x_refresh_token_expires_in"}

// refreshTokenLifetime is what the answer says, 0 being no end (Keycloak's
// offline tokens), or else what the provider documents for a new refresh token.
// An end that counts from the consent is not moved by a refresh.
func (e *exchange) refreshTokenLifetime(brought bool) time.Duration {
	var life time.Duration
	said := false
	for _, name := range refreshMembers {
		life = max(life, seconds(e.body[name]))
		said = said || number(e.body[name])
	}
	documented := e.profile.Lifetimes
	if said || !brought || e.renews && documented.RefreshFixed {
		return life
	}
	return documented.Refresh
}

func number(raw json.RawMessage) bool {
	_, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(string(raw)), `"`), 64)
	return err == nil
}
