package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/answer"
	"outlink/domain/grant"
	"outlink/domain/provider"
	"outlink/internal/oauth"
	"outlink/internal/testenv"
	"outlink/internal/testenv/faults"
	"outlink/internal/testenv/model"
)

// wantsNonce refuses a proof for its nonce, as a server does before it looks at
// the refresh token (RFC 9449 section 8).
func wantsNonce() faults.Fault {
	return faults.Says(400, `{"error":"use_dpop_nonce"}`, "DPoP-Nonce", "eyJ7S_zG.eyJbjoz")
}

func dpopStage(t *testing.T, kind model.Kind, declared provider.Rotation) *stage {
	t.Helper()
	return newStageBy(t, kind, declared, domain.NewSecret("any: the grant has its own"))
}

// The refusal of a nonce costs nothing on any server, however often it comes, and
// leaves no doubt behind; a fault of the request after it costs what it costs
// without one.
func TestNonceRefusalCostsNothing(t *testing.T) {
	for _, r := range rotations {
		for _, f := range []fault{
			{"once", never, passing(wantsNonce())},
			{"twice: a later attempt", never, passing(wantsNonce(), wantsNonce())},
			{"then cut before the server", never, passing(wantsNonce(), faults.CutBefore)},
			{"then cut after it acted", onStrict, passing(wantsNonce(), faults.CutAfter)},
			{"then an error of the server, which asks anew", never, passing(wantsNonce(), faults.Says(500, ""), wantsNonce())},
		} {
			t.Run(f.name+"/"+r.name, func(t *testing.T) {
				t.Parallel()
				s := dpopStage(t, r.kind, r.declared)
				f.run(s)
				verdict(t, s, s.settle(s.boot(&points{})), f.lost(r.kind))
			})
		}
	}
}

// An attempt that ends with a nonce refused sent nothing that counts: the log has
// no request of it, and no doubt about the grant.
func TestNonceRefusalIsNoRequest(t *testing.T) {
	s := dpopStage(t, model.Strict, provider.Rotation{Kind: provider.Strict})
	passing(wantsNonce(), wantsNonce())(s)
	state := s.state()
	if state.Deferred != grant.Transient || state.Ambiguities != 0 || state.Crossed || s.proxy.Requests() != 2 {
		t.Errorf("%d requests: %+v", s.proxy.Requests(), state)
	}
	// So that a refusal after it is believed at once, as on any strict server.
	s.proxy.Next(faults.Says(400, `{"error":"invalid_grant"}`))
	if state := s.settle(s.boot(&points{})); state.Reauthorize != grant.GrantInvalid {
		t.Errorf("%+v", state)
	}
}

func boundGrant(t *testing.T) (*stage, testenv.Peer) {
	t.Helper()
	peer := testenv.OIDCProvider(t, testenv.OIDCOptions{
		AccessTokenTTL: time.Hour, DPoPNonce: true, Metadata: map[string]any{"dpop_bound_access_tokens": true},
	})
	peer.DPoPKey = domain.NewSecret("seed") // the refresh token of a confidential client is not bound to it
	return boundAt(t, peer), peer
}

func boundAt(t *testing.T, peer testenv.Peer) *stage {
	t.Helper()
	r, first := peer.Authorize(t, oauth.New(oauth.Options{Loopback: true}))
	if first.Class != answer.Issued {
		t.Fatalf("the code's exchange: %+v", first)
	}
	return stageAt(t, peer.Issuer, provider.Rotation{Kind: provider.Unknown}, r, first.Token.RefreshToken.Reveal())
}

// The fault matrix where each node's first request is refused for its nonce: no
// fault costs more than without.
func TestFaultMatrixOfDPoP(t *testing.T) {
	_, peer := boundGrant(t)
	table := make([]string, len(matrix))
	t.Run("faults", func(t *testing.T) {
		for i, f := range matrix {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				s := boundAt(t, peer)
				f.run(s)
				table[i] = s.alive(s.settle(s.boot(&points{})), f.lost(model.Strict))
			})
		}
	})
	for i, f := range matrix {
		t.Logf("%-36s%s", f.name, table[i])
	}
}

// A grant whose tokens are bound goes on with its key when the link asks for that
// no longer: this provider calls a grant without its proof invalid.
func TestBoundGrantStaysBound(t *testing.T) {
	s, _ := boundGrant(t)
	if state := s.settle(s.boot(&points{})); !state.Bound() {
		t.Fatalf("%+v", state.Credential)
	}
	off := false
	if _, err := s.svc.UpdateOutgoingLink(t.Context(), commands.UpdateOutgoingLink{Header: commands.Header{CommandID: uuid.New()}, Link: s.link, DPoP: &off}); err != nil {
		t.Fatal(err)
	}
	if got := s.alive(s.state(), false); got != fmt.Sprintf("ok(%d)", s.proxy.Requests()-2) || !s.state().Bound() {
		t.Errorf("%s: %+v", got, s.state().Credential)
	}
}
