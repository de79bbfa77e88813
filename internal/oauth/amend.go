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

// form is what the library wants to send.
func form(req *http.Request) (url.Values, error) {
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return nil, err
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the request is no form")
	}
	return values, nil
}

// amend gives the request its body: the form with the parameters for which the
// library has no place, as JSON for a provider that takes no form.
func (e *exchange) amend(req *http.Request, form url.Values) {
	maps.Copy(form, e.params)
	body := form.Encode()
	if e.profile.TokenRequest == "json" {
		body = jsonForm(form)
		req.Header.Set("Content-Type", "application/json")
	}
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	req.GetBody = nil // without it the transport cannot send the body twice
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
