package refresh_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/provider"
	"outlink/internal/catalogue"
	"outlink/internal/oauth"
	"outlink/internal/testenv/model"
	"outlink/workers/refresh"
)

// sim is an installation of a few nodes in memory, in time that the test moves
// (testing/synctest): the real worker and the real commands, on a log, a vault
// and disks that fail as the test says.
type sim struct {
	op       *model.Server
	rotation provider.Rotation
	idle     time.Duration // that a refresh token lives without being used
	links    memory[link.State, link.Event]
	grants   memory[grant.State, grant.Event]
	key      domain.Key
	nodes    []*simNode
	admin    *commands.Service
	work     sync.WaitGroup

	mu        sync.Mutex
	consents  int // of the person; each is a grant of its own at the provider
	vault     map[domain.Key]commands.Credential
	revision  map[domain.Key]uint64
	away      time.Time // the log answers nobody until then
	kmsAway   time.Time
	later     time.Time // when somebody asked to be woken
	responses []*response
	revoked   map[string]bool // by a person, at the provider
}

// response is a token response that the provider sent.
type response struct {
	consent string
	node    *simNode
	at      time.Time
	kept    bool // on the disk of its node
}

// memory is the log of one kind of aggregate.
type memory[S, E any] struct {
	kinds  domain.Kinds[E]
	evolve func(S, E) S
	mu     sync.Mutex
	states map[domain.Key]commands.Loaded[S]
	events map[domain.Key][]E
	last   *atomic.Uint64 // shared by the logs of all kinds
}

func (m *memory[S, E]) load(key domain.Key) commands.Loaded[S] {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[key]
}

func (m *memory[S, E]) append(key domain.Key, after commands.Loaded[S], e E, meta commands.Meta) (commands.Loaded[S], error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.states[key].Sequence != after.Sequence {
		return after, commands.ErrOvertaken
	}
	next := commands.Loaded[S]{
		State: m.evolve(after.State, e), Sequence: m.last.Add(1), Version: after.Version + 1, Event: uuid.New(), Causation: meta.CommandID.String(),
	}
	m.states[key], m.events[key] = next, append(m.events[key], e)
	return next, nil
}

func newMemory[S, E any](kinds domain.Kinds[E], evolve func(S, E) S, last *atomic.Uint64) memory[S, E] {
	return memory[S, E]{kinds: kinds, evolve: evolve, last: last, states: map[domain.Key]commands.Loaded[S]{}, events: map[domain.Key][]E{}}
}

// life is how long an access token lives at the simulated provider.
const life = time.Hour

func newSim(kind model.Kind, declared provider.Rotation, nodes int) *sim {
	return newSimWith(model.Options{Kind: kind}, provider.Provider{Rotation: declared}, nodes)
}

func newSimWith(o model.Options, p provider.Provider, nodes int) *sim {
	var last atomic.Uint64
	o.Lifetime = life
	s := &sim{
		op: model.New(o), rotation: p.Rotation, idle: p.Lifetimes.RefreshIdle,
		links: newMemory(link.Kinds, link.Evolve, &last), grants: newMemory(grant.Kinds, grant.Evolve, &last),
		vault: map[domain.Key]commands.Credential{}, revision: map[domain.Key]uint64{}, revoked: map[string]bool{},
	}
	s.key.Link = uuid.New()
	s.key.Grant = grant.ID(s.key.Link, "a")
	_, _ = s.links.append(domain.Key{Link: s.key.Link}, commands.Loaded[link.State]{}, link.Created{
		Config: link.Config{
			Name: "sim", Provider: "custom", ClientID: "id", Scopes: []string{"a"}, AuthStyle: link.Body,
			AuthorizationEndpoint: "https://op.example/authorize", TokenEndpoint: "https://op.example/token", RevocationEndpoint: "https://op.example/revoke",
		}, SecretGeneration: 1,
	}, commands.Meta{})
	s.admin = s.service(nil)
	for i := range nodes {
		n := &simNode{sim: s, name: fmt.Sprintf("n%d", i), journal: uuid.New(), disk: map[uuid.UUID][]byte{}}
		s.nodes = append(s.nodes, n)
		n.boot()
	}
	return s
}

