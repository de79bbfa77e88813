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
	"outlink/domain/notice"
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

func (h held[S, E]) Back(context.Context, domain.Key, commands.Loaded[S], func(domain.Record) bool) error {
	return errors.New("a notice decides nothing")
}

// shared is what the nodes of an installation keep together.
type shared struct {
	windows   map[notify.Topic]notify.Window
	revisions map[notify.Topic]uint64
	log       []domain.Record
}

func (s *shared) Load(_ context.Context, t notify.Topic) (notify.Window, uint64, error) {
	return s.windows[t], s.revisions[t], nil
}

func (s *shared) Store(_ context.Context, w notify.Window, revision uint64) error {
	if s.revisions[w.Topic] != revision {
		return commands.ErrOvertaken
	}
	s.windows[w.Topic] = w
	s.revisions[w.Topic]++
	return nil
}

func (s *shared) Drop(_ context.Context, t notify.Topic, revision uint64) error {
	if s.revisions[t] != revision {
		return commands.ErrOvertaken
	}
	delete(s.windows, t)
	delete(s.revisions, t)
	return nil
}

func (s *shared) All(context.Context) (all []notify.Topic, err error) {
	for t := range s.windows {
		all = append(all, t)
	}
	return all, nil
}

func (s *shared) since(_ context.Context, id uuid.UUID, after uint64) (some []domain.Record, err error) {
	for _, r := range s.log {
		if r.Link == id && r.Sequence > after {
			some = append(some, r)
		}
	}
	return some, nil
}

type world struct {
	notify.Worker
	*shared
	sent []notice.Notice
	now  time.Time
	next uint64
}

func newWorld() *world {
	w := &world{now: noon, shared: &shared{windows: map[notify.Topic]notify.Window{}, revisions: map[notify.Topic]uint64{}}}
	w.Worker = notify.Worker{
		Links:   held[link.State, link.Event]{link.State{Created: true, Version: 1, Config: link.Config{Name: "crm"}, Trouble: link.ClientRejected}},
		Grants:  held[grant.State, grant.Event]{grant.State{Version: 3, Subject: "anna", Reauthorize: grant.GrantInvalid}},
		Publish: func(_ context.Context, n notice.Notice) error { w.sent = append(w.sent, n); return nil },
		Now:     func() time.Time { return w.now },
		Windows: w.shared, Since: w.since,
	}
	return w
}

var crm = uuid.New()

func (w *world) ofGrant(e grant.Event) domain.Record {
	data, _ := json.Marshal(e)
	w.next++
	w.log = append(w.log, domain.Record{Sequence: w.next, ID: uuid.New(), Type: grant.Kinds.Type(e), Link: crm, Grant: uuid.New(), Time: noon, Data: data})
	return w.log[len(w.log)-1]
}

func (w *world) ofLink(e link.Event) domain.Record {
	data, _ := json.Marshal(e)
	w.next++
	w.log = append(w.log, domain.Record{Sequence: w.next, ID: uuid.New(), Type: link.Kinds.Type(e), Link: crm, Time: noon, Data: data})
	return w.log[len(w.log)-1]
}

// Which events people are told of, and in what words.
func TestWhatIsTold(t *testing.T) {
	w := newWorld()
	for name, tt := range map[string]struct {
		record domain.Record
		kind   notice.Kind
	}{
		"consent needed":    {w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid, ProviderCode: "invalid_grant"}), notice.ReauthorizationRequired},
		"consent ends":      {w.ofGrant(grant.ReauthorizationDueSoon{Days: 3, EndsAt: noon.Add(72 * time.Hour)}), notice.ReauthorizationDueSoon},
		"stalled":           {w.ofGrant(grant.RefreshStalled{Since: noon, Last: grant.Transient}), notice.RefreshStalled},
		"unreadable":        {w.ofGrant(grant.RefreshUnreadable{Problem: "odd"}), notice.AnswerUnreadable},
		"link in trouble":   {w.ofLink(link.Degraded{Reason: link.ClientRejected}), notice.LinkDegraded},
		"link well again":   {w.ofLink(link.Recovered{}), notice.LinkRecovered},
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
	if err := w.Close(t.Context(), noon.Add(notify.WindowLasts-time.Second)); err != nil || len(w.sent) != notify.Many+1 {
		t.Errorf("told before the window was over: %d, %v", len(w.sent), err)
	}
	w.now = noon.Add(notify.WindowLasts)
	if err := w.Close(t.Context(), w.now); err != nil || len(w.sent) != notify.Many+2 || w.sent[notify.Many+1].Count != 40 {
		t.Errorf("the sum is %+v, %v", w.sent[len(w.sent)-1], err)
	}
	if err := w.Handle(t.Context(), w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid})); err != nil || w.sent[len(w.sent)-1].Grant == uuid.Nil {
		t.Errorf("the next one is not told by itself: %+v, %v", w.sent[len(w.sent)-1], err)
	}
}

