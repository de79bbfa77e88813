package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"outlink/commands"
	"outlink/commands/client"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/internal/bus"
	"outlink/internal/journal"
	"outlink/internal/natsd"
	"outlink/internal/node"
	"outlink/internal/testenv/model"
)

var torture = flag.Duration("torture", 0, "how long TestTorture kills processes at each kind of provider, with 1,000 grants; 0: a short while with few")

// rig is an installation of real processes: one that is left alone, and three
// that refresh and get killed. NATS and the provider, with its ledger, are the
// test's.
type rig struct {
	*testing.T
	dir      string
	database string
	nats     *natsd.Server
	op       *model.Server
	provider *httptest.Server
	env      []string
	stopDoor func()
	workers  []*victim
	nc       *nats.Conn
	c        client.Client
	link     uuid.UUID

	mu    sync.Mutex
	stops []stop
}

// victim is a process that refreshes.
type victim struct {
	name  string
	cmd   *exec.Cmd
	err   *printed
	ended chan error
}

// stop is a moment at which a worker was killed or frozen; nothing of it happens
// between from and to.
type stop struct {
	node     string
	from, to time.Time
	kept     map[uuid.UUID]bool // attempts whose answers were on the disk of a killed one
}

func newRig(t *testing.T, o model.Options, grants int) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir(), op: model.New(o)}
	r.database = "sqlite:" + filepath.Join(r.dir, "outlink.db")
	return r.begin(grants)
}

func (r *rig) begin(grants int) *rig {
	t := r.T
	t.Helper()
	var err error
	if r.nats, err = natsd.Start(filepath.Join(r.dir, "nats"), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.nats.Stop() })
	r.provider = httptest.NewUnstartedServer(r.op)
	r.provider.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // killed clients
	r.provider.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	r.provider.StartTLS()
	t.Cleanup(func() { r.provider.CloseClientConnections(); r.provider.Close() })
	cert := filepath.Join(r.dir, "provider.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.provider.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.env = []string{"SSL_CERT_FILE=" + cert, "OUTLINK_SERVER=" + r.nats.URL()}
	if out, err := r.outlink("migrate", r.flags("door")...).CombinedOutput(); err != nil {
		t.Fatalf("migrate: %v\n%s", err, out)
	}
	door := r.outlink("serve", append(r.flags("door"), "--roles", "api,commands,projections,timers")...)
	_, ended := r.start(door)
	r.stopDoor = func() { _ = door.Process.Kill(); <-ended }
	if r.nc, err = nats.Connect(r.nats.URL(), nats.MaxReconnects(-1)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.nc.Close)
	r.c = client.Client{NC: r.nc, Namespace: string(bus.DefaultNamespace)}
	r.configure(grants)
	for i := range 3 {
		w := &victim{name: fmt.Sprintf("w%d", i)}
		r.workers = append(r.workers, w)
		r.run(w)
	}
	return r
}

func (r *rig) flags(name string) []string {
	return []string{
		"--node", name, "--database", r.database, "--http", "127.0.0.1:0", "--kek-file", filepath.Join(r.dir, "kek.json"),
		"--journal", filepath.Join(r.dir, "journal-"+name), "--allow-prefix", "127.0.0.0/8",
	}
}

func (r *rig) outlink(command string, args ...string) *exec.Cmd {
	c := binary(append([]string{command}, args...)...)
	c.Env = append(c.Env, r.env...)
	return c
}

func (r *rig) start(c *exec.Cmd) (*printed, chan error) {
	r.Helper()
	out, ended := &printed{}, make(chan error, 1)
	c.Stderr = out
	if err := c.Start(); err != nil {
		r.Fatal(err)
	}
	go func() { ended <- c.Wait() }()
	r.Cleanup(func() { _ = c.Process.Kill() })
	return out, ended
}

