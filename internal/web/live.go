package web

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"outlink/domain"
)

type component = templ.Component

const (
	tick     = 5 * time.Second        // "renews in 12 s" is told anew, and a dead connection noticed
	pause    = 200 * time.Millisecond // between two fragments at least, however fast the log grows
	stuck    = 10 * time.Second       // how long a browser may take to read a fragment
	patience = 2 * time.Second        // how long a page waits for the event it should show
)

// stream sends a fragment whole on each connect and whenever it changed, each
// with the log's sequence as its id: a browser that was away has missed nothing.
// What can never be shown is no stream; it is refused. A link that is not there may only
// not be there yet.
func (s *Site) stream(w http.ResponseWriter, r *http.Request, read func(context.Context) (component, error)) {
	ctx := r.Context()
	changes := s.Changes(ctx) // before the first read: a change in between is not lost
	next, err := s.event(ctx, read)
	if domain.CodeOf(err) == domain.InvalidArgument {
		s.page(w, r, http.StatusBadRequest, problemNote(domain.Public(err).Message))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("Content-Security-Policy", policy)
	control := http.NewResponseController(w)

	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var last []byte
	for ; ; next, err = s.event(ctx, read) {
		if ctx.Err() != nil {
			return
		}
		if err != nil && domain.CodeOf(err) == domain.Internal { // else the fragment says it
			slog.ErrorContext(ctx, "read for a live page", "path", r.URL.Path, "error", err)
		}
		if bytes.Equal(next, last) {
			next = []byte(": nothing new\n\n")
		} else {
			last = next
		}
		// Of each write, not of the whole: a stream outlives the server's timeout,
		// and a browser that does not read does not hold it for ever.
		_ = control.SetWriteDeadline(time.Now().Add(stuck))
		if _, err := w.Write(next); err != nil || control.Flush() != nil {
			return
		}
		if !await(ctx, changes, ticker.C) {
			return
		}
	}
}

// await returns at the next change or tick, not too soon; false is the end.
func await(ctx context.Context, changes <-chan uint64, tick <-chan time.Time) bool {
	rest := time.NewTimer(pause)
	defer rest.Stop()
	open := true
	select {
	case <-ctx.Done():
		return false
	case _, open = <-changes:
	case <-tick:
	}
	if !open {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-rest.C:
		return true
	}
}

// event is a fragment as a server-sent event. The sequence is read first, so
// that the fragment is never older than its id.
func (s *Site) event(ctx context.Context, read func(context.Context) (component, error)) ([]byte, error) {
	sequence, err := s.sequence(ctx)
	if err != nil {
		return nil, err
	}
	c, failed := read(ctx)
	var html strings.Builder
	if err := c.Render(ctx, &html); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "id: %d\n", sequence)
	for line := range strings.Lines(html.String()) {
		fmt.Fprintf(&b, "data: %s\n", strings.TrimRight(line, "\r\n"))
	}
	b.WriteString("\n")
	return b.Bytes(), failed
}

// sequence is how far all running projections have read the log.
func (s *Site) sequence(ctx context.Context) (uint64, error) {
	positions, err := s.Read.Positions(ctx)
	if err != nil {
		return 0, err
	}
	lowest, found := uint64(0), false
	for _, p := range positions {
		if p.Problem == "" && (!found || p.Sequence < lowest) { // one that stopped would be waited for in vain
			lowest, found = p.Sequence, true
		}
	}
	return lowest, nil
}

// wait returns when the read model has come to a sequence, or patience is over.
func (s *Site) wait(ctx context.Context, sequence uint64) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	changes := s.Changes(ctx)
	for {
		reached, err := s.sequence(ctx)
		if err != nil || reached >= sequence {
			return
		}
		select {
		case <-ctx.Done():
			return
		case _, open := <-changes:
			if !open {
				return
			}
		}
	}
}

func (s *Site) liveLink(w http.ResponseWriter, r *http.Request) {
	id, err := linkID(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.stream(w, r, func(ctx context.Context) (component, error) {
		v, err := s.readLink(ctx, id, r.URL.Query())
		if err != nil {
			return problemNote(domain.Public(err).Message), err
		}
		return linkLive(v), nil
	})
}

// liveRedirectURL answers the form while a person types a custom provider's
// endpoints. It is asked for these alone, never with the client secret.
func (s *Site) liveRedirectURL(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	id, err := uuid.Parse(q.Get("id"))
	if err != nil {
		s.fail(w, r, domain.Errorf(domain.InvalidArgument, "the form has no link id; open it again"))
		return
	}
	s.page(w, r, http.StatusOK, redirectURL(s.redirect(id, draftOf(q))))
}
