package eventlog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"outlink/commands"
	"outlink/domain"
)

// The headers of an event: CloudEvents 1.0 in binary mode, its extension
// attributes, W3C trace context, the folded state, and what authenticates it all.
const (
	headerID           = "ce-id"
	headerType         = "ce-type"
	headerSource       = "ce-source"
	headerSpecVersion  = "ce-specversion"
	headerSubject      = "ce-subject"
	headerTime         = "ce-time"
	headerContentType  = "ce-datacontenttype"
	headerActor        = "ce-actor"
	headerCorrelation  = "ce-correlationid"
	headerCausation    = "ce-causationid"
	headerTraceparent  = "traceparent"
	headerVersion      = "Outlink-Version"
	headerHash         = "Outlink-Hash"
	headerState        = "Outlink-State"
	headerStateVersion = "Outlink-State-Version"
	headerAfter        = "Outlink-After"
	headerMACKey       = "Outlink-MAC-Key"
	headerMAC          = "Outlink-MAC"
)

// envelope is what travels around an event's data.
type envelope struct {
	id           uuid.UUID
	typ          string
	source       string
	subject      string
	meta         commands.Meta
	version      uint64
	hash         string
	state        []byte
	stateVersion int
}

func (e envelope) header() nats.Header {
	all := [...]struct{ key, value string }{
		{headerID, e.id.String()}, {headerType, e.typ}, {headerSource, "outlink/" + e.source},
		{headerSpecVersion, "1.0"}, {headerSubject, e.subject}, {headerTime, e.meta.Time.UTC().Format(time.RFC3339Nano)},
		{headerContentType, "application/json"}, {headerActor, e.meta.Actor},
		{headerCorrelation, e.meta.Correlation}, {headerCausation, e.meta.CommandID.String()},
		{headerTraceparent, e.meta.Traceparent},
		{headerVersion, strconv.FormatUint(e.version, 10)}, {headerHash, e.hash},
		{headerState, string(e.state)}, {headerStateVersion, strconv.Itoa(e.stateVersion)},
	}
	h := make(nats.Header, len(all)+5) // with the MAC's and the expectation's
	for _, m := range all {
		if m.value != "" {
			h[m.key] = []string{m.value} // as it is: NATS headers are case sensitive
		}
	}
	return h
}

func get(h nats.Header, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func current(h nats.Header, stateVersion int) bool {
	return get(h, headerStateVersion) == strconv.Itoa(stateVersion)
}

// parse reads a message of the log. A message that is not an event of ours is
// an error: whoever folds past it would be silently wrong.
func parse(m message) (domain.Record, error) {
	h := m.header
	r := domain.Record{
		Sequence: m.sequence, Type: get(h, headerType), Actor: get(h, headerActor), Data: m.data,
		Correlation: get(h, headerCorrelation), Causation: get(h, headerCausation),
		Traceparent: get(h, headerTraceparent), Hash: get(h, headerHash),
	}
	var errs [4]error
	r.ID, errs[0] = uuid.Parse(get(h, headerID))
	r.Time, errs[1] = time.Parse(time.RFC3339Nano, get(h, headerTime))
	r.Version, errs[2] = strconv.ParseUint(get(h, headerVersion), 10, 64)
	r.Link, r.Grant, errs[3] = aggregate(m.subject)
	for _, err := range errs {
		if err != nil {
			formed := domain.Formed(get(h, headerID), r.Type, get(h, headerMAC))
			return r, &domain.UnreadableError{Sequence: m.sequence, Subject: m.subject, Type: r.Type, Formed: formed, Err: err}
		}
	}
	if state := get(h, headerState); state != "" {
		r.State = json.RawMessage(state)
		r.StateVersion, _ = strconv.Atoi(get(h, headerStateVersion)) // 0 is no version's
	}
	return r, nil
}

// aggregate reads the ids in the subject of an event. For a name it is the
// name's key in the link's place.
func aggregate(subject string) (link, grant uuid.UUID, err error) {
	_, rest, _ := strings.Cut(subject, ".events.")
	_, ids, ok := strings.Cut(rest, ".") // behind the kind of aggregate
	if !ok {
		return link, grant, fmt.Errorf("subject %q names no aggregate", subject)
	}
	first, more, two := strings.Cut(ids, ".")
	if link, err = uuid.Parse(first); err == nil && two {
		second, _, _ := strings.Cut(more, ".")
		grant, err = uuid.Parse(second)
	}
	return link, grant, err
}