// service is the commands as a process sees them; nil: one that nothing befalls.
func (s *sim) service(p *process) *commands.Service {
	all, err := catalogue.Load()
	if err != nil {
		panic(err)
	}
	custom, err := all.Get("custom")
	if err != nil {
		panic(err)
	}
	custom.Rotation, custom.Lifetimes.RefreshIdle = s.rotation, s.idle
	now := time.Now
	if p != nil {
		now = func() time.Time { return time.Now().Add(p.skew) }
	}
	return &commands.Service{
		Links: view[link.State, link.Event]{p, &s.links}, Grants: view[grant.State, grant.Event]{p, &s.grants},
		Vault: simVault{s, p}, Catalogue: all.With(custom), Now: now,
		NewID: uuid.New, Spread: func() float64 { return 0.5 }, CheckSecret: func(link.AuthStyle, domain.Secret) error { return nil },
	}
}

// consent has the person authorize the link anew.
func (s *sim) consent(ctx context.Context) error {
	s.mu.Lock()
	s.consents++
	name := fmt.Sprintf("a/%d", s.consents)
	s.mu.Unlock()
	_, err := s.admin.RecordTokenIssued(ctx, commands.RecordTokenIssued{
		Header: commands.Header{CommandID: uuid.New()}, Link: s.key.Link, Subject: "a",
		RefreshToken: domain.SecretInput{Clear: domain.NewSecret(s.op.Issue(name))},
	})
	return err
}

// current is the grant at the provider that the person gave last.
func (s *sim) current() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("a/%d", s.consents)
}

func (s *sim) state() grant.State { return s.grants.load(s.key).State }

func (s *sim) history() []grant.Event {
	s.grants.mu.Lock()
	defer s.grants.mu.Unlock()
	return slices.Clone(s.grants.events[s.key])
}

// stored is the vault's credential.
func (s *sim) stored() commands.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vault[s.key]
}

// fate is what befalls a node at one point of its work.
type fate struct {
	What string // "crash", "freeze", "log away", "ack lost"
	For  time.Duration
}

// onTheWire is what befalls one token request.
type onTheWire struct {
	What string // "", "refused", "cut before", "cut after", "busy", "busy after acting", "page", "page after acting", "slow", or an error code
	For  time.Duration
}

// simNode is a machine: its disk outlives its processes.
type simNode struct {
	*sim
	name    string
	journal uuid.UUID
	disk    map[uuid.UUID][]byte
	full    bool
	skew    time.Duration

	life    int // of the process that runs, or none when down
	down    bool
	frozen  time.Time
	outages [][2]time.Time
	now     *process
	passed  int
	fates   map[int]fate    // by the points passed since they were set
	at      map[string]fate // by the point's name, once
	wire    []onTheWire
}

// process is a life of a node.
type process struct {
	*simNode
	number int
	worker *refresh.Worker
}

// boot starts the node's process, and has it replay its journal.
func (n *simNode) boot() {
	n.mu.Lock()
	n.life++
	if n.down {
		n.outages[len(n.outages)-1][1] = time.Now()
	}
	n.down = false
	p := &process{simNode: n, number: n.life}
	n.now = p
	n.mu.Unlock()
	p.worker = &refresh.Worker{
		Commands: n.service(p), Endpoint: simEndpoint{p}, Journal: simJournal{p}, Vault: simVault{n.sim, p}, Gates: open{},
		Later: func(_ context.Context, _ domain.Key, at time.Time) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.later = at
			return nil
		},
		Node: n.name, Boot: uuid.New(), Log: slog.New(slog.DiscardHandler),
	}
	n.work.Go(func() {
		for p.worker.Replay(context.Background()) != nil { // it refuses to work before
			time.Sleep(time.Second)
		}
		p.worker.Resume(context.Background())
	})
}

// kill ends the node's process; whatever it does ends at its next point.
func (n *simNode) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killed()
}

func (n *simNode) killed() {
	if !n.down {
		n.outages = append(n.outages, [2]time.Time{time.Now(), time.Now().Add(1000 * time.Hour)})
	}
	n.life++
	n.down = true
}

// running is the node's process, or nil when it is down.
func (n *simNode) running() *process {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		return nil
	}
	return n.now
}

// wake hands the grant to the node's worker.
func (n *simNode) wake(fates map[int]fate, wire ...onTheWire) {
	n.mu.Lock()
	n.passed, n.fates, n.wire = 0, fates, wire
	n.mu.Unlock()
	p := n.running()
	if p == nil {
		return
	}
	n.work.Go(func() { _ = p.worker.Handle(context.Background(), n.key) }) // what went wrong is in the log, or it is woken again
}