func (r *rig) run(w *victim) {
	w.cmd = r.outlink("serve", append(r.flags(w.name), "--roles", "refresh")...)
	w.err, w.ended = r.start(w.cmd)
}

// up has every worker run: one that starts while NATS is away ends, and whoever
// supervises it starts it again.
func (r *rig) up() {
	r.Helper()
	deadline := time.Now().Add(time.Minute)
	for _, w := range r.workers {
		for !strings.Contains(w.err.String(), "serves") {
			select {
			case <-w.ended:
				r.run(w)
			case <-time.After(20 * time.Millisecond): // another process comes up
			}
			if time.Now().After(deadline) {
				r.Fatalf("%s does not come up:\n%s", w.name, tail(w.err.String()))
			}
		}
	}
}

// configure makes the link and its grants, all due at once.
func (r *rig) configure(grants int) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Minute)
	defer cancel()
	for { // the process has to come up
		if _, err := r.c.Info(ctx); err == nil {
			break
		} else if ctx.Err() != nil {
			r.Fatal(err)
		}
	}
	var out commands.Outcome
	err := r.c.Do(ctx, "CreateOutgoingLink", map[string]any{
		"name": "torture", "provider": "custom", "client_id": "id", "client_secret": "secret", "auth_style": "body", "scopes": []string{"a"},
		"authorization_endpoint": r.provider.URL + "/authorize", "token_endpoint": r.provider.URL + "/token",
	}, &out)
	if err != nil {
		r.Fatal(err)
	}
	r.link = out.Link
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range grants {
		group.Go(func() error {
			subject := fmt.Sprintf("s%d", i)
			return r.c.Do(ctx, "RecordTokenIssued", map[string]any{"link_id": r.link, "subject": subject, "refresh_token": r.op.Issue(subject)}, &commands.Outcome{})
		})
	}
	if err := group.Wait(); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) stopped(s stop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stops = append(r.stops, s)
}

// kill ends a worker as a power failure of its process would, and starts it again.
func (r *rig) kill(w *victim) {
	from := time.Now()
	_ = w.cmd.Process.Kill()
	<-w.ended
	r.stopped(stop{w.name, from, time.Now(), r.kept(w)})
	r.run(w)
}

// kept lists the attempts whose answers a killed worker's journal has.
func (r *rig) kept(w *victim) map[uuid.UUID]bool {
	records, err := journal.Peek(filepath.Join(r.dir, "journal-"+w.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // killed before it made one
		r.Errorf("the journal of %s: %v", w.name, err)
	}
	kept := map[uuid.UUID]bool{}
	for id, b := range records {
		var answer struct {
			Sealed []byte `json:"sealed"`
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			r.Errorf("the journal of %s: %v", w.name, err)
		}
		if len(answer.Sealed) > 0 { // otherwise it says that the attempt was begun
			kept[id] = true
		}
	}
	return kept
}

// freeze holds a worker for a while, as a machine that sleeps.
func (r *rig) freeze(w *victim, d time.Duration) {
	from := time.Now()
	_ = w.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d) // how long is the test's input
	_ = w.cmd.Process.Signal(syscall.SIGCONT)
	r.stopped(stop{node: w.name, from: from, to: time.Now()})
}

// away takes NATS down for a while.
func (r *rig) away(d time.Duration) {
	address := strings.TrimPrefix(r.nats.URL(), "nats://")
	r.nats.Stop()
	time.Sleep(d) // how long is the test's input
	s, err := natsd.Start(filepath.Join(r.dir, "nats"), address)
	if err != nil {
		r.Error(err)
		return
	}
	r.nats = s
}

// drain interrupts a worker, which must end well.
func (r *rig) drain(w *victim) {
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-w.ended; err != nil {
		r.Errorf("%s was asked to stop and ended with %v:\n%s", w.name, err, tail(w.err.String()))
	}
}

