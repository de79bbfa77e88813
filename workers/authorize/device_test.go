package authorize_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/internal/node"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/workers/authorize"
)

// booth is a provider that answers by a script, and a node that asks it. Its
// clock stands still until the next question is due.
type booth struct {
	*testing.T
	node    *node.Node
	devices *authorize.Devices
	key     domain.Key

	mu     sync.Mutex
	script []string // answers to the questions; the last one stays
	asked  int
	now    time.Time
	waits  []time.Duration
}

const (
	pending = `400 {"error":"authorization_pending"}`
	slow    = `400 {"error":"slow_down"}`
	issued  = `200 {"access_token":"at","token_type":"bearer","expires_in":3600,"refresh_token":"rt"}`
	cut     = "cut"
)

func (b *booth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/device" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"device_code":"hush","user_code":"WDJB-MJHT","verification_uri":"https://op.example/device","expires_in":600}`)
		return
	}
	b.mu.Lock()
	answer := b.script[min(b.asked, len(b.script)-1)]
	b.asked++
	b.mu.Unlock()
	if answer == cut || r.FormValue("device_code")+r.FormValue("code") != "hush" {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.HasPrefix(answer, "400") {
		w.WriteHeader(http.StatusBadRequest)
	}
	_, _ = io.WriteString(w, answer[4:])
}

func newBooth(t *testing.T, script ...string) *booth {
	t.Helper()
	b := &booth{T: t, script: script, now: time.Now()}
	server := testenv.Listen(t, b)
	b.node = testenv.Node(t, testenv.NATS(t), t.TempDir(), "n", node.RoleCommands)
	svc := b.node.Commands
	svc.Now = func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.devices = &authorize.Devices{
		Commands: svc, Endpoint: oauth.New(oauth.Options{Loopback: true}), Node: "n", Log: slog.New(slog.DiscardHandler),
		Later: func(_ context.Context, _ domain.Key, at time.Time) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.waits = append(b.waits, at.Sub(b.now).Round(time.Second))
			b.now = at
			return nil
		},
	}
	out, err := svc.CreateOutgoingLink(t.Context(), commands.CreateOutgoingLink{
		Header: commands.Header{CommandID: uuid.New()}, ClientSecret: domain.SecretInput{Clear: domain.NewSecret("secret")},
		Draft: commands.Draft{
			Name: "tv", Provider: "custom", ClientID: "id", AuthStyle: link.Body, GrantTypes: []link.GrantType{link.DeviceCode, link.AuthorizationCode},
			AuthorizationEndpoint: server + "/authorize", TokenEndpoint: server + "/token", DeviceEndpoint: server + "/device",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, err = svc.BeginAuthorization(t.Context(), commands.BeginAuthorization{Header: commands.Header{CommandID: uuid.New()}, Link: out.Link, Device: true}); err != nil {
		t.Fatal(err)
	}
	b.key = domain.Key{Link: out.Link, Grant: out.Grant}
	return b
}

func (b *booth) handle() {
	b.Helper()
	if err := b.devices.Handle(b.Context(), b.key); err != nil {
		b.Fatal(err)
	}
}

func (b *booth) state() grant.State {
	b.Helper()
	at, err := b.node.Commands.Grants.Load(b.Context(), b.key)
	if err != nil {
		b.Fatal(err)
	}
	return at.State
}

// How long the node waits between its questions (RFC 8628 section 3.5), and what
// becomes of the grant.
func TestAskDevice(t *testing.T) {
	for name, tt := range map[string]struct {
		script []string
		waits  []time.Duration // in seconds
		ends   grant.Reason
		link   link.Reason
	}{
		"consent":           {[]string{pending, pending, issued}, []time.Duration{5, 5, 5}, "", ""},
		"slow down":         {[]string{slow, pending, slow, issued}, []time.Duration{5, 10, 10, 15}, "", ""},
		"answers lost":      {[]string{cut, cut, pending, issued}, []time.Duration{5, 10, 20, 20}, "", ""},
		"no":                {[]string{pending, `400 {"error":"access_denied"}`}, []time.Duration{5, 5}, grant.AuthorizationDenied, ""},
		"too late":          {[]string{`400 {"error":"expired_token"}`}, []time.Duration{5}, grant.AuthorizationExpired, ""},
		"the client is bad": {[]string{`400 {"error":"invalid_client"}`}, []time.Duration{5}, grant.ExchangeFailed, link.ClientRejected},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBooth(t, tt.script...)
			for range len(tt.waits) + 1 {
				b.handle()
			}
			for i := range tt.waits {
				tt.waits[i] *= time.Second
			}
			s := b.state()
			if !slices.Equal(b.waits, tt.waits) || s.Reauthorize != tt.ends || (s.Credential != nil) != (tt.ends == "") || s.Authorization != nil {
				t.Errorf("waits %v, grant %+v", b.waits, s)
			}
			l, err := b.node.Commands.Links.Load(t.Context(), domain.Key{Link: b.key.Link})
			if err != nil || l.State.Trouble != tt.link {
				t.Errorf("link %q, %v", l.State.Trouble, err)
			}
		})
	}
}

