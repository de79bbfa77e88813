package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"outlink/commands"
	"outlink/internal/history"
)

// streamed is a stream of events as a client reads it.
type streamed struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

func (i *installation) stream(query, lastEventID string) *streamed {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.ctx(), 20*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.node.URL()+"/api/v1/stream"+query, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		i.t.Fatalf("the stream %s: %+v, %v", query, res, err)
	}
	s := &streamed{i.t, bufio.NewScanner(res.Body), func() { cancel(); _ = res.Body.Close() }}
	i.t.Cleanup(s.close)
	return s
}

// next waits for an event.
func (s *streamed) next() (id string, e history.CloudEvent) {
	s.t.Helper()
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				s.t.Fatal(err)
			}
			return id, e
		}
	}
	s.t.Fatal("the stream ended: ", s.lines.Err())
	return "", e
}

// Events are streamed as they come, from where a client was, and of one link alone if
// it wants; the stream ends with its node.
func TestEventStream(t *testing.T) {
	i := start(t)
	o := newOP(t, 3600)
	first := i.createLink(o, "first")
	news, all := i.stream("", ""), i.stream("?after=0", "")
	if _, e := all.next(); e.Type != "outlink.link.created.v1" || e.Subject != first.String() || len(e.Data) == 0 || e.Source != "outlink/outlink" {
		t.Errorf("the first event is %+v", e)
	}
	second := i.createLink(o, "second")
	out := i.do("DisableLink", commands.DisableLink{Header: commands.Header{CommandID: uuid.New()}, Link: second})
	id, e := news.next()
	if e.Type != "outlink.link.created.v1" || e.Subject != second.String() {
		t.Errorf("the next event is %+v", e)
	}
	if _, e := i.stream("?after=0", id).next(); e.Sequence != out.Sequence {
		t.Errorf("behind %s comes %+v, want %d", id, e, out.Sequence)
	}
	if _, e := i.stream("?after=0&link="+second.String(), "").next(); e.Subject != second.String() {
		t.Errorf("of the second link: %+v", e)
	}
	for query, want := range map[string]int{
		"?after=999999": http.StatusBadRequest, "?after=x": http.StatusBadRequest, "?since=1": http.StatusBadRequest,
		"?link=crm": http.StatusBadRequest, "?link=" + uuid.NewString(): http.StatusNotFound,
	} {
		if status, body := browse(t, nil, i.node.URL()+"/api/v1/stream"+query); status != want {
			t.Errorf("%s: %d %s, want %d", query, status, body, want)
		}
	}
	i.stop()
	for news.lines.Scan() { // what was on its way
	}
	if err := news.lines.Err(); err != nil {
		t.Error("the stream did not end with its node:", err)
	}
}
