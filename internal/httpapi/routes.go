package httpapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"outlink/domain"
)

// Route is one address of the API. The table of them is what is served and what
// docs/reference/openapi.yaml is made from.
type Route struct {
	Method, Path string
	ID           string // of the operation, unique
	Tag          string
	Summary      string
	Means        string  // more than the summary; of a query its own doc comment says it
	Query        string  // the query that answers; then Params are members of its question
	Params       []Param // beyond these, a path or a query string says nothing
	Media        string  // of a good answer; "" means JSON
	Status       int     // of a good answer; 0 means 200

	serve func(*API) http.HandlerFunc
}

// Param is a parameter of a path or of a query string.
type Param struct {
	Name   string
	Member string // of the question, when it has another name there
	Number bool
	Means  string // for a route that asks no query
}

// Pattern is the route as http.ServeMux writes it.
func (r Route) Pattern() string { return r.Method + " " + r.Path }

// The tags, each with what it is about.
var Tags = map[string]string{
	"commands":      "What changes something.",
	"queries":       "What the read model knows.",
	"authorization": "Where a person's browser comes by.",
	"probes":        "What a load balancer asks.",
	"events":        "What happened, as it happens.",
	"contracts":     "These descriptions.",
}

var fresh = Param{Name: "min_sequence", Number: true}

// The addresses of the probes.
const (
	pathLive  = "/livez"
	pathReady = "/readyz"
)

const pathStream = "/api/v1/stream"

// streaming is the route of the stream of events.
func streaming() Route {
	all := Routes()
	return all[slices.IndexFunc(all, func(r Route) bool { return r.Path == pathStream })]
}

// Routes are all addresses of the API.
func Routes() []Route {
	return []Route{{
		Method: http.MethodGet, Path: pathLive, ID: "live", Tag: "probes", Media: "text/plain",
		Summary: "Say that the process runs", Means: "It asks nothing of NATS or of the read model.",
		serve: func(*API) http.HandlerFunc { return live },
	}, {
		Method: http.MethodGet, Path: pathReady, ID: "ready", Tag: "probes", Media: "text/plain",
		Summary: "Say whether requests can be served", Means: "It asks the log and the read model, and answers within two seconds.",
		serve: func(a *API) http.HandlerFunc { return a.ready },
	}, {
		Method: http.MethodGet, Path: "/oauth/start/{link}", ID: "startAuthorization", Tag: "authorization", Media: "text/html", Status: http.StatusSeeOther,
		Summary: "Send a person to the provider", Means: "This is the authorization_url of BeginAuthorization: it leaves a cookie and redirects to the provider.",
		Params: []Param{{Name: "link", Means: "the link's id"}, {Name: "ticket", Means: "as BeginAuthorization gave it"}},
		serve:  func(a *API) http.HandlerFunc { return a.start },
	}, {
		Method: http.MethodGet, Path: "/oauth/callback/{link}", ID: "completeAuthorization", Tag: "authorization", Media: "text/html",
		Summary: "Take a provider's answer", Means: "This is a link's redirect URL (RFC 6749 section 4.1.2). It needs the cookie of the browser that began.",
		Params: []Param{
			{Name: "link", Means: "the link's id"}, {Name: "state", Means: "as it was sent to the provider"}, {Name: "code", Means: "the authorization code"},
			{Name: "iss", Means: "the provider's issuer (RFC 9207)"}, {Name: "error", Means: "an OAuth error code instead of a code"},
		},
		serve: func(a *API) http.HandlerFunc { return a.callback },
	}, {
		Method: http.MethodPost, Path: "/api/v1/commands/{command}", ID: "command", Tag: "commands",
		serve: func(a *API) http.HandlerFunc { return a.command },
	}, {
		Method: http.MethodGet, Path: "/api/v1/links", ID: "listLinks", Tag: "queries", Query: "ListLinks", Summary: "List links",
		Params: []Param{
			{Name: "provider"}, {Name: "status"}, {Name: "text"}, {Name: "health"}, {Name: "expiring_within"}, {Name: "after"},
			{Name: "limit", Number: true}, fresh,
		},
	}, {
		Method: http.MethodGet, Path: "/api/v1/counts", ID: "countLinks", Tag: "queries", Query: "CountLinks", Summary: "Count links",
		Params: []Param{fresh},
	}, {
		Method: http.MethodGet, Path: "/api/v1/links/{link}", ID: "showLink", Tag: "queries", Query: "ShowLink", Summary: "Show a link",
		Params: []Param{{Name: "link"}, {Name: "at"}, {Name: "version", Number: true}, fresh},
	}, {
		Method: http.MethodGet, Path: "/api/v1/links/{link}/grants", ID: "listGrants", Tag: "queries", Query: "ListGrants", Summary: "List a link's grants",
		Params: []Param{{Name: "link", Member: "link_id"}, {Name: "status"}, {Name: "after"}, {Name: "limit", Number: true}, fresh},
	}, {
		Method: http.MethodGet, Path: "/api/v1/links/{link}/events", ID: "listEvents", Tag: "queries", Query: "ListEvents", Summary: "List a link's events",
		Params: []Param{{Name: "link", Member: "link_id"}, {Name: "grant", Member: "grant_id"}, {Name: "before", Number: true}, {Name: "limit", Number: true}, fresh},
	}, {
		Method: http.MethodGet, Path: "/api/v1/grants/{grant}/explanation", ID: "explainGrant", Tag: "queries", Query: "ExplainGrant", Summary: "Explain a grant",
		Params: []Param{{Name: "grant", Member: "grant_id"}, fresh},
	}, {
		Method: http.MethodGet, Path: "/api/v1/providers", ID: "listProviders", Tag: "queries", Query: "ListProviders", Summary: "List providers",
	}, {
		Method: http.MethodGet, Path: "/api/v1/projections", ID: "projectionStatus", Tag: "queries", Query: "ProjectionStatus", Summary: "Show the projections",
	}, {
		Method: http.MethodGet, Path: pathStream, ID: "streamEvents", Tag: "events", Media: "text/event-stream",
		Summary: "Stream events as they come",
		Means: "Server-sent events: `data` is an event as a CloudEvent (JSON, structured mode), `id` its sequence. It begins with what comes next, unless " +
			"`after` or the header Last-Event-ID, which a browser sends by itself, says behind which sequence.",
		Params: []Param{
			{Name: "link", Member: "link_id", Means: "events of this link and its grants only, by the link's id"},
			{Name: "after", Number: true, Means: "begin behind this sequence; 0: with the first event there is"},
		},
		serve: func(a *API) http.HandlerFunc { return a.stream(streaming()) },
	}, {
		Method: http.MethodGet, Path: "/openapi.yaml", ID: "openapi", Tag: "contracts", Media: "application/yaml",
		Summary: "Describe the HTTP API", Means: "OpenAPI 3.1: this document.",
		serve: func(*API) http.HandlerFunc { return document("openapi.yaml") },
	}, {
		Method: http.MethodGet, Path: "/asyncapi.yaml", ID: "asyncapi", Tag: "contracts", Media: "application/yaml",
		Summary: "Describe the NATS API", Means: "AsyncAPI 3.0: the subjects of commands, queries, tokens, events and notices.",
		serve: func(*API) http.HandlerFunc { return document("asyncapi.yaml") },
	}, {
		Method: http.MethodGet, Path: "/schemas/{name}", ID: "schema", Tag: "contracts", Media: "application/schema+json",
		Summary: "Give one JSON Schema", Means: "JSON Schema, draft 2020-12, of a command, an event, an outcome or whatever else is sent.",
		Params: []Param{{Name: "name", Means: `the schema's file, such as "outlink.command.DisableLink.v1.json"`}},
		serve:  func(a *API) http.HandlerFunc { return a.schema },
	}}
}

