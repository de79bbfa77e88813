// Package catalogue reads the catalogue of providers. It takes no entry on
// trust: an unknown key, a missing source or a contradictory profile fails the
// start, because a wrong profile loses refresh tokens.
package catalogue

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/publicsuffix"

	"outlink/domain/answer"
	"outlink/domain/link"
	"outlink/domain/provider"
)

// Load reads the catalogue that ships with Outlink.
func Load() (provider.Catalogue, error) {
	return Parse(strings.NewReader(provider.CatalogueYAML))
}

// Parse reads a catalogue and reports everything that is wrong with it at once.
func Parse(r io.Reader) (provider.Catalogue, error) {
	decoder := yaml.NewDecoder(r)
	decoder.KnownFields(true)
	var entries []provider.Provider
	if err := decoder.Decode(&entries); err != nil {
		return provider.Catalogue{}, fmt.Errorf("read catalogue: %w", err)
	}
	seen := map[string]bool{}
	var errs []error
	for _, p := range entries {
		if seen[p.Key] {
			errs = append(errs, fmt.Errorf("provider %q: is in the catalogue twice", p.Key))
		}
		seen[p.Key] = true
		for _, problem := range check(p) {
			errs = append(errs, fmt.Errorf("provider %q: %s", p.Key, problem))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return provider.Catalogue{}, fmt.Errorf("check catalogue: %w", err)
	}
	return provider.NewCatalogue(entries...), nil
}

// check returns what is wrong with an entry.
func check(p provider.Provider) []string {
	var problems []string
	require := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, problem)
		}
	}
	require(p.Key != "" && strings.Trim(p.Key, "abcdefghijklmnopqrstuvwxyz0123456789-") == "", "key must be lower-case letters, digits and hyphens")
	require(p.Name != "", "name is missing")
	require(strings.HasPrefix(p.Source, "https://"), "source must be an https URL")
	_, err := time.Parse(time.DateOnly, p.Verified)
	require(err == nil, "verified must be a day such as 2026-11-23")

	if p.Key != provider.Custom {
		require(slices.Contains(link.AuthStyles(), p.AuthStyle), "auth_style must be one of the known ones")
		problems = append(problems, preset(p)...)
	}
	require(p.TokenRequest == "" || p.TokenRequest == "json", `token_request must be "json" or absent`)
	require(p.Revocation == "" || p.Revocation == "project", `revocation must be "project" or absent`)
	require(!p.Lifetimes.RefreshFixed || p.Lifetimes.Refresh > 0, "lifetimes.refresh_fixed belongs to lifetimes.refresh")
	require(slices.Contains([]provider.RotationKind{provider.Stable, provider.Grace, provider.Strict, provider.Unknown}, p.Rotation.Kind),
		"rotation.kind must be stable, grace, strict or unknown")
	require(p.Rotation.Kind == provider.Grace == (p.Rotation.Grace > 0), "rotation.grace belongs to kind grace, and is positive")
	require(p.Lifetimes.Access >= 0 && p.Lifetimes.Refresh >= 0 && p.Lifetimes.RefreshIdle >= 0, "lifetimes must not be negative")
	for code, class := range p.Errors {
		require(code != "" && overridable(class), fmt.Sprintf("errors: %q cannot mean %q", code, class))
	}
	return problems
}

// preset checks what an entry presets by the rules for a link's configuration.
func preset(p provider.Provider) []string {
	c := p.Complete(link.Config{Name: p.Name, ClientID: "id", Scopes: []string{"scope"}})
	secret := c.AuthStyle != link.None
	if err := p.Check(c, secret, provider.Policy{}); err != nil {
		return []string{err.Error()}
	}
	return nil
}

// overridable reports whether an error code may have that meaning.
func overridable(c answer.Class) bool {
	return slices.Contains([]answer.Class{
		answer.Transient, answer.RateLimited, answer.GrantInvalid, answer.InteractionRequired, answer.AccessDenied,
		answer.ClientRejected, answer.ClientDeleted, answer.ScopeRejected, answer.ConfigError, answer.Ambiguous,
	}, c)
}

// PublicSuffix reports whether host has a registrable domain under a suffix of
// the public suffix list's ICANN section. It is what [provider.Policy] wants.
func PublicSuffix(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	suffix, icann := publicsuffix.PublicSuffix(host)
	if !icann && strings.Contains(suffix, ".") { // a private section below an ICANN suffix, such as github.io
		_, icann = publicsuffix.PublicSuffix(suffix[strings.LastIndexByte(suffix, '.')+1:])
	}
	_, err := publicsuffix.EffectiveTLDPlusOne(host)
	return icann && err == nil
}
