package oauth

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// amended sets parameters for which the library has no place, and writes the
// request as JSON for a provider that takes no form.
func (e *exchange) amended(req *http.Request) (*http.Request, error) {
	asJSON := e.profile.TokenRequest == "json"
	if len(e.params) == 0 && !asJSON {
		return req, nil
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the request is no form")
	}
	maps.Copy(form, e.params)
	encoded := form.Encode()
	if asJSON {
		encoded = jsonForm(form)
		req.Header.Set("Content-Type", "application/json")
	}
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(encoded)), int64(len(encoded))
	return req, nil
}

// jsonForm writes a form as a JSON object: a repeated parameter is an array.
func jsonForm(form url.Values) string {
	members := map[string]any{}
	for name, values := range form {
		members[name] = values
		if len(values) == 1 {
			members[name] = values[0]
		}
	}
	encoded, _ := json.Marshal(members) // strings only: it cannot fail
	return string(encoded)
}
