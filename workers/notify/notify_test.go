package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/workers/notify"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// held is a log with one aggregate, as it is now.
type held[S, E any] struct{ state S }

func (h held[S, E]) Load(context.Context, domain.Key) (commands.Loaded[S], error) {
	return commands.Loaded[S]{State: h.state}, nil
}

func (h held[S, E]) Append(context.Context, domain.Key, commands.Loaded[S], E, commands.Meta) (commands.Loaded[S], error) {
	return commands.Loaded[S]{}, errors.New("a notice decides nothing")
}

type world struct {
	notify.Worker
	sent []notify.Notice
	now  time.Time
	next uint64
}

func newWorld() *world {
	w := &world{now: noon}
	w.Worker = notify.Worker{
		Links:   held[link.State, link.Event]{link.State{Created: true, Version: 1, Config: link.Config{Name: "crm"}, Trouble: link.ClientRejected}},
		Grants:  held[grant.State, grant.Event]{grant.State{Version: 3, Subject: "anna", Reauthorize: grant.GrantInvalid}},
		Publish: func(_ context.Context, n notify.Notice) error { w.sent = append(w.sent, n); return nil },
		Now:     func() time.Time { return w.now },
	}
	return w
}

var crm = uuid.New()

func (w *world) ofGrant(e grant.Event) domain.Record {
	data, _ := json.Marshal(e)
	w.next++
	return domain.Record{Sequence: w.next, ID: uuid.New(), Type: grant.Kinds.Type(e), Link: crm, Grant: uuid.New(), Time: noon, Data: data}
}

func (w *world) ofLink(e link.Event) domain.Record {
	data, _ := json.Marshal(e)
	w.next++
	return domain.Record{Sequence: w.next, ID: uuid.New(), Type: link.Kinds.Type(e), Link: crm, Time: noon, Data: data}
}

// Which events people are told of, and in what words.
func TestWhatIsTold(t *testing.T) {
	w := newWorld()
	for name, tt := range map[string]struct {
		record domain.Record
		kind   notify.Kind
	}{
		"consent needed":    {w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid, ProviderCode: "invalid_grant"}), notify.ReauthorizationRequired},
		"consent ends":      {w.ofGrant(grant.ReauthorizationDueSoon{Days: 3, EndsAt: noon.Add(72 * time.Hour)}), notify.ReauthorizationDueSoon},
		"stalled":           {w.ofGrant(grant.RefreshStalled{Since: noon, Last: grant.Transient}), notify.RefreshStalled},
		"unreadable":        {w.ofGrant(grant.RefreshUnreadable{Problem: "odd"}), notify.AnswerUnreadable},
		"link in trouble":   {w.ofLink(link.Degraded{Reason: link.ClientRejected}), notify.LinkDegraded},
		"link well again":   {w.ofLink(link.Recovered{}), notify.LinkRecovered},
		"a renewal":         {w.ofGrant(grant.TokenIssued{Generation: 2}), ""},
		"a passing failure": {w.ofGrant(grant.RefreshDeferred{Reason: grant.Transient}), ""},
		"a new link":        {w.ofLink(link.Created{}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w.sent = nil
			if err := w.Handle(t.Context(), tt.record); err != nil {
				t.Fatal(err)
			}
			if tt.kind == "" {
				if len(w.sent) != 0 {
					t.Errorf("told: %+v", w.sent)
				}
				return
			}
			if len(w.sent) != 1 || w.sent[0].Kind != tt.kind || w.sent[0].ID != tt.record.ID || w.sent[0].LinkName != "crm" || w.sent[0].Advice.Why == "" {
				t.Errorf("told: %+v", w.sent)
			}
			if tt.record.OfGrant() && w.sent[0].Subject != "anna" {
				t.Errorf("of subject %q", w.sent[0].Subject)
			}
		})
	}
}

// When many fail at once, a few are told one by one, one notice says that the
// rest are counted, and one says how many there were. A repeat counts once.
func TestManyAtOnce(t *testing.T) {
	w := newWorld()
	var records []domain.Record
	for range 40 {
		records = append(records, w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid}))
	}
	for _, r := range append(records, records[20:]...) {
		if err := w.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.sent) != notify.Many+1 || w.sent[notify.Many].Count != notify.Many+1 || w.sent[notify.Many].Grant != uuid.Nil {
		t.Fatalf("%d notices, the last %+v", len(w.sent), w.sent[len(w.sent)-1])
	}
	if err := w.Close(t.Context(), noon.Add(notify.Window-time.Second)); err != nil || len(w.sent) != notify.Many+1 {
		t.Errorf("told before the window was over: %d, %v", len(w.sent), err)
	}
	w.now = noon.Add(notify.Window)
	if err := w.Close(t.Context(), w.now); err != nil || len(w.sent) != notify.Many+2 || w.sent[notify.Many+1].Count != 40 {
		t.Errorf("the sum is %+v, %v", w.sent[len(w.sent)-1], err)
	}
	if err := w.Handle(t.Context(), w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid})); err != nil || w.sent[len(w.sent)-1].Grant == uuid.Nil {
		t.Errorf("the next one is not told by itself: %+v, %v", w.sent[len(w.sent)-1], err)
	}
}

// An event that cannot be decoded is not passed over.
func TestUndecodable(t *testing.T) {
	r := newWorld().ofGrant(grant.TokenIssued{})
	r.Type = "outlink.grant.unheard_of.v1"
	if err := newWorld().Handle(t.Context(), r); err == nil {
		t.Error("passed over")
	}
}