// tail is what a process printed last, or of its first data race.
func tail(s string) string {
	if i := strings.Index(s, "WARNING: DATA RACE"); i >= 0 {
		return s[i:min(i+6000, len(s))]
	}
	return s[max(0, len(s)-2000):]
}

// inspect opens the log beside the running processes.
func (r *rig) inspect() *node.Node {
	r.Helper()
	n, err := node.Open(r.Context(), node.Config{
		Namespace: bus.DefaultNamespace, NATS: r.nats.URL(), Database: "sqlite:" + filepath.Join(r.dir, "outlink.db"), HTTP: "127.0.0.1:0",
		KEKFile: filepath.Join(r.dir, "kek.json"), Name: "inspector", Roles: []string{node.RoleProjections}, Replicas: 1, Dev: true,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(n.Close)
	return n
}

// settle waits until no grant is in doubt; a renewal may always be on its way.
func (r *rig) settle(n *node.Node, grants int, within time.Duration) {
	r.Helper()
	deadline := time.Now().Add(within)
	for {
		open, first := 0, ""
		for i := range grants {
			subject := fmt.Sprintf("s%d", i)
			at, err := n.Commands.Grants.Load(r.Context(), domain.Key{Link: r.link, Grant: grant.ID(r.link, subject)})
			if err != nil {
				r.Fatal(err)
			}
			s := at.State
			young := s.Attempt != nil && s.Ambiguities == 0 && time.Since(s.Attempt.At) < 5*time.Second
			if s.Reauthorize == "" && s.Status() != grant.StatusActive && !young {
				open++
				first = fmt.Sprintf("%s is %s, due %s", subject, s.Status(), s.DueAt())
			}
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("%d grants do not settle; %s\n%s", open, first, tail(r.workers[0].err.String()))
		}
		time.Sleep(200 * time.Millisecond) // other processes work
	}
}

// kinds are the providers of the torture.
var kinds = []model.Kind{model.Strict, model.Grace, model.Stable}

// Three processes that refresh are killed at random, again and again, while NATS
// goes away and, in the long run, a process freezes past its lease. What the
// provider's ledger says was answered is in the log; a grant is lost only to a
// request that was in flight when its process stopped, and then it says so.
func TestTorture(t *testing.T) {
	grants, killing, frozen, outage, think := 60, 8*time.Second, time.Duration(0), 2*time.Second, 200*time.Millisecond
	grace := time.Minute // with the race detector, on a busy machine, a process takes longer to come up than ten seconds
	if *torture > 0 {
		grants, killing, frozen, outage, think = 1000, *torture, 5*time.Minute, time.Minute, 40*time.Millisecond
		grace = 10 * time.Second
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			if *torture == 0 {
				t.Parallel()
			}
			r := newRig(t, model.Options{Kind: kind, Grace: grace, Lifetime: 5 * time.Second, Think: func() time.Duration { return rand.N(think) }}, grants)
			r.underWay()
			r.torment(killing, frozen, outage, kind == model.Grace)
			r.up()
			n := r.inspect()
			r.settle(n, grants, 15*time.Minute)
			for _, w := range r.workers {
				r.drain(w)
			}
			a := r.account(n, grants)
			t.Log(a)
			a.judge(r, kind)
		})
	}
}

// underWay waits for the first request: on a busy machine all processes may else be
// killed before they have come up.
func (r *rig) underWay() {
	r.Helper()
	for deadline := time.Now().Add(time.Minute); len(r.op.Ledger()) == 0; time.Sleep(20 * time.Millisecond) { // other processes come up
		if time.Now().After(deadline) {
			r.Fatalf("nobody refreshes:\n%s", tail(r.workers[0].err.String()))
		}
	}
}

