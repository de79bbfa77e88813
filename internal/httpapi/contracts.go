package httpapi

import (
	"net/http"

	"outlink/docs/reference"
	"outlink/domain"
)

// document serves a document of docs/reference as it is committed.
func document(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		http.ServeFileFS(w, r, reference.Documents, name)
	}
}

// schema serves one JSON Schema.
func (a *API) schema(w http.ResponseWriter, r *http.Request) {
	b, err := domain.Schemas.ReadFile("schemas/" + r.PathValue("name"))
	if err != nil {
		a.fail(w, domain.Errorf(domain.NotFound, "there is no schema %s; list them: outlink schema commands", clip(r.PathValue("name"))))
		return
	}
	w.Header().Set("Content-Type", "application/schema+json")
	_, _ = w.Write(b)
}
