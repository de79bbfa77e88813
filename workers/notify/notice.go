package notify

import (
	"outlink/domain"
	"outlink/domain/grant"
	"outlink/domain/link"
	"outlink/domain/notice"
)

// of makes the notice that an event asks for, without names and advice; ok is
// false for events that nobody needs to be told of.
func of(r domain.Record) (n notice.Notice, ok bool, err error) {
	n = notice.Notice{ID: r.ID, Link: r.Link, Grant: r.Grant, At: r.Time, Sequence: r.Sequence}
	if !r.OfGrant() {
		return ofLink(n, r)
	}
	e, err := grant.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return n, false, err
	}
	switch e := e.(type) {
	case grant.ReauthorizationRequired:
		n.Kind, n.Reason, n.ProviderCode = notice.ReauthorizationRequired, string(e.Reason), e.ProviderCode
	case grant.ReauthorizationDueSoon:
		n.Kind, n.EndsAt = notice.ReauthorizationDueSoon, e.EndsAt
	case grant.RefreshDeferred:
		n.Kind, n.Reason, n.ProviderCode = notice.TokenStale, string(e.Reason), e.ProviderCode
		return n, e.Stale, nil
	case grant.RefreshStalled:
		n.Kind, n.Reason = notice.RefreshStalled, string(e.Last)
	case grant.RefreshUnreadable:
		n.Kind, n.Reason = notice.AnswerUnreadable, e.Problem
	default:
		return n, false, nil
	}
	return n, true, nil
}

func ofLink(n notice.Notice, r domain.Record) (notice.Notice, bool, error) {
	e, err := link.Kinds.Decode(r.Type, r.Data)
	if err != nil {
		return n, false, err
	}
	switch e := e.(type) {
	case link.Degraded:
		n.Kind, n.Reason, n.ProviderCode = notice.LinkDegraded, string(e.Reason), e.ProviderCode
	case link.Recovered:
		n.Kind = notice.LinkRecovered
	default:
		return n, false, nil
	}
	return n, true, nil
}
