package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"outlink/domain"
	"outlink/internal/history"
)

const (
	maxStreams = 100              // at once: each reads the log for itself
	heartbeat  = 15 * time.Second // proxies close connections on which nothing comes
	stuck      = 10 * time.Second // how long a client may take to read what is written
)

// stream sends the events of the log as they come, as server-sent events. Whoever was
// away goes on behind the last one that they have seen.
func (a *API) stream(route Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		subjects, after, err := a.streamed(route, r)
		if err != nil {
			a.fail(w, err)
			return
		}
		defer a.streams.Add(-1)
		if a.streams.Add(1) > maxStreams {
			a.fail(w, domain.Errorf(domain.ResourceExhausted, "this node streams to %d clients already; ask another node, or read over NATS", maxStreams))
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		s := sending{w: w, control: http.NewResponseController(w)}
		ctx, cancel := context.WithCancel(r.Context())
		var beating sync.WaitGroup
		defer func() { cancel(); beating.Wait() }() // nobody writes when this has returned
		if s.write([]byte(": what comes after "+fmt.Sprint(after)+"\n\n")) != nil || r.Method == http.MethodHead {
			return
		}
		beating.Go(func() { s.beat(ctx, cancel, a.Ends) })
		err = a.Feed.Sparing().FollowSubjects(ctx, subjects, after, func(_ context.Context, batch []domain.Record) error { return s.events(string(a.Feed.Namespace), batch) })
		if ctx.Err() == nil && !errors.Is(err, errGone) { // the client tries again behind the last id
			a.Log.Error("a stream of events ends", "error", err)
		}
	}
}

// streamed is what a stream is asked for.
func (a *API) streamed(route Route, r *http.Request) (subjects []string, after uint64, err error) {
	q, err := route.question(r)
	if err != nil {
		return nil, 0, err
	}
	head, err := a.Feed.Head(r.Context())
	if err != nil {
		return nil, 0, err
	}
	after = head
	if given, ok := q["after"].(int64); ok {
		after = uint64(given)
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		if after, err = strconv.ParseUint(last, 10, 64); err != nil {
			return nil, 0, domain.Errorf(domain.InvalidArgument, "Last-Event-ID %q is no sequence", clip(last))
		}
	}
	if after > head {
		return nil, 0, domain.Errorf(domain.InvalidArgument, "the log ends at %d, before %d; is it another one?", head, after)
	}
	if id, ok := q["link_id"].(string); ok {
		link := uuid.MustParse(id) // question has seen that it is one
		l, err := a.Commands.Links.Load(r.Context(), domain.Key{Link: link})
		if err == nil && l.Version == 0 {
			err = domain.Errorf(domain.NotFound, "link %s does not exist", link)
		}
		return []string{a.Feed.Namespace.LinkEvents(link), a.Feed.Namespace.GrantsOf(link)}, after, err
	}
	return nil, after, nil
}

// errGone says that the client does not read any more.
var errGone = errors.New("the client is gone")

// sending is a stream to one client.
type sending struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *sending) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Of each write, not of the whole: a stream outlives the server's timeout, and a
	// client that does not read does not hold it for ever.
	_ = s.control.SetWriteDeadline(time.Now().Add(stuck))
	_, err := s.w.Write(b)
	if cmp.Or(err, s.control.Flush()) != nil {
		return errGone
	}
	return nil
}

// beat says now and then that the stream is alive, and ends it when nobody hears that
// or the server ends.
func (s *sending) beat(ctx context.Context, end context.CancelFunc, ends <-chan struct{}) {
	defer end()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ends:
			return
		case <-tick.C:
			if s.write([]byte(": nothing new\n\n")) != nil {
				return
			}
		}
	}
}

// events sends a batch, each event with its sequence as its id.
func (s *sending) events(namespace string, batch []domain.Record) error {
	var b bytes.Buffer
	for _, r := range batch {
		if r.Foreign != "" {
			continue
		}
		data, err := json.Marshal(history.NewCloudEvent(namespace, r))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "id: %d\ndata: %s\n\n", r.Sequence, data)
	}
	if b.Len() == 0 {
		return nil
	}
	return s.write(b.Bytes())
}