// Mux is what routes are added to.
type Mux interface {
	HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request))
}

// Register adds the routes.
func (a *API) Register(mux Mux) {
	for _, r := range Routes() {
		mux.HandleFunc(r.Path, a.wrongMethod(r))
		if r.Query != "" {
			mux.HandleFunc(r.Pattern(), a.query(r))
			continue
		}
		mux.HandleFunc(r.Pattern(), r.serve(a))
	}
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, domain.Errorf(domain.NotFound, "there is nothing at %s %s", clip(r.Method), clip(r.URL.Path)))
	})
}

// wrongMethod answers what a route is asked by another method than its own.
func (a *API) wrongMethod(route Route) http.HandlerFunc {
	allowed := route.Method
	if allowed == http.MethodGet {
		allowed += ", " + http.MethodHead
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		a.failAs(w, http.StatusMethodNotAllowed, domain.Errorf(domain.InvalidArgument, "%s takes %s, not %s", route.Path, allowed, clip(r.Method)))
	}
}

// query answers a route by its query.
func (a *API) query(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		question, err := route.question(r)
		if err != nil {
			a.fail(w, err)
			return
		}
		raw, _ := json.Marshal(question) // strings and numbers
		out, err := a.Queries.Run(r.Context(), route.Query, raw)
		a.answer(w, out, err)
	}
}

// question is what the query is asked; what is missing is left out.
func (r Route) question(from *http.Request) (map[string]any, error) {
	given, err := r.given(from.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	q := map[string]any{}
	for _, p := range r.Params {
		value := given.Get(p.Name)
		if r.InPath(p) {
			value = from.PathValue(p.Name)
		}
		if value == "" {
			continue
		}
		q[p.InQuestion()] = value
		if p.Number {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return nil, domain.Errorf(domain.InvalidArgument, "%s %q is no number from 0 on", p.Name, clip(value))
			}
			q[p.InQuestion()] = n
		}
		if _, err := uuid.Parse(value); err != nil && strings.HasSuffix(p.InQuestion(), "_id") {
			return nil, domain.Errorf(domain.InvalidArgument, "%s %q is no id (a UUID); the answer of GET /api/v1/links/NAME has a link's", p.Name, clip(value))
		}
	}
	return q, nil
}

// given are the parameters of a query string. Of one that is misspelled or given
// twice, something else would be answered than was asked.
func (r Route) given(query string) (url.Values, error) {
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, domain.Errorf(domain.InvalidArgument, "the parameters are not readable: %v", err)
	}
	var known []string
	for _, p := range r.Params {
		if !r.InPath(p) {
			known = append(known, p.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case len(known) == 0:
			return nil, domain.Errorf(domain.InvalidArgument, "unknown parameter %q; %s takes none", clip(name), r.Path)
		case !slices.Contains(known, name):
			return nil, domain.Errorf(domain.InvalidArgument, "unknown parameter %q; %s takes %s", clip(name), r.Path, strings.Join(known, ", "))
		case len(given[name]) > 1:
			return nil, domain.Errorf(domain.InvalidArgument, "%s is given %d times; give it once", name, len(given[name]))
		}
	}
	return given, nil
}

// InPath reports whether a parameter is one of the route's path.
func (r Route) InPath(p Param) bool { return strings.Contains(r.Path, "{"+p.Name+"}") }

// InQuestion is the parameter's name in the question.
func (p Param) InQuestion() string {
	if p.Member != "" {
		return p.Member
	}
	return p.Name
}