// torment does all of it for a while. With calm, nobody is killed from shortly
// before NATS goes away: where the old refresh token works for ten seconds, no
// client could send it again in time while the log is away for longer.
func (r *rig) torment(d, frozen, outage time.Duration, calm bool) {
	end := time.Now().Add(d)
	var others sync.WaitGroup
	if frozen > 0 && frozen < d { // the last worker freezes; the others go on being killed
		others.Go(func() { r.freeze(r.workers[2], frozen) })
	}
	quiet := time.Now().Add(d / 2)
	if !calm {
		others.Go(func() { time.Sleep(d / 2); r.away(outage) })
	}
	for time.Now().Before(end) {
		if calm && time.Now().After(quiet) {
			time.Sleep(5 * time.Second) // what was killed last recovers
			r.away(outage)
			calm = false
		}
		time.Sleep(300*time.Millisecond + rand.N(d/100+time.Second)) // the moment is the test's input
		alive := len(r.workers)
		if frozen > 0 {
			alive--
		}
		r.kill(r.workers[rand.IntN(alive)])
	}
	others.Wait()
}

// A worker that is asked to stop with requests in flight stores all their answers
// and ends well.
func TestDrain(t *testing.T) {
	t.Parallel()
	const grants = 100
	r := newRig(t, model.Options{Kind: model.Strict, Lifetime: time.Hour, Think: func() time.Duration { return time.Second }}, grants)
	for r.op.Unanswered() < 20 { // three workers, eight requests each at first
		time.Sleep(10 * time.Millisecond) // other processes work
	}
	inFlight := r.op.Unanswered()
	var all errgroup.Group
	for _, w := range r.workers {
		all.Go(func() error { r.drain(w); return nil })
	}
	_ = all.Wait()
	a := r.account(r.inspect(), grants)
	t.Logf("%d requests in flight at SIGTERM; %s", inFlight, a)
	if a.logged != a.issued || a.lostGrants() != 0 {
		t.Errorf("%d answers and %d in the log", a.issued, a.logged)
	}
}