// point is where something may befall the node.
func (p *process) point(name string) (lostAck bool) {
	if p == nil {
		return false
	}
	p.mu.Lock()
	p.passed++
	f := p.fates[p.passed]
	if named, ok := p.at[name]; ok {
		f = named
		delete(p.at, name)
	}
	switch f.What {
	case "crash":
		if p.number == p.life {
			p.killed()
		}
	case "freeze":
		p.frozen = time.Now().Add(f.For)
		p.outages = append(p.outages, [2]time.Time{time.Now(), p.frozen})
	case "log away":
		p.away = time.Now().Add(f.For)
	}
	until := p.frozen
	p.mu.Unlock()
	time.Sleep(time.Until(until))
	p.mu.Lock()
	dead := p.number != p.life
	p.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
	return f.What == "ack lost"
}

// reach fails while the log is away, after what a client waits for it.
func (s *sim) reach(ctx context.Context) error {
	s.mu.Lock()
	away := time.Until(s.away)
	s.mu.Unlock()
	if away <= 0 {
		return nil
	}
	select {
	case <-time.After(min(away, 5*time.Second)):
	case <-ctx.Done():
	}
	return domain.Errorf(domain.Unavailable, "the log is away")
}

// view is a log as one process sees it.
type view[S, E any] struct {
	p *process
	m *memory[S, E]
}

func (v view[S, E]) Load(ctx context.Context, key domain.Key) (commands.Loaded[S], error) {
	if v.p != nil {
		v.p.point("load")
		if err := v.p.reach(ctx); err != nil {
			return commands.Loaded[S]{}, err
		}
	}
	return v.m.load(key), nil
}

func (v view[S, E]) Append(ctx context.Context, key domain.Key, after commands.Loaded[S], e E, m commands.Meta) (commands.Loaded[S], error) {
	if v.p == nil {
		return v.m.append(key, after, e, m)
	}
	lost := v.p.point("append")
	if err := v.p.reach(ctx); err != nil {
		return after, err
	}
	next, err := v.m.append(key, after, e, m)
	v.p.point("appended")
	if lost && err == nil {
		return after, domain.Errorf(domain.Unavailable, "the acknowledgement was lost")
	}
	return next, err
}

func (v view[S, E]) Back(_ context.Context, key domain.Key, from commands.Loaded[S], visit func(domain.Record) bool) error {
	v.m.mu.Lock()
	events := v.m.events[key][:from.Version]
	v.m.mu.Unlock()
	for i, e := range slices.Backward(events) {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if visit(domain.Record{Version: uint64(i + 1), Type: v.m.kinds.Type(e), Data: data}) {
			break
		}
	}
	return nil
}

// simVault is the vault as one process sees it.
type simVault struct {
	*sim
	p *process
}

func (v simVault) kms() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if time.Now().Before(v.kmsAway) {
		return domain.Errorf(domain.Unavailable, "the key service is away")
	}
	return nil
}

func (v simVault) ClientSecret(context.Context, uuid.UUID, uint64) (domain.Secret, error) {
	return domain.NewSecret("secret"), nil
}
func (v simVault) StoreClientSecret(context.Context, uuid.UUID, uint64, domain.Secret) error {
	return nil
}
func (v simVault) Unseal(domain.Sealed) (domain.Secret, error) {
	return domain.Secret{}, errors.New("nothing is sealed")
}
func (v simVault) MakeKey(context.Context, domain.Key, bool) (bool, error) { return false, nil } // it is there

func (v simVault) Derive(_ context.Context, key domain.Key, purpose string, id uuid.UUID) ([]byte, error) {
	sum := sha256.Sum256([]byte(key.String() + purpose + id.String()))
	return sum[:], nil
}