// A code that nobody enters ends when the provider said; the provider is asked
// for nothing when the link has changed.
func TestDeviceEnds(t *testing.T) {
	b := newBooth(t, pending)
	b.handle()
	b.mu.Lock()
	b.now = b.now.Add(10 * time.Minute)
	b.mu.Unlock()
	b.handle()
	if s := b.state(); s.Reauthorize != grant.AuthorizationExpired || b.asked != 0 {
		t.Errorf("%s after %d questions", s.Reauthorize, b.asked)
	}
	b = newBooth(t, issued)
	b.handle()
	name := "another"
	if _, err := b.node.Commands.UpdateOutgoingLink(t.Context(), commands.UpdateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Link: b.key.Link, Name: &name}); err != nil {
		t.Fatal(err)
	}
	b.handle()
	if s := b.state(); s.Reauthorize != grant.AuthorizationVoid || b.asked != 0 {
		t.Errorf("%s after %d questions", s.Reauthorize, b.asked)
	}
}

// Any number of nodes may be woken at once: one asks. Who asked twice would be
// told to slow down, or lose the answer that brings the token.
func TestOneAsks(t *testing.T) {
	for range 5 {
		b := newBooth(t, issued)
		b.handle()
		b.devices.Later = func(context.Context, domain.Key, time.Time) error { return nil } // the clock stands still
		start, all := make(chan struct{}), sync.WaitGroup{}
		for range 8 {
			all.Go(func() {
				<-start
				if err := b.devices.Handle(t.Context(), b.key); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		if s := b.state(); b.asked != 1 || s.Generation != 1 {
			t.Errorf("%d questions, generation %d", b.asked, s.Generation)
		}
	}
}

// The vault is away while a device's token is to be stored. Another node asks
// meanwhile with the code, which is used up, and gives the authorization up: the
// token counts all the same.
func TestVaultAwayForADeviceToken(t *testing.T) {
	b := newBooth(t, issued, `400 {"error":"invalid_grant"}`)
	b.handle()
	svc := b.node.Commands
	svc.Vault = &befalling{svc.Vault, func(context.Context) error {
		b.mu.Lock()
		b.now = b.now.Add(40 * time.Second) // the one who asked is past its turn
		b.mu.Unlock()
		b.handle()
		return domain.Errorf(domain.Unavailable, "the vault is away")
	}}
	err := b.devices.Handle(t.Context(), b.key)
	if s := b.state(); err != nil || b.asked != 2 || s.Status() != grant.StatusActive {
		t.Errorf("%v; asked %d times; the grant is %s (%s)", err, b.asked, s.Status(), s.Reauthorize)
	}
}

// dying is a log that takes no token: the node is killed when the vault has it.
type dying struct {
	commands.Log[grant.State, grant.Event]
	dead bool
}

func (d *dying) Append(ctx context.Context, key domain.Key, at commands.Loaded[grant.State], e grant.Event, m commands.Meta) (commands.Loaded[grant.State], error) {
	if _, is := e.(grant.TokenIssued); is && d.dead {
		return at, errors.New("killed")
	}
	return d.Log.Append(ctx, key, at, e, m)
}

// A node dies between vault and log, and another asks with the used code first: what
// the vault has counts, also beside a token that the grant had before.
func TestDeviceTokenInTheVaultAlone(t *testing.T) {
	for _, had := range []bool{false, true} {
		b := newBooth(t, issued, `400 {"error":"invalid_grant"}`)
		svc := b.node.Commands
		if had {
			if _, err := svc.RecordTokenIssued(t.Context(), commands.RecordTokenIssued{
				Header: commands.Header{CommandID: uuid.New()}, Link: b.key.Link, RefreshToken: domain.SecretInput{Clear: domain.NewSecret("first")},
			}); err != nil {
				t.Fatal(err)
			}
		}
		b.handle()
		log := &dying{svc.Grants, true}
		svc.Grants = log
		if err := b.devices.Handle(t.Context(), b.key); err == nil {
			t.Fatal("it lived on")
		}
		log.dead = false
		b.mu.Lock()
		b.now = b.now.Add(40 * time.Second)
		b.mu.Unlock()
		b.handle()
		at, c, err := svc.Complete(t.Context(), b.key)
		if err != nil || at.State.Status() != grant.StatusActive || at.State.Generation != c.Issued.Generation {
			t.Errorf("had a token %t: the grant is %s (%s) at generation %d, the vault at %d; %v", had, at.State.Status(), at.State.Reauthorize, at.State.Generation, c.Issued.Generation, err)
		}
	}
}