// history folds the log to what the account needs of each grant.
func (r *rig) histories(n *node.Node) map[uuid.UUID][]grant.Past {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	head, err := n.Feed.Head(ctx)
	if err != nil {
		r.Fatal(err)
	}
	all := map[uuid.UUID][]grant.Past{}
	err = n.Feed.Follow(ctx, 0, func(_ context.Context, batch []domain.Record) error {
		for _, rec := range batch {
			if rec.OfGrant() {
				e, err := grant.Kinds.Decode(rec.Type, rec.Data)
				if err != nil {
					return err
				}
				all[rec.Grant] = append(all[rec.Grant], grant.Past{Sequence: rec.Sequence, At: rec.Time, Event: e})
			}
			if rec.Sequence >= head {
				cancel()
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.Fatal(err)
	}
	return all
}

// account is the provider's ledger held against the log.
type account struct {
	grants, stops     int
	requests, issued  int // of the provider
	logged            int // token responses that are in the log
	inFlight          int // at the provider when their process stopped
	missing           int // responses that are not in the log
	unread            int // of these, answered, and not on the disk of their process when it stopped
	unexplained       []string
	lost              map[grant.Reason]int
	refused, lateness int
}

func (a *account) lostGrants() int {
	n := 0
	for _, c := range a.lost {
		n += c
	}
	return n
}

func (a *account) String() string {
	b, _ := json.Marshal(a.lost)
	return fmt.Sprintf("%d grants, %d kills and freezes; %d requests, %d token responses, %d of them in the log (%d late), %d refused; "+
		"%d in flight at the provider when their process stopped; %d responses not in the log, %d of them answered and not yet on the disk; grants lost: %d %s",
		a.grants, a.stops, a.requests, a.issued, a.logged, a.lateness, a.refused, a.inFlight, a.missing, a.unread, a.lostGrants(), b)
}

func (r *rig) account(n *node.Node, grants int) *account {
	r.Helper()
	a := &account{grants: grants, stops: len(r.stops), lost: map[grant.Reason]int{}}
	bySubject := map[string][]model.Entry{}
	for _, e := range r.op.Ledger() {
		a.requests++
		bySubject[e.Subject] = append(bySubject[e.Subject], e)
	}
	histories := r.histories(n)
	for i := range grants {
		subject := fmt.Sprintf("s%d", i)
		history := histories[grant.ID(r.link, subject)]
		events := make([]grant.Event, 0, len(history))
		for _, p := range history {
			events = append(events, p.Event)
		}
		if s := grant.Fold(events); s.Reauthorize != "" {
			a.lost[s.Reauthorize]++
		}
		r.compare(a, subject, bySubject[subject], grant.Tries(history))
	}
	return a
}

// unreadFor is how long a response may lie between the provider and the disk of
// a process on a machine whose cores and disk others use as well. That it was not
// on the disk, its journal says.
const unreadFor = 10 * time.Second

// compare goes through one grant's requests: each belongs to the last attempt
// that was begun before it.
func (r *rig) compare(a *account, subject string, entries []model.Entry, tries []grant.Try) {
	counted := map[uuid.UUID]bool{}
	for _, e := range entries {
		if e.Outcome != model.Issued {
			a.refused++
			continue
		}
		a.issued++
		try := tryOf(e, tries)
		inFlight, unread := r.stoppedDuring(try, e)
		if inFlight {
			a.inFlight++
		}
		if (try.Outcome == grant.OutcomeIssued || try.Outcome == grant.OutcomeFallback) && !counted[try.Attempt] {
			counted[try.Attempt] = true
			a.logged++
			if try.Late {
				a.lateness++
			}
			continue
		}
		a.missing++
		switch {
		case inFlight:
		case unread:
			a.unread++
		default:
			a.unexplained = append(a.unexplained, fmt.Sprintf("%s: the response of %s (generation %d) to attempt %s of %s, which ended %s; %s", subject, e.At.Format(time.StampMilli), e.Generation, try.Attempt, try.Node, try.Outcome, r.nextStop(try, e)))
		}
	}
}

func tryOf(e model.Entry, tries []grant.Try) grant.Try {
	of := grant.Try{}
	for _, t := range tries {
		if !t.StartedAt.After(e.At) {
			of = t
		}
	}
	return of
}

// stoppedDuring says whether a node stopped while the provider had a request of
// it, or after the answer and before that was on the disk.
func (r *rig) stoppedDuring(try grant.Try, e model.Entry) (inFlight, unread bool) {
	for _, s := range r.stops {
		if s.node != try.Node || s.to.Before(e.At) {
			continue
		}
		atProvider := e.WrittenAt.IsZero() || !s.from.After(e.WrittenAt)
		inFlight = inFlight || atProvider
		unread = unread || !atProvider && !s.kept[try.Attempt] && s.from.Sub(e.WrittenAt) < unreadFor
	}
	return inFlight, unread
}

// nextStop says what became of an attempt's node after the provider had answered.
func (r *rig) nextStop(try grant.Try, e model.Entry) string {
	for _, s := range r.stops {
		if s.node == try.Node && s.to.After(e.At) {
			return fmt.Sprintf("answered at %s, its node stopped at %s, and the answer was on the disk: %t",
				e.WrittenAt.Format(time.StampMilli), s.from.Format(time.StampMilli), s.kept[try.Attempt])
		}
	}
	return "its node did not stop any more"
}

func (a *account) judge(r *rig, kind model.Kind) {
	r.Helper()
	for i, u := range a.unexplained {
		if r.Errorf("not in the log: %s", u); i == 10 {
			break
		}
	}
	if a.issued == 0 || a.logged == 0 || a.stops == 0 {
		r.Error("nothing happened")
	}
	if lost := a.lostGrants(); lost > a.inFlight+a.unread || lost != a.lost[grant.LostResponse] || lost > 0 && kind != model.Strict {
		r.Errorf("%d grants were lost: %v", lost, a.lost)
	}
}