func (v simVault) Credential(ctx context.Context, key domain.Key) (commands.Credential, uint64, error) {
	v.p.point("open")
	if v.p != nil {
		if err := v.reach(ctx); err != nil {
			return commands.Credential{}, 0, err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.vault[key], v.revision[key], nil
}

func (v simVault) StoreCredential(ctx context.Context, key domain.Key, c commands.Credential, after uint64) error {
	lost := v.p.point("store")
	if v.p != nil {
		if err := v.reach(ctx); err != nil {
			return err
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.revision[key] != after {
		return commands.ErrOvertaken
	}
	v.vault[key] = c
	v.revision[key]++
	if lost {
		return domain.Errorf(domain.Unavailable, "the acknowledgement was lost")
	}
	return nil
}

func (v simVault) AnswerSealer(context.Context, domain.Key, uuid.UUID) (func([]byte) []byte, error) {
	if err := v.kms(); err != nil {
		return nil, err
	}
	return func(b []byte) []byte { return b }, nil
}

func (v simVault) OpenAnswer(_ context.Context, _ domain.Key, _ uuid.UUID, b []byte) ([]byte, error) {
	return b, v.kms()
}

// simJournal is a node's disk as one process sees it.
type simJournal struct{ p *process }

func (j simJournal) ID() uuid.UUID { return j.p.journal }

func (j simJournal) Reserve() (func(), error) {
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	if j.p.full {
		return nil, errors.New("no space left on device")
	}
	return func() {}, nil
}

func (j simJournal) Note(id uuid.UUID, b []byte) error {
	j.p.mu.Lock()
	j.p.disk[id] = b
	j.p.mu.Unlock()
	j.p.point("noted")
	return nil
}

func (j simJournal) Put(id uuid.UUID, b []byte) error {
	j.p.point("put")
	j.p.mu.Lock()
	j.p.disk[id] = b
	j.p.mu.Unlock()
	j.p.point("kept")
	return nil
}

func (j simJournal) Drop(id uuid.UUID) {
	j.p.point("drop")
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	delete(j.p.disk, id)
}

func (j simJournal) All() map[uuid.UUID][]byte {
	j.p.mu.Lock()
	defer j.p.mu.Unlock()
	return maps.Clone(j.p.disk)
}

// simEndpoint is the provider as one process reaches it. It answers with what
// the real client makes of the bytes.
type simEndpoint struct{ p *process }

var client = oauth.New(oauth.Options{})

func (e simEndpoint) Read(r provider.Registration, raw answer.Raw) answer.Answer {
	return client.Read(r, raw)
}

func (e simEndpoint) Revoke(_ context.Context, _ provider.Registration, token domain.Secret, _ string) error {
	e.p.point("revoke")
	e.ask("/revoke", url.Values{"token": {token.Reveal()}})
	return nil
}

func (e simEndpoint) ask(path string, form url.Values) answer.Raw {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	e.p.op.ServeHTTP(rec, req)
	return answer.Raw{Status: rec.Code, ContentType: rec.Header().Get("Content-Type"), Body: rec.Body.Bytes()}
}

// deadline is that of the real client.
const deadline = 90 * time.Second

func (e simEndpoint) Refresh(ctx context.Context, r provider.Registration, token domain.Secret, guard func() error, keep func(answer.Raw) error) answer.Answer {
	sent := time.Now()
	e.p.point("send")
	if guard() != nil {
		return answer.Answer{Class: answer.NotSent, SentAt: sent}
	}
	wire := e.p.nextWire()
	lost := answer.Answer{Class: answer.Ambiguous, SentAt: sent, Requests: 1}
	switch wire.What {
	case "refused":
		return answer.Answer{Class: answer.NotSent, SentAt: sent}
	case "cut before":
		return lost
	case "busy":
		lost.HTTPStatus = http.StatusServiceUnavailable
		return lost
	case "invalid_grant", "access_denied", "invalid_client":
		ans := client.Read(r, answer.Raw{Status: http.StatusBadRequest, ContentType: "application/json", Body: []byte(`{"error":"` + wire.What + `"}`)})
		ans.SentAt, ans.Requests = sent, 1
		return ans
	}
	if wire.What == "page" {
		return e.page(r, sent, keep)
	}
	raw := e.ask("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token.Reveal()}})
	mine := e.p.responded(raw)
	time.Sleep(min(wire.For, deadline))
	e.p.point("acted")
	if wire.What == "cut after" || wire.What == "busy after acting" || wire.For >= deadline || ctx.Err() != nil {
		return lost
	}
	if wire.What == "page after acting" {
		return e.page(r, sent, keep)
	}
	if raw.Status == http.StatusOK {
		if keep(raw) == nil && mine != nil {
			e.p.mu.Lock()
			mine.kept = true
			e.p.mu.Unlock()
		}
	}
	ans := client.Read(r, raw)
	ans.SentAt, ans.Requests = sent, 1
	return ans
}

// page is an answer that nobody can read.
func (e simEndpoint) page(r provider.Registration, sent time.Time, keep func(answer.Raw) error) answer.Answer {
	raw := answer.Raw{Status: http.StatusOK, ContentType: "text/html", Body: []byte("<html>we are back soon</html>")}
	_ = keep(raw) // a full disk is no reason to read less
	ans := client.Read(r, raw)
	ans.SentAt, ans.Requests = sent, 1
	return ans
}

func (p *process) nextWire() onTheWire {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wire) == 0 {
		return onTheWire{}
	}
	next := p.wire[0]
	p.wire = p.wire[1:]
	return next
}

// responded notes a token response that is on its way to the process.
func (p *process) responded(raw answer.Raw) *response {
	if raw.Status != http.StatusOK {
		return nil
	}
	ledger := p.op.Ledger()
	r := &response{consent: ledger[len(ledger)-1].Subject, node: p.simNode, at: time.Now()}
	p.mu.Lock()
	p.responses = append(p.responses, r)
	p.mu.Unlock()
	return r
}

// settle has every node up, and time pass, until the grant is renewed or waits
// for a person, and no answer waits on a disk.
func (s *sim) settle() error {
	s.work.Wait()
	for _, n := range s.nodes {
		n.fates, n.wire, n.full = nil, nil, false
		if n.running() == nil {
			n.boot()
		}
	}
	for end := time.Now().Add(12 * time.Hour); time.Now().Before(end); {
		s.work.Wait()
		if s.settled() {
			return nil
		}
		if s.state().Unreadable != "" { // a person says to ask again
			s.resend()
		}
		time.Sleep(min(max(time.Until(s.next()), time.Second), replayEvery))
		s.tick()
	}
	s.work.Wait()
	b, _ := json.Marshal(s.state())
	return fmt.Errorf("the grant does not settle, %d answers wait: %s", s.kept(), b)
}

func (s *sim) resend() {
	_, _ = s.admin.RequestRefresh(context.Background(), commands.RequestRefresh{
		Header: commands.Header{CommandID: uuid.New()}, GrantRef: s.ref(), Resend: true,
	})
}

func (s *sim) settled() bool {
	state := s.state()
	renewed := state.Status() == grant.StatusActive && state.DueAt().After(time.Now())
	return s.kept() == 0 && state.Attempt == nil && (state.Reauthorize != "" || renewed)
}

// replayEvery is how often a node looks for answers that wait on its disk.
const replayEvery = 15 * time.Second

// tick has all nodes look at their disks, and wakes those that a timer would.
func (s *sim) tick() {
	due := !time.Now().Before(s.next())
	if due {
		s.mu.Lock()
		s.later = time.Time{}
		s.mu.Unlock()
	}
	for _, n := range s.nodes {
		p := n.running()
		if p == nil {
			continue
		}
		n.work.Go(func() {
			_ = p.worker.Replay(context.Background())
			p.worker.Resume(context.Background())
		})
		if due {
			n.wake(nil)
		}
	}
}

// next is when a timer wakes somebody: as the grant's state says, or as a worker
// asked for.
func (s *sim) next() time.Time {
	s.mu.Lock()
	next := s.later
	s.mu.Unlock()
	if due := s.state().DueAt(); next.IsZero() || !due.IsZero() && due.Before(next) && due.After(time.Now()) {
		return due
	}
	return next
}

// kept is how many answers wait on the disks.
func (s *sim) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for _, n := range s.nodes {
		for _, b := range n.disk {
			if !unread(b) {
				count++
			}
		}
	}
	return count
}

// unread reports whether a record holds a page, which waits for a version that
// reads it.
func unread(record []byte) bool {
	var r struct {
		Sealed []byte `json:"sealed"`
	}
	var raw answer.Raw
	_ = errors.Join(json.Unmarshal(record, &r), json.Unmarshal(r.Sealed, &raw)) // a record without an answer has none
	return raw.ContentType == "text/html"
}

// excused reports whether the present consent may be lost: a person ended it, or
// an answer never came to a disk, or did to one of a node that was away longer
// than others wait.
func (s *sim) excused() bool {
	now := s.current()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked[now] {
		return true
	}
	for _, r := range s.responses {
		if r.consent == now && (!r.kept || r.node.awayAfter(r.at) >= 3*time.Minute) {
			return true
		}
	}
	return false
}

// awayAfter is how long the node did nothing since a time.
func (n *simNode) awayAfter(t time.Time) time.Duration {
	var sum time.Duration
	for _, o := range n.outages {
		if from := maxTime(o[0], t); o[1].After(from) {
			sum += o[1].Sub(from)
		}
	}
	return sum
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