// another is one more node of the same installation, or one that starts anew.
func (w *world) another() *notify.Worker {
	return &notify.Worker{Links: w.Links, Grants: w.Grants, Publish: w.Publish, Now: w.Now, Windows: w.Windows, Since: w.Since}
}

// Several nodes share the events, out of order, and one of them starts anew in
// the middle: there is one announcement, and one sum.
func TestOneCountForAllNodes(t *testing.T) {
	w := newWorld()
	nodes := []*notify.Worker{w.another(), w.another(), w.another()}
	var records []domain.Record
	for range 40 {
		records = append(records, w.ofGrant(grant.ReauthorizationRequired{Reason: grant.GrantInvalid}))
	}
	for i := range records {
		if i == 20 {
			nodes[1] = w.another()
		}
		if err := nodes[i%3].Handle(t.Context(), records[(i*7)%40]); err != nil {
			t.Fatal(err)
		}
	}
	w.now = noon.Add(notify.WindowLasts)
	for _, n := range nodes {
		if err := n.Close(t.Context(), w.now); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.sent) != notify.Many+2 || w.sent[notify.Many].Count != notify.Many+1 || w.sent[notify.Many+1].Count != 40 {
		t.Errorf("%d notices, the last %+v", len(w.sent), w.sent[len(w.sent)-1])
	}
}

// A link that goes to and fro is told of once each way; when the window ends, once
// more if it is not as it was told to be.
func TestFlappingLink(t *testing.T) {
	w := newWorld()
	for range 5 {
		for _, e := range []link.Event{link.Degraded{Reason: link.ClientRejected}, link.Recovered{}} {
			if err := w.Handle(t.Context(), w.ofLink(e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(w.sent) != 2 {
		t.Errorf("%d notices within the window", len(w.sent))
	}
	w.now = noon.Add(notify.WindowLasts)
	if err := w.Close(t.Context(), w.now); err != nil || len(w.sent) != 3 || w.sent[2].Kind != notice.LinkDegraded || w.sent[2].Count != 5 {
		t.Errorf("after it: %+v, %v", w.sent[2:], err)
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

// A token that ended a while ago and is still being renewed is one notice, however
// many tries fail.
func TestStaleToken(t *testing.T) {
	w := newWorld()
	w.Grants = held[grant.State, grant.Event]{grant.State{
		Version: 3, Subject: "anna", Generation: 2, Failures: 3, Credential: &grant.TokenIssued{Generation: 2, ExpiresAt: noon.Add(-20 * time.Minute), Refreshable: true},
	}}
	r := w.ofGrant(grant.RefreshDeferred{Reason: grant.Transient, Stale: true})
	again := w.ofGrant(grant.RefreshDeferred{Reason: grant.Transient, Stale: true})
	again.Grant = r.Grant
	late := again
	late.Time = noon.Add(2 * time.Hour)
	for _, r := range []domain.Record{r, again, late} {
		if err := w.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[uuid.UUID]bool{}
	for _, n := range w.sent {
		ids[n.ID] = true
	}
	if len(ids) != 1 || len(w.sent) != 2 || w.sent[0].Kind != notice.TokenStale { // a repeat has the same id
		t.Errorf("told: %+v", w.sent)
	}
}
