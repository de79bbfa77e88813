package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
)

// What a request is refused for names the member, and never what it holds. A member
// is known by its exact name, and is there once.
func TestUnreadable(t *testing.T) {
	type head struct {
		Actor string `json:"actor"`
	}
	type question struct {
		head
		Link    uuid.UUID          `json:"link_id"`
		At      time.Time          `json:"at"`
		Limit   uint64             `json:"limit"`
		Device  bool               `json:"device"`
		Scopes  []string           `json:"scopes"`
		Params  map[string]string  `json:"params"`
		Within  struct{ N *int64 } `json:"within"`
		Secret  domain.SecretInput `json:"secret"`
		Version *uint64            `json:"version"`
	}
	const canary = "canary"
	for body, want := range map[string]string{
		``:                                   "it is empty; send a JSON object",
		` `:                                  "it is empty; send a JSON object",
		`{"limit":`:                          "the JSON ends too early",
		`canary`:                             "malformed JSON at byte 1",
		`{"actor":"a",}`:                     "malformed JSON at byte 13",
		`{}{}`:                               "there is more after the JSON object",
		`{} canary`:                          "there is more after the JSON object",
		`[1]`:                                "send a JSON object, not a list",
		`"canary"`:                           "send a JSON object, not a string",
		`true`:                               "send a JSON object, not a boolean",
		` null`:                              "send a JSON object, not a null",
		`{"nmae":"canary"}`:                  `unknown member "nmae"`,
		`{"Actor":"canary"}`:                 `unknown member "Actor"`,
		`{"actor":"canary","Actor":"x"}`:     `unknown member "Actor"`,
		`{"actor":"canary","actor":"x"}`:     `member "actor" is there twice`,
		`{"params":{"a":"canary","a":"x"}}`:  `member "params.a" is there twice`,
		`{"within":{"n":1}}`:                 `unknown member "within.n"`,
		`{"link_id":7}`:                      `member "link_id" must be a string, not a number`,
		`{"link_id":"canary"}`:               `member "link_id" has a value that does not fit (ids are UUIDs, times are RFC 3339)`,
		`{"at":"canary"}`:                    `member "at" has a value that does not fit (ids are UUIDs, times are RFC 3339)`,
		`{"at":true}`:                        `member "at" must be a string, not a boolean`,
		`{"limit":-1}`:                       `member "limit" must be a whole number that is in range`,
		`{"version":1e99}`:                   `member "version" must be a whole number that is in range`,
		`{"limit":"1"}`:                      `member "limit" must be a whole number that is in range, not a string`,
		`{"device":"canary"}`:                `member "device" must be a boolean, not a string`,
		`{"actor":{}}`:                       `member "actor" must be a string, not an object`,
		`{"scopes":"canary"}`:                `member "scopes" must be a list, not a string`,
		`{"scopes":["a",1]}`:                 `member "scopes.1" must be a string, not a number`,
		`{"params":{"a":1}}`:                 `member "params.a" must be a string, not a number`,
		`{"params":[]}`:                      `member "params" must be an object, not a list`,
		`{"secret":12345678}`:                `member "secret" does not fit: a secret is a string, or {"from": <public curve key>, "ciphertext": <base64>}`,
		`{"secret":{"from":"canary"}}`:       `member "secret" does not fit: a secret is a string, or {"from": <public curve key>, "ciphertext": <base64>}`,
		`{"secret":{"From":"x","from":"y"}}`: `member "secret" does not fit: a secret is a string, or {"from": <public curve key>, "ciphertext": <base64>}`,
	} {
		err := domain.Strictly([]byte(body), &question{})
		if err == nil {
			t.Errorf("%s is taken; want %q", body, want)
			continue
		}
		if got := domain.Unreadable(err); got != want || strings.Contains(got, canary) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	for _, body := range []string{`{}`, ` {"actor":null} `, `{"link_id":"0192F0C1-0000-7000-8000-000000000001","within":{"N":1},"params":{"A":"1","a":"2"},"version":0}`} {
		if err := domain.Strictly([]byte(body), &question{}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Whatever comes in, there is a word for it.
func FuzzUnreadable(f *testing.F) {
	f.Add([]byte(`{"link_id":"x","expires_at":1,"refresh_token":{"from":1},"within":{"n":[1]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var into struct {
			Link    uuid.UUID          `json:"link_id"`
			At      *time.Time         `json:"expires_at"`
			Secret  domain.SecretInput `json:"refresh_token"`
			Numbers map[string][]int   `json:"within"`
		}
		if err := domain.Strictly(body, &into); err != nil && domain.Unreadable(err) == "" {
			t.Errorf("%q: nothing to say of %v", body, err)
		}
	})
}

// What is in a secret's place is never repeated, whatever is wrong with it, and of a
// name that goes on for ever its beginning.
func TestUnreadableRepeatsNoSecret(t *testing.T) {
	for _, body := range []string{
		`{"secret":{"canary":1,"canary":2}}`, `{"secret":{"from":{"canary":1,"canary":1}}}`, `{"secret":[{"canary":1,"canary":1}]}`,
		`{"secret":{"canary":}}`, `{"` + strings.Repeat("x", 100) + `canary":1}`,
	} {
		var into struct {
			Secret domain.SecretInput `json:"secret"`
		}
		if err := domain.Strictly([]byte(body), &into); err == nil || strings.Contains(domain.Unreadable(err), "canary") {
			t.Errorf("%s: %s", body, domain.Unreadable(err))
		}
	}
}
