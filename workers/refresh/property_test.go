package refresh_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/testenv/model"
)

// step is one thing that happens to the simulated installation.
type step struct {
	Do    string
	Node  int
	For   time.Duration
	Fates map[int]fate
	Wire  []onTheWire
}

const simNodes = 3

var (
	spans = rapid.SampledFrom([]time.Duration{time.Second, 8 * time.Second, 40 * time.Second, 3 * time.Minute, 6 * time.Minute, 25 * time.Minute})
	fates = rapid.Custom(func(t *rapid.T) fate {
		return fate{rapid.SampledFrom([]string{"crash", "freeze", "log away", "ack lost"}).Draw(t, "fate"), spans.Draw(t, "for")}
	})
	wires = rapid.Custom(func(t *rapid.T) onTheWire {
		return onTheWire{
			rapid.SampledFrom([]string{"", "", "slow", "refused", "cut before", "cut after", "busy", "busy after acting", "page", "page after acting", "invalid_client", "access_denied"}).Draw(t, "wire"),
			rapid.SampledFrom([]time.Duration{0, 0, time.Second, 30 * time.Second, 2 * time.Minute}).Draw(t, "slow"),
		}
	})
	steps = rapid.Custom(func(t *rapid.T) step {
		s := step{
			Do:   rapid.SampledFrom([]string{"wake", "wake", "wake", "wake", "wait", "wait", "kill", "boot", "ask", "consent", "revoke at the provider", "suspend", "resume", "disable", "enable", "keys away", "disk full", "disk has room"}).Draw(t, "do"),
			Node: rapid.IntRange(0, simNodes-1).Draw(t, "node"),
		}
		switch s.Do {
		case "wait", "keys away":
			s.For = spans.Draw(t, "for")
		case "wake":
			s.Fates = rapid.MapOfN(rapid.IntRange(1, 30), fates, 0, 2).Draw(t, "fates")
			s.Wire = rapid.SliceOfN(wires, 0, 3).Draw(t, "wires")
		}
		return s
	})
)

func (s *sim) step(ctx context.Context, p step) {
	n := s.nodes[p.Node]
	switch p.Do {
	case "wake":
		n.wake(p.Fates, p.Wire...)
	case "wait":
		time.Sleep(p.For)
		s.tick()
	case "kill":
		n.kill()
	case "boot":
		if n.running() == nil {
			n.boot()
		}
	case "ask":
		_, _ = s.admin.RequestRefresh(ctx, commands.RequestRefresh{Header: commands.Header{CommandID: uuid.New()}, GrantRef: s.ref()})
	case "consent":
		if l, err := s.admin.Links.Load(ctx, domain.Key{Link: s.key.Link}); err == nil && l.State.Usable(s.key.Link) == nil {
			_ = s.consent(ctx)
		}
	case "revoke at the provider":
		name := s.current()
		s.op.Revoke(name)
		s.mu.Lock()
		s.revoked[name] = true
		s.mu.Unlock()
	case "suspend":
		_, _ = s.admin.SuspendGrant(ctx, commands.SuspendGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: s.ref()})
	case "disable":
		_, _ = s.admin.DisableLink(ctx, commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: s.key.Link})
	case "enable":
		_, _ = s.admin.EnableLink(ctx, commands.EnableLink{Header: commands.Header{CommandID: uuid.New()}, Link: s.key.Link})
	case "keys away":
		s.mu.Lock()
		s.kmsAway = time.Now().Add(p.For)
		s.mu.Unlock()
	case "disk full", "disk has room":
		n.mu.Lock()
		n.full = p.Do == "disk full"
		n.mu.Unlock()
	case "resume":
		_, _ = s.admin.ResumeGrant(ctx, commands.ResumeGrant{Header: commands.Header{CommandID: uuid.New()}, GrantRef: s.ref()})
	}
	time.Sleep(10 * time.Millisecond) // what was begun is under way
}

func (s *sim) ref() commands.GrantRef { return commands.GrantRef{Link: s.key.Link, Subject: "a"} }

// play runs the steps, has everything settle, and says what is wrong then.
func play(kind model.Kind, declared provider.Rotation, all []step) error {
	ctx := context.Background()
	s := newSim(kind, declared, simNodes)
	if err := s.consent(ctx); err != nil {
		return err
	}
	for _, p := range all {
		s.step(ctx, p)
	}
	s.work.Wait()
	s.step(ctx, step{Do: "resume"})
	s.step(ctx, step{Do: "enable"})
	if err := s.settle(); err != nil {
		return err
	}
	return s.judge(kind)
}

// judge holds the outcome against the provider's own truth.
func (s *sim) judge(kind model.Kind) error {
	state, newest := s.state(), s.op.Generation(s.current())
	stored := s.stored()
	held := max(s.op.Which(stored.RefreshToken.Reveal()), s.op.Which(stored.Fallback.Reveal()))
	readable := s.op.Alive(s.current()) && held == newest
	switch {
	case state.Reauthorize != "" && !s.excused():
		return fmt.Errorf("reauthorization required (%s) although no answer was lost", state.Reauthorize)
	case state.Reauthorize != "" && kind == model.Stable && !s.revoked[s.current()]:
		return fmt.Errorf("reauthorization required (%s) although the refresh token stays", state.Reauthorize)
	case state.Reauthorize != "" && readable && !s.revoked[s.current()]:
		return fmt.Errorf("reauthorization required (%s) although the vault holds the newest refresh token", state.Reauthorize)
	case state.Reauthorize == grant.GrantInvalid && !s.revoked[s.current()]:
		return fmt.Errorf("a lost answer is called %s", state.Reauthorize)
	case state.Reauthorize == "" && kind == model.Strict && !readable && !s.excused():
		return fmt.Errorf("active, and the vault holds generation %d of the refresh token where %d is the newest", s.op.Which(stored.RefreshToken.Reveal()), newest)
	}
	return nil
}

// No sequence of wakes, crashes, freezes, lost acknowledgements and answers ends
// with a grant that asks for a person while its newest refresh token can be
// read, nor with one that calls itself well and is not.
func TestNoReadableTokenIsGivenUp(t *testing.T) {
	for _, r := range rotations {
		t.Run(r.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				all := rapid.SliceOfN(steps, 1, 12).Draw(rt, "steps")
				var err error
				synctest.Test(t, func(*testing.T) { err = play(r.kind, r.declared, all) })
				if err != nil {
					rt.Fatal(err)
				}
			})
		})
	}
}
