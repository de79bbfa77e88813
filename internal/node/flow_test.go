package node_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/bus"
	"outlink/internal/natsd"
	"outlink/internal/node"
	"outlink/internal/queries"
	"outlink/projections"
)

// op is a small authorization server with PKCE and rotating refresh tokens. It
// remembers every secret that it handed out.
type op struct {
	*httptest.Server
	life int // of access tokens, in seconds

	mu         sync.Mutex
	challenges map[string]string // code to challenge
	refresh    string
	refreshes  int
	secrets    []string
	proofs     []string                                     // DPoP proofs that came
	revoked    sync.Map                                     // tokens; also while an odd answer is on its way
	exchanged  string                                       // the last subject token that came
	odd        []func(w http.ResponseWriter, secret string) // answers to the next token requests
}

func newOP(t *testing.T, life int) *op {
	o := &op{life: life, challenges: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", o.authorize)
	mux.HandleFunc("POST /token", o.token)
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		o.revoked.Store(r.FormValue("token"), true)
	})
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

func (o *op) secret() string {
	s := "canary-" + rand.Text()
	o.secrets = append(o.secrets, s)
	return s
}

func (o *op) authorize(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	q := r.URL.Query()
	code := o.secret()
	o.secrets = append(o.secrets, q.Get("state"))
	if q.Get("code_challenge_method") == "S256" {
		o.challenges[code] = q.Get("code_challenge")
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
}

func (o *op) token(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, secret, _ := r.BasicAuth()
	ok := secret == clientSecret
	switch r.FormValue("grant_type") {
	case "authorization_code":
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		o.secrets = append(o.secrets, r.FormValue("code_verifier"))
		ok = ok && o.challenges[r.FormValue("code")] == base64.RawURLEncoding.EncodeToString(sum[:])
		delete(o.challenges, r.FormValue("code"))
	case string(link.TokenExchange):
		o.exchanged = r.FormValue("subject_token")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": o.secret(), "token_type": "bearer", "expires_in": o.life})
		return
	default:
		ok = ok && r.FormValue("refresh_token") == o.refresh
		o.refreshes++
	}
	if len(o.odd) > 0 {
		answer := o.odd[0]
		o.odd = o.odd[1:]
		answer(w, o.secret())
		return
	}
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	kind := "bearer"
	if proof := r.Header.Get("DPoP"); proof != "" {
		kind, o.proofs = "DPoP", append(o.proofs, proof)
	}
	o.refresh = o.secret()
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": o.secret(), "token_type": kind, "expires_in": o.life, "refresh_token": o.refresh})
}

const clientSecret = "canary-client-secret-0123456789"

// installation is a node that runs, with everything it wrote and logged.
type installation struct {
	t    *testing.T
	dir  string
	log  *syncBuffer
	node *node.Node
	nats *natsd.Server
	nc   *nats.Conn
	c    client.Client
	stop func()
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func start(t *testing.T) *installation { return startWith(t, func(*node.Config) {}) }

func startWith(t *testing.T, change func(*node.Config)) *installation {
	t.Helper()
	i := &installation{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	server, err := natsd.Start(filepath.Join(i.dir, "nats"), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	i.nats = server
	c := node.Config{
		Namespace: bus.DefaultNamespace, NATS: server.URL(), Database: "sqlite:" + filepath.Join(i.dir, "read.db"),
		HTTP: "127.0.0.1:0", KEKFile: filepath.Join(i.dir, "kek.json"), Name: "n1", Roles: node.Roles(), JournalDir: filepath.Join(i.dir, "journal"), JournalSize: 8 << 20, Replicas: 1, Dev: true, Migrate: true,
	}
	change(&c)
	i.node, err = node.Open(t.Context(), c, slog.New(slog.NewJSONHandler(i.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- i.node.Run(ctx, func() { close(ready) }) }()
	i.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	t.Cleanup(i.stop)
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the node did not start: %v", err)
	}
	if i.nc, err = nats.Connect(server.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.nc.Close)
	i.c = client.Client{NC: i.nc, Namespace: "outlink"}
	return i
}

func (i *installation) ctx() context.Context {
	ctx, cancel := context.WithTimeout(i.t.Context(), 30*time.Second)
	i.t.Cleanup(cancel)
	return ctx
}

func (i *installation) do(command string, body any) (out commands.Outcome) {
	i.t.Helper()
	if err := i.c.Do(i.ctx(), command, body, &out); err != nil {
		i.t.Fatalf("%s: %v", command, err)
	}
	return out
}

func (i *installation) createLink(o *op, name string) uuid.UUID {
	i.t.Helper()
	return i.createLinkWith(o, name, func(*commands.Draft) {})
}

func (i *installation) createLinkWith(o *op, name string, change func(*commands.Draft)) uuid.UUID {
	i.t.Helper()
	secret, err := i.c.Seal(i.ctx(), domain.NewSecret(clientSecret))
	if err != nil {
		i.t.Fatal(err)
	}
	d := commands.Draft{
		Name: name, Provider: "custom", ClientID: "id", Scopes: []string{"a", "b"}, AuthStyle: link.Basic,
		AuthorizationEndpoint: o.URL + "/authorize", TokenEndpoint: o.URL + "/token", RevocationEndpoint: o.URL + "/revoke",
	}
	change(&d)
	return i.do("CreateOutgoingLink", commands.CreateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, ClientSecret: secret, Draft: d}).Link
}

// browse opens a URL as a browser does, with cookies, and returns the last page.
func browse(t *testing.T, jar http.CookieJar, u string) (int, string) {
	t.Helper()
	res, err := (&http.Client{Jar: jar}).Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// eventually waits for events of the log until one satisfies.
func (i *installation) eventually(what string, satisfies func(domain.Record) bool) {
	i.t.Helper()
	found := errors.New("found")
	err := i.node.Feed.Follow(i.ctx(), 0, func(_ context.Context, batch []domain.Record) error {
		for _, r := range batch {
			if satisfies(r) {
				return found
			}
		}
		return nil
	})
	if !errors.Is(err, found) {
		i.t.Fatalf("%s: %v", what, err)
	}
}

func issued(generation uint64) func(domain.Record) bool {
	return func(r domain.Record) bool {
		e, err := grant.Kinds.Decode(r.Type, r.Data)
		if err != nil {
			return false
		}
		t, ok := e.(grant.TokenIssued)
		return ok && t.Generation == generation
	}
}

// The whole flow: a link is created, authorized in a browser, renewed by itself,
// served, revoked; the read model equals a replay; no secret shows anywhere.
func TestFlow(t *testing.T) {
	i, o := start(t), newOP(t, 2)
	id := i.createLink(o, "crm")
	begun := i.do("BeginAuthorization", commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	jar, _ := cookiejar.New(nil)
	status, page := browse(t, jar, begun.AuthorizationURL)
	if status != http.StatusOK || !strings.Contains(page, "Authorized") {
		t.Fatalf("the callback answered %d: %s", status, page)
	}
	i.eventually("renewed three times", issued(4))
	token, err := i.c.Token(i.ctx(), id, "", 0)
	if err != nil || token.Generation < 4 || !strings.HasPrefix(token.AccessToken, "canary-") {
		t.Errorf("token of generation %d, %v", token.Generation, err)
	}
	if status, page := browse(t, jar, begun.AuthorizationURL); status != http.StatusPreconditionFailed {
		t.Errorf("a used ticket answered %d: %s", status, page)
	}
	i.do("RevokeGrant", commands.RevokeGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: commands.GrantRef{Link: id}})
	i.eventually("erased", func(r domain.Record) bool { return r.Type == "outlink.grant.erased.v1" })
	if _, err := i.c.Token(i.ctx(), id, "", 0); domain.CodeOf(err) != domain.FailedPrecondition {
		t.Errorf("a revoked grant's token: %v", err)
	}
	var list queries.LinkList
	if err := i.c.Query(i.ctx(), "ListLinks", queries.ListLinks{Freshness: queries.Freshness{Fresh: true}}, &list); err != nil || len(list.Links) != 1 {
		t.Errorf("the list has %d links, %v", len(list.Links), err)
	}
	i.equalToRebuild()
	i.noSecret(o.secrets, nil)
}

func (i *installation) equalToRebuild() {
	i.t.Helper()
	records, err := i.node.Feed.Range(i.ctx(), nil, 0, 1e6)
	if err != nil {
		i.t.Fatal(err)
	}
	wantLinks, wantGrants, err := projections.Replay(records)
	if err != nil {
		i.t.Fatal(err)
	}
	links, grants, err := projections.Dump(i.ctx(), i.node.Store())
	if err != nil {
		i.t.Fatal(err)
	}
	got, _ := json.Marshal([]any{links, grants})
	want, _ := json.Marshal([]any{wantLinks, wantGrants})
	if !bytes.Equal(got, want) {
		i.t.Errorf("the read model differs from a replay:\n%s\n%s", got, want)
	}
}

// noSecret looks for every secret that was used, plain or encoded, in all files,
// the log, the answers over HTTP and what else was seen.
func (i *installation) noSecret(used []string, more map[string][]byte) {
	i.t.Helper()
	secrets := append([]string{clientSecret}, used...)
	seen := map[string][]byte{}
	maps.Copy(seen, more)
	for _, path := range []string{"/api/v1/links", "/api/v1/providers", "/api/v1/projections"} {
		_, body := browse(i.t, nil, i.node.URL()+path)
		seen[path] = []byte(body)
	}
	i.stop()
	i.nats.Stop()
	seen["log"] = i.log.b.Bytes()
	err := filepath.WalkDir(i.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			seen[path], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		i.t.Fatal(err)
	}
	if len(secrets) < 8 || len(seen) < 8 {
		i.t.Fatalf("only %d secrets and %d places: the test looks in the wrong place", len(secrets), len(seen))
	}
	for place, content := range seen {
		for _, s := range secrets {
			if form := holds(content, s); form != "" {
				i.t.Errorf("%s holds the secret %.12s… as %s", place, s, form)
			}
		}
	}
}

// What comes in wrong gets a clear error with a code, and breaks nothing.
func TestBadInput(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	valid := `"name":"x","provider":"custom","client_id":"id","client_secret":"s","scopes":["a"]`
	for name, tt := range map[string]struct{ command, body, code, says string }{
		"malformed JSON":       {"CreateOutgoingLink", `{"name":`, "invalid_argument", "ends too early"},
		"not JSON":             {"CreateOutgoingLink", `hello`, "invalid_argument", "malformed JSON at byte 1"},
		"empty":                {"CreateOutgoingLink", ``, "invalid_argument", "it is empty"},
		"unknown command":      {"CreateLink", `{}`, "invalid_argument", "unknown command"},
		"unknown member":       {"CreateOutgoingLink", `{"nmae":"x"}`, "invalid_argument", "nmae"},
		"trailing data":        {"DisableLink", `{"link_id":"` + id.String() + `"}{}`, "invalid_argument", "more after"},
		"wrong type":           {"DisableLink", `{"link_id":7}`, "invalid_argument", `member "link_id" must be a string, not a number`},
		"wrong type within":    {"CreateOutgoingLink", `{"name":7}`, "invalid_argument", `member "name" must be a string, not a number`},
		"no object":            {"CreateOutgoingLink", `[1]`, "invalid_argument", "send a JSON object, not a list"},
		"no id":                {"DisableLink", `{"link_id":"crm"}`, "invalid_argument", "ids are UUIDs"},
		"too large":            {"CreateOutgoingLink", `{"name":"` + strings.Repeat("x", 70000) + `"}`, "invalid_argument", "at most 65536 bytes"},
		"unknown provider":     {"CreateOutgoingLink", `{"name":"x","provider":"gogle"}`, "invalid_argument", "gogle"},
		"custom, no endpoints": {"CreateOutgoingLink", `{` + valid + `}`, "invalid_argument", "authorization"},
		"plain http":           {"CreateOutgoingLink", `{` + valid + `,"authorization_endpoint":"http://example.com/a","token_endpoint":"https://example.com/t"}`, "invalid_argument", "https"},
		"link-local":           {"CreateOutgoingLink", `{` + valid + `,"authorization_endpoint":"https://example.com/a","token_endpoint":"https://169.254.169.254/t"}`, "invalid_argument", "169.254.169.254"},
		"private":              {"CreateOutgoingLink", `{` + valid + `,"authorization_endpoint":"https://example.com/a","token_endpoint":"https://10.1.2.3/t"}`, "invalid_argument", "10.1.2.3"},
		"userinfo":             {"CreateOutgoingLink", `{` + valid + `,"authorization_endpoint":"https://a:b@example.com/a","token_endpoint":"https://example.com/t"}`, "invalid_argument", "user"},
		"fragment":             {"CreateOutgoingLink", `{` + valid + `,"authorization_endpoint":"https://example.com/a#x","token_endpoint":"https://example.com/t"}`, "invalid_argument", "fragment"},
		"bad scope":            {"CreateOutgoingLink", `{"name":"x","provider":"google","client_id":"i","client_secret":"s","scopes":["a\"b"]}`, "invalid_argument", "scope"},
		"no secret":            {"CreateOutgoingLink", `{"name":"x","provider":"google","client_id":"i","scopes":["a"]}`, "invalid_argument", "secret"},
		"name taken":           {"CreateOutgoingLink", `{"name":"CRM","provider":"google","client_id":"i","client_secret":"s","scopes":["a"]}`, "already_exists", "taken"},
		"no such link":         {"DisableLink", `{"link_id":"` + uuid.NewString() + `"}`, "not_found", "does not exist"},
		"wrong version":        {"DisableLink", `{"link_id":"` + id.String() + `","expected_version":9}`, "conflict", "version 1"},
		"no such grant":        {"RequestRefresh", `{"link_id":"` + id.String() + `"}`, "not_found", "authorize"},
		"bad command id":       {"DisableLink", `{"command_id":"7"}`, "invalid_argument", "UUID"},
		"secret as number":     {"ReplaceClientSecret", `{"link_id":"` + id.String() + `","client_secret":12345678}`, "invalid_argument", "a secret is"},
		"not for our key":      {"ReplaceClientSecret", `{"link_id":"` + id.String() + `","client_secret":{"from":"XAB","ciphertext":"AAAA"}}`, "invalid_argument", "does not open"},
	} {
		t.Run(name, func(t *testing.T) {
			msg, err := i.nc.Request("outlink.command."+tt.command, []byte(tt.body), 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			var overNATS domain.Error
			_ = json.Unmarshal(msg.Data, &overNATS)
			if string(overNATS.Code) != tt.code || !strings.Contains(overNATS.Message, tt.says) {
				t.Errorf("NATS: %s %q, want %s with %q", overNATS.Code, overNATS.Message, tt.code, tt.says)
			}
			res, err := http.Post(i.node.URL()+"/api/v1/commands/"+tt.command, "application/json", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var overHTTP struct{ Code, Detail string }
			_ = json.NewDecoder(res.Body).Decode(&overHTTP)
			status := domain.Code(tt.code).HTTPStatus()
			if name == "too large" {
				status = http.StatusRequestEntityTooLarge
			}
			if overHTTP.Code != tt.code || res.StatusCode != status || !strings.Contains(overHTTP.Detail, tt.says) {
				t.Errorf("HTTP: %d %s %q, want %s with %q", res.StatusCode, overHTTP.Code, overHTTP.Detail, tt.code, tt.says)
			}
			t.Logf("%s: %s", overNATS.Code, overNATS.Message)
		})
	}
	if got := i.do("DisableLink", commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: id}); len(got.Events) != 1 {
		t.Errorf("after all that the node does not work: %+v", got)
	}
}

// The same command twice has one effect and the same answer, through any door.
func TestRepeatedCommand(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	disable := commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: id}
	first := i.do("DisableLink", disable)
	i.do("EnableLink", commands.EnableLink{Header: commands.Header{CommandID: uuid.New()}, Link: id})
	again := i.do("DisableLink", disable)
	if first.Sequence != again.Sequence || again.Version != 2 {
		t.Errorf("the repeat answered %+v, the first time was %+v", again, first)
	}
	at, err := i.node.Commands.Links.Load(t.Context(), domain.Key{Link: id})
	if err != nil || at.State.Status() != link.StatusActive {
		t.Errorf("the repeat had an effect: the link is %s, %v", at.State.Status(), err)
	}
	disable.Link = i.createLink(o, "another")
	if err := i.c.Do(i.ctx(), "DisableLink", disable, &again); domain.CodeOf(err) != domain.InvalidArgument {
		t.Errorf("the id of another link's command: %v", err)
	}
}

// A submitted command is handled once; one that is refused is set aside with its
// reason, sealed, for it may hold a secret in clear.
func TestSubmittedCommands(t *testing.T) {
	i, o := start(t), newOP(t, 3600)
	id := i.createLink(o, "crm")
	js, err := jetstream.New(i.nc)
	if err != nil {
		t.Fatal(err)
	}
	submit := func(command, body string) {
		t.Helper()
		if _, err := js.Publish(i.ctx(), "outlink.submit."+command, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	submit("DisableLink", `{"link_id":"`+id.String()+`","command_id":"`+uuid.NewString()+`"}`)
	i.eventually("disabled", func(r domain.Record) bool { return r.Type == "outlink.link.disabled.v1" })
	submit("ReplaceClientSecret", `{"link_id":"`+id.String()+`","client_secret":"canary-clear"}`)
	consumer, err := js.OrderedConsumer(i.ctx(), i.node.Namespace.DeadStream(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	dead, err := consumer.Next(jetstream.FetchMaxWait(20 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(dead.Headers().Get("Outlink-Dead-Reason"), "sealed") || bytes.Contains(dead.Data(), []byte("canary")) {
		t.Errorf("set aside with %v: %s", dead.Headers(), dead.Data())
	}
}
